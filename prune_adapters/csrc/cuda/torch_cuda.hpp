// What the operators on CUDA need of torch beside torch_api.hpp: its device and its stream.
#pragma once

#include "../tensors.hpp"
#include "kernels.hpp"

namespace prune_adapters::torch {

struct Guard;

#define PRUNE_ADAPTERS_CUDA_FUNCTIONS(X)                                                   \
    X(device_index, aoti_torch_get_device_index, Status(Tensor*, std::int32_t*))           \
    X(create_guard, aoti_torch_create_device_guard, Status(std::int32_t device, Guard**))  \
    X(delete_guard, aoti_torch_delete_device_guard, Status(Guard*))                        \
    X(device_type_cuda, aoti_torch_device_type_cuda, std::int32_t())                       \
    X(dtype_float32, aoti_torch_dtype_float32, std::int32_t())                             \
    X(dtype_float64, aoti_torch_dtype_float64, std::int32_t())                             \
    X(dtype_float16, aoti_torch_dtype_float16, std::int32_t())                             \
    X(dtype_bfloat16, aoti_torch_dtype_bfloat16, std::int32_t())                           \
    X(dtype_int16, aoti_torch_dtype_int16, std::int32_t())                                 \
    X(dtype_int32, aoti_torch_dtype_int32, std::int32_t())

struct CudaApi {
    PRUNE_ADAPTERS_CUDA_FUNCTIONS(PRUNE_ADAPTERS_MEMBER)
    Status (*current_stream)(std::int32_t device, void** stream);  // in libtorch_cuda
};

extern CudaApi cuda_api;

// Look the functions up in a library that is loaded already: all but the stream, and the stream. Returns nullptr, or what
// is missing.
const char* bind_devices(const char* libtorch);
const char* bind_stream(const char* libtorch_cuda);

}  // namespace prune_adapters::torch

namespace prune_adapters::cuda {

// The device of a tensor for as long as this lives, and the stream on which torch works there.
class OnDevice {
public:
    explicit OnDevice(const torch::OwnTensor& tensor);
    ~OnDevice();
    OnDevice(const OnDevice&) = delete;
    OnDevice& operator=(const OnDevice&) = delete;

    Stream stream() const { return current; }
    bool holds(const torch::OwnTensor& tensor) const;
    torch::OwnTensor empty(std::int32_t dtype, const std::vector<Index>& sizes) const;

private:
    std::int32_t index = 0;
    torch::Guard* guard = nullptr;
    Stream current = nullptr;
};

// False for a dtype that is none of them.
bool is_number(std::int32_t dtype, Number& number);

}  // namespace prune_adapters::cuda
