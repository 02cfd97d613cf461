// Templates of the convolution kernels.
#pragma once

#include "conv_gradients.hpp"
#include "conv_pack.hpp"
#include "conv_sums.hpp"

namespace prune_adapters {
namespace {

template <class L>
constexpr ConvKernels<typename L::Element> conv_kernels_of() {
    constexpr bool wide = L::size == 64;
    return {L::count,
            wide ? 4 : 3,
            {sums_of<L, 1>, sums_of<L, 2>, sums_of<L, 4>, sums_of<L, wide ? 8 : 4>},
            {sums3_of<L, 1>, sums3_of<L, 2>, sums3_of<L, 4>, sums3_of<L, wide ? 8 : 4>},
            3,
            {gradients_of<L, 1>, gradients_of<L, 2>, gradients_of<L, 4>, nullptr},
            wide ? gradients3_of<L> : gradients_of<L, 1>};
}

template <class L, class Row = typename L::Element>
constexpr ConvRowKernels<Row> conv_row_kernels_of() {
    return {pack_rows<L, Row>, unpack_positions<L, Row>, total_of<L, Row>, widen<L, Row>, narrow<L, Row>};
}

template <int bytes>
constexpr ConvTable conv_table_of(const char* name) {
    using Floats = Lanes<float, bytes>;
    using Doubles = Lanes<double, bytes>;
    return {name,
            conv_kernels_of<Floats>(),
            conv_kernels_of<Doubles>(),
            conv_row_kernels_of<Floats>(),
            conv_row_kernels_of<Doubles>(),
            conv_row_kernels_of<Floats, Bfloat16>()};
}

}  // namespace
}  // namespace prune_adapters
