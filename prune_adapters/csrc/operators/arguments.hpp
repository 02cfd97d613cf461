// What the operators ask of their arguments.
#pragma once

#include <initializer_list>

#include "../bfloat16.hpp"
#include "../tensors.hpp"
#include "registry.hpp"

namespace prune_adapters {

// A contiguous tensor of this dtype and of these sizes, wherever it is; -1 stands for any.
inline bool has_form(const torch::OwnTensor& tensor, std::int32_t dtype, std::initializer_list<torch::Size> sizes) {
    if (tensor.dtype() != dtype || !tensor.is_contiguous()) return false;
    if (tensor.dim() != static_cast<torch::Size>(sizes.size())) return false;
    const torch::Size* own = tensor.sizes();
    for (const torch::Size size : sizes)
        if (*own++ != size && size != -1) return false;
    return true;
}

// The same on the CPU.
inline bool is_array(const torch::OwnTensor& tensor, std::int32_t dtype, std::initializer_list<torch::Size> sizes) {
    return tensor.on_cpu() && has_form(tensor, dtype, sizes);
}

// An optional tensor: the handle in it, and whether there is one.
inline torch::Value take_optional(torch::Value value) {
    auto* inside = reinterpret_cast<torch::Value*>(value);
    const torch::Value handle = inside ? *inside : 0;
    delete inside;
    return handle;
}

inline bool is_float(std::int32_t dtype) {
    return dtype == torch::api.dtype_float32() || dtype == torch::api.dtype_float64();
}

// function(T{}) for float or double.
template <class Function>
auto with_type(std::int32_t dtype, Function function) {
    return dtype == torch::api.dtype_float64() ? function(double{}) : function(float{});
}

// The same for operators that know numbers of 16 bits, too.
inline bool is_float_or_bfloat16(std::int32_t dtype) {
    return is_float(dtype) || dtype == torch::api.dtype_bfloat16();
}
template <class Function>
auto with_any_type(std::int32_t dtype, Function function) {
    return dtype == torch::api.dtype_bfloat16() ? function(Bfloat16{}) : with_type(dtype, function);
}

template <class T>
const T* data_of(const torch::OwnTensor& tensor) {
    return static_cast<const T*>(tensor.data());
}
template <class T>
T* mutable_data_of(const torch::OwnTensor& tensor) {
    return static_cast<T*>(tensor.mutable_data());
}

}  // namespace prune_adapters
