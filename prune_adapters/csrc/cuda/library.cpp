// What Python calls through ctypes: registration of the kernels for CUDA.
#include <stdexcept>
#include <string>

#include "operators/operators.hpp"
#include "torch_cuda.hpp"

#define PRUNE_ADAPTERS_EXPORT extern "C" __attribute__((visibility("default")))

namespace {

#define PRUNE_ADAPTERS_NAME(name, symbol, ...) #symbol,
const char* const function_names[] = {PRUNE_ADAPTERS_CUDA_FUNCTIONS(PRUNE_ADAPTERS_NAME) nullptr};

}  // namespace

// Give the kernels to the torch at these paths, which is loaded. Returns nullptr, or what torch lacks.
PRUNE_ADAPTERS_EXPORT const char* prune_adapters_register(const char* libtorch, const char* libtorch_cuda) {
    static bool registered = false;
    if (registered) return nullptr;
    if (const char* missing = prune_adapters::torch::bind_devices(libtorch)) return missing;
    if (const char* missing = prune_adapters::torch::bind_stream(libtorch_cuda)) return missing;
    try {
        prune_adapters::cuda::implement_operators(prune_adapters::Registry("CUDA"));
    } catch (const std::runtime_error& error) {
        static const std::string message = error.what();
        return message.c_str();
    }
    registered = true;
    return nullptr;
}

// The functions of libtorch_cpu that are looked up beside those of torch_api.hpp, and a null pointer at the end.
PRUNE_ADAPTERS_EXPORT const char* const* prune_adapters_torch_functions() { return function_names; }
