// What the operators on CUDA need of torch beside torch_api.hpp: its device and its stream.
#pragma once

#include "../operators/arguments.hpp"
#include "kernels.hpp"

namespace prune_adapters::torch {

struct Guard;

#define PRUNE_ADAPTERS_CUDA_FUNCTIONS(X)                                                   \
    X(device_index, aoti_torch_get_device_index, Status(Tensor*, std::int32_t*))           \
    X(create_guard, aoti_torch_create_device_guard, Status(std::int32_t device, Guard**))  \
    X(delete_guard, aoti_torch_delete_device_guard, Status(Guard*))                        \
    X(device_type_cuda, aoti_torch_device_type_cuda, std::int32_t())

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
    bool holds_array(const torch::OwnTensor& tensor, std::int32_t dtype, std::initializer_list<Index> sizes) const {
        return holds(tensor) && has_form(tensor, dtype, sizes);
    }
    torch::OwnTensor empty(std::int32_t dtype, const std::vector<Index>& sizes) const;

private:
    std::int32_t index = 0;
    torch::Guard* guard = nullptr;
    Stream current = nullptr;
};

// The gradients of a layer; those that nobody needs have no elements.
struct Gradients {
    torch::OwnTensor x, values, bias;

    Gradients(const OnDevice& device, std::int32_t dtype, const std::vector<bool>& needs, std::vector<Index> x_sizes,
              std::vector<Index> values_sizes, Index out)
        : x(device.empty(dtype, needs[0] ? std::move(x_sizes) : nothing)),
          values(device.empty(dtype, needs[1] ? std::move(values_sizes) : nothing)),
          bias(device.empty(dtype, needs[2] ? std::vector<Index>{out} : nothing)) {}

    void release(torch::Value* stack) {
        stack[0] = x.release();
        stack[1] = values.release();
        stack[2] = bias.release();
    }

private:
    inline static const std::vector<Index> nothing{0};
};

// False for a dtype that is none of them.
bool is_number(std::int32_t dtype, Number& number);

}  // namespace prune_adapters::cuda
