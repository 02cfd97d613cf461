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
#define PRUNE_ADAPTERS_BIND(name, symbol, ...)                                          \
    api.name = reinterpret_cast<std::add_pointer_t<__VA_ARGS__>>(dlsym(library, #symbol)); \
    if (!api.name) return #symbol;
    PRUNE_ADAPTERS_TORCH_FUNCTIONS(PRUNE_ADAPTERS_BIND)
    return nullptr;
}

}  // namespace prune_adapters::torch
