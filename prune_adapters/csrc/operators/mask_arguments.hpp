// What the operators on masks ask of their arguments, on any device.
#pragma once

#include "../kernels.hpp"
#include "../tensors.hpp"

namespace prune_adapters {

// One bit an element, wherever they are.
inline bool are_bits(const torch::OwnTensor& bits, Index count) {
    return bits.dtype() == torch::api.dtype_uint8() && bits.is_contiguous() && bits.numel() == (count + 7) / 8;
}

inline int log_size(std::int32_t dtype) {
    int log = 0;
    while (log < n_sizes && std::size_t{1} << log < torch::api.element_size(dtype)) ++log;
    return log;
}

// Whether an element has two indices.
inline bool overlaps(const torch::OwnTensor& tensor) {
    const Index *sizes = tensor.sizes(), *strides = tensor.strides();
    for (Index d = 0; d < tensor.dim(); ++d)
        if (strides[d] == 0 && sizes[d] > 1) return true;
    return false;
}

}  // namespace prune_adapters
