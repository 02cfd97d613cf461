// The band-stop mask, for tensors on the CPU.
#include <algorithm>

#include "../elements.hpp"
#include "../parallel.hpp"
#include "../soft.hpp"
#include "../tensors.hpp"
#include "operators.hpp"

namespace prune_adapters {
namespace {

using torch::OwnTensor;
using torch::Value;

constexpr Index part = Index{1} << 13;  // elements that are worth handing to a thread

std::size_t size_of(const OwnTensor& tensor) { return torch::api.element_size(tensor.dtype()); }

bool fits(const OwnTensor& tensor, const OwnTensor& weight) {
    return tensor.on_cpu() && tensor.dtype() == weight.dtype() && tensor.is_contiguous() &&
           tensor.numel() == weight.numel();
}

// A number as the operator takes it: a tensor without dimensions.
double number(const OwnTensor& tensor, const char* function) {
    require(tensor.on_cpu() && tensor.numel() == 1, function);
    if (tensor.dtype() == torch::api.dtype_float64()) return *static_cast<const double*>(tensor.data());
    require(tensor.dtype() == torch::api.dtype_float32(), function);
    return *static_cast<const float*>(tensor.data());
}

int kernel_for(const OwnTensor& weight, const char* function) {
    Element element = Element::uint8;
    require(weight.on_cpu() && weight.is_contiguous() && is_float(weight.dtype(), element), function);
    require(soft_number(element) >= 0, function);
    return soft_number(element);
}

OwnTensor empty_like(const OwnTensor& tensor) {
    return torch::empty(tensor.dtype(), {tensor.sizes(), tensor.sizes() + tensor.dim()});
}

// band_stop(Tensor weight, Tensor threshold, Tensor sharpness) -> (Tensor, Tensor)
void band_stop(Value* stack, std::uint64_t, std::uint64_t) {
    const OwnTensor weight(stack[0]), threshold(stack[1]), sharpness(stack[2]);
    const int kernel = kernel_for(weight, "band_stop");
    const double a = number(threshold, "band_stop"), s = number(sharpness, "band_stop");
    OwnTensor masked = empty_like(weight), mask = empty_like(weight);
    const auto* from = static_cast<const char*>(weight.data());
    auto *to = static_cast<char*>(masked.mutable_data()), *to_mask = static_cast<char*>(mask.mutable_data());
    const Index count = weight.numel(), size = static_cast<Index>(size_of(weight));
    in_parallel((count + part - 1) / part, 1, [&](Index begin, Index end) {
        const Index first = begin * part, at = first * size;
        soft().forward[kernel](from + at, a, s, std::min(end * part, count) - first, to + at, to_mask + at);
    });
    stack[0] = masked.release();
    stack[1] = mask.release();
}

// band_stop_backward(Tensor grad, Tensor grad_mask, Tensor weight, Tensor threshold, Tensor sharpness) -> Tensor
void band_stop_backward(Value* stack, std::uint64_t, std::uint64_t) {
    const OwnTensor grad(stack[0]), grad_mask(stack[1]), weight(stack[2]), threshold(stack[3]), sharpness(stack[4]);
    const int kernel = kernel_for(weight, "band_stop_backward");
    const double a = number(threshold, "band_stop_backward"), s = number(sharpness, "band_stop_backward");
    const Index count = weight.numel(), size = static_cast<Index>(size_of(weight));
    const char* given[2] = {nullptr, nullptr};
    for (int k = 0; k < 2; ++k) {
        const OwnTensor& own = k ? grad_mask : grad;
        const bool none = own.numel() == 0;
        require(none || fits(own, weight), "band_stop_backward");
        if (!none) given[k] = static_cast<const char*>(own.data());
    }
    OwnTensor result = empty_like(weight);
    const auto* from = static_cast<const char*>(weight.data());
    auto* to = static_cast<char*>(result.mutable_data());
    in_parallel((count + part - 1) / part, 1, [&](Index begin, Index end) {
        const Index first = begin * part, at = first * size;
        soft().backward[kernel](given[0] ? given[0] + at : nullptr, given[1] ? given[1] + at : nullptr, from + at, a, s,
                                std::min(end * part, count) - first, to + at);
    });
    stack[0] = result.release();
}

}  // namespace

void implement_band_stop(const Registry& cpu) {
    cpu.add("band_stop", band_stop);
    cpu.add("band_stop_backward", band_stop_backward);
}

}  // namespace prune_adapters
