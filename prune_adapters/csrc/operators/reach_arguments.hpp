// What the steps of a sweep ask of their arguments, wherever they are.
#pragma once

#include "../elements.hpp"
#include "../reach.hpp"
#include "arguments.hpp"
#include "mask_arguments.hpp"

namespace prune_adapters {

inline bool multiply_into(Index& product, Index factor) {
    return factor >= 0 && !__builtin_mul_overflow(product, factor, &product);
}

// What a dtype that has no format of its own means: a byte is not 0 if it is true.
inline bool is_readable(std::int32_t dtype, Element& element) {
    if (is_float(dtype, element)) return true;
    element = Element::uint8;
    return dtype == torch::api.dtype_bool() || dtype == torch::api.dtype_uint8();
}

// Set `edges` to a weight, or to bits of `size`; false if that cannot be.
inline bool read_edges(const torch::OwnTensor& weight, const std::vector<torch::Value>& size, Index groups,
                       Edges& edges) {
    if (!weight.is_contiguous()) return false;
    std::vector<Index> shape(weight.sizes(), weight.sizes() + weight.dim());
    edges.packed = !size.empty();
    if (edges.packed) shape.assign(size.begin(), size.end());
    if (shape.size() < 2 || shape[0] < 0 || groups < 1 || shape[0] % groups) return false;
    Index taps = 1, count = shape[0], sources = groups;
    for (std::size_t d = 2; d < shape.size(); ++d)
        if (!multiply_into(taps, shape[d])) return false;
    Index padded = 128;  // bits in a mask and its padding, of each group
    if (!multiply_into(count, shape[1]) || !multiply_into(count, taps) || !multiply_into(sources, shape[1]) ||
        !multiply_into(sources, taps) || !multiply_into(padded, groups))
        return false;
    edges.shape = {shape[0], shape[1], taps, groups};
    edges.data = weight.data();
    if (edges.packed) return are_bits(weight, count);
    return is_readable(weight.dtype(), edges.element);
}

inline bool are_flags(const torch::OwnTensor& flags, Index count) {
    return flags.dtype() == torch::api.dtype_bool() && flags.is_contiguous() && flags.numel() == count;
}

inline const std::uint8_t* bytes_of(const torch::OwnTensor& flags) {
    return static_cast<const std::uint8_t*>(flags.data());
}

}  // namespace prune_adapters
