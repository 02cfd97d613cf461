// The operators for CUDA with their kernels on this processor, given to torch for tensors on the CPU: so torch calls
// them as it would on a GPU. What CUDA has and this machine has not is replaced: the guard of a device and the stream.
#include "prune_adapters/csrc/cuda/host/harness.hpp"
#include "prune_adapters/csrc/cuda/operators/operators.hpp"
#include "prune_adapters/csrc/cuda/torch_cuda.hpp"

PRUNE_ADAPTERS_EXPORT const char* register_on_cpu(const char* libtorch) {
    using namespace prune_adapters;
    using torch::Status;
    if (const char* missing = torch::bind_devices(libtorch)) return missing;
    torch::cuda_api.device_type_cuda = torch::api.device_type_cpu;
    torch::cuda_api.device_index = [](torch::Tensor*, std::int32_t* index) -> Status { return *index = 0; };
    torch::cuda_api.create_guard = [](std::int32_t, torch::Guard**) -> Status { return 0; };
    torch::cuda_api.delete_guard = [](torch::Guard*) -> Status { return 0; };
    torch::cuda_api.current_stream = [](std::int32_t, void** stream) -> Status {
        *stream = nullptr;
        return 0;
    };
    return host::guarded([] { cuda::implement_operators(Registry("CPU")); });
}
