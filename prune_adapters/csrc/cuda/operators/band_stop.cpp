// The band-stop mask, for tensors on CUDA.
#include "../band_stop.hpp"

#include "../torch_cuda.hpp"
#include "operators.hpp"

namespace prune_adapters::cuda {
namespace {

using torch::OwnTensor;
using torch::Value;

Number number_of(const OwnTensor& weight, const char* function) {
    Number number;
    require(is_number(weight.dtype(), number) && weight.is_contiguous(), function);
    return number;
}

DeviceNumber device_number(const OnDevice& device, const OwnTensor& tensor, const char* function) {
    require(device.holds(tensor) && tensor.numel() == 1 && is_float(tensor.dtype()), function);
    return {tensor.data(), tensor.dtype() == torch::api.dtype_float64()};
}

// A gradient of the weight's form, or nullptr for one without elements: it is one of zeros.
const void* gradient(const OnDevice& device, const OwnTensor& grad, const OwnTensor& weight, const char* function) {
    if (!grad.numel()) return nullptr;
    require(device.holds(grad) && grad.dtype() == weight.dtype() && grad.is_contiguous() &&
                grad.numel() == weight.numel(),
            function);
    return grad.data();
}

OwnTensor empty_like(const OnDevice& device, const OwnTensor& tensor) {
    return device.empty(tensor.dtype(), {tensor.sizes(), tensor.sizes() + tensor.dim()});
}

// band_stop(Tensor weight, Tensor threshold, Tensor sharpness) -> (Tensor, Tensor)
void band_stop(Value* stack, std::uint64_t, std::uint64_t) {
    const OwnTensor weight(stack[0]), threshold(stack[1]), sharpness(stack[2]);
    const OnDevice device(weight);
    const Number number = number_of(weight, "band_stop");
    const DeviceNumber a = device_number(device, threshold, "band_stop");
    const DeviceNumber s = device_number(device, sharpness, "band_stop");
    OwnTensor masked = empty_like(device, weight), mask = empty_like(device, weight);
    cuda::band_stop(number, weight.data(), a, s, weight.numel(), masked.mutable_data(), mask.mutable_data(),
                    device.stream());
    check_launch("band_stop");
    stack[0] = masked.release();
    stack[1] = mask.release();
}

// band_stop_backward(Tensor grad, Tensor grad_mask, Tensor weight, Tensor threshold, Tensor sharpness) -> Tensor
void band_stop_backward(Value* stack, std::uint64_t, std::uint64_t) {
    const char* function = "band_stop_backward";
    const OwnTensor grad(stack[0]), grad_mask(stack[1]), weight(stack[2]), threshold(stack[3]), sharpness(stack[4]);
    const OnDevice device(weight);
    const Number number = number_of(weight, function);
    const DeviceNumber a = device_number(device, threshold, function), s = device_number(device, sharpness, function);
    const void* from = gradient(device, grad, weight, function);
    const void* from_mask = gradient(device, grad_mask, weight, function);
    OwnTensor result = empty_like(device, weight);
    cuda::band_stop_backward(number, from, from_mask, weight.data(), a, s, weight.numel(), result.mutable_data(),
                             device.stream());
    check_launch(function);
    stack[0] = result.release();
}

}  // namespace

void implement_band_stop(const Registry& cuda) {
    cuda.add("band_stop", band_stop);
    cuda.add("band_stop_backward", band_stop_backward);
}

}  // namespace prune_adapters::cuda
