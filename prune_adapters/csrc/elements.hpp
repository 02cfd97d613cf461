// Which formats of elements torch's dtypes are.
#pragma once

#include "netgraph/native/kernels.hpp"
#include "torch_api.hpp"

namespace prune_adapters {

// Set `element` to the format of a float dtype that has kernels; false for all others.
inline bool is_float(std::int32_t dtype, netgraph::Element& element) {
    using netgraph::Element;
    if (dtype == torch::api.dtype_float32()) return element = Element::float32, true;
    if (dtype == torch::api.dtype_float64()) return element = Element::float64, true;
    if (dtype == torch::api.dtype_bfloat16()) return element = Element::bfloat16, true;
    if (dtype == torch::api.dtype_float16()) return element = Element::float16, true;
    return false;
}

}  // namespace prune_adapters
