// Binds the functions of torch.
#include "torch_api.hpp"

#include <dlfcn.h>

namespace prune_adapters::torch {

Api api;

#define PRUNE_ADAPTERS_NAME(name, symbol, ...) #symbol,
const char* const function_names[] = {PRUNE_ADAPTERS_TORCH_FUNCTIONS(PRUNE_ADAPTERS_NAME) nullptr};

const char* bind(const char* path) {
    void* library = dlopen(path, RTLD_NOLOAD | RTLD_LAZY);
    if (!library) return path;
    PRUNE_ADAPTERS_TORCH_FUNCTIONS(PRUNE_ADAPTERS_BIND)
    return nullptr;
}

}  // namespace prune_adapters::torch
