// The device and the stream of torch.
#include "torch_cuda.hpp"

#include <dlfcn.h>

namespace prune_adapters::torch {

CudaApi cuda_api;

const char* bind_devices(const char* libtorch) {
    if (const char* missing = bind(libtorch)) return missing;
    CudaApi& api = cuda_api;
    void* library = dlopen(libtorch, RTLD_NOLOAD | RTLD_LAZY);
    PRUNE_ADAPTERS_CUDA_FUNCTIONS(PRUNE_ADAPTERS_BIND)
    return nullptr;
}

const char* bind_stream(const char* libtorch_cuda) {
    CudaApi& api = cuda_api;
    void* library = dlopen(libtorch_cuda, RTLD_NOLOAD | RTLD_LAZY);
    if (!library) return libtorch_cuda;
    PRUNE_ADAPTERS_BIND(current_stream, aoti_torch_get_current_cuda_stream, Status(std::int32_t, void**))
    return nullptr;
}

}  // namespace prune_adapters::torch

namespace prune_adapters::cuda {

using torch::cuda_api;
using torch::OwnTensor;

namespace {

bool on_cuda(const OwnTensor& tensor) { return tensor.device_type() == cuda_api.device_type_cuda(); }

std::int32_t index_of(const OwnTensor& tensor) { return tensor.get<std::int32_t>(cuda_api.device_index, "device_index"); }

}  // namespace

OnDevice::OnDevice(const OwnTensor& tensor) {
    if (!on_cuda(tensor)) throw std::runtime_error("prune_adapters: expected a tensor on CUDA");
    index = index_of(tensor);
    torch::check(cuda_api.current_stream(index, &current), "get_current_cuda_stream");
    torch::check(cuda_api.create_guard(index, &guard), "create_device_guard");
}

OnDevice::~OnDevice() { cuda_api.delete_guard(guard); }

bool OnDevice::holds(const OwnTensor& tensor) const { return on_cuda(tensor) && index_of(tensor) == index; }

OwnTensor OnDevice::empty(std::int32_t dtype, const std::vector<Index>& sizes) const {
    return torch::empty(dtype, sizes, cuda_api.device_type_cuda(), index);
}

bool is_number(std::int32_t dtype, Number& number) {
    if (dtype == torch::api.dtype_float32()) return number = Number::float32, true;
    if (dtype == torch::api.dtype_float64()) return number = Number::float64, true;
    if (dtype == torch::api.dtype_float16()) return number = Number::float16, true;
    if (dtype == torch::api.dtype_bfloat16()) return number = Number::bfloat16, true;
    return false;
}

}  // namespace prune_adapters::cuda
