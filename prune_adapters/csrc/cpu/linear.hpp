// The table of the linear operators, made of vectors of `bytes` bytes.
#pragma once

#include "../linear_kernels.hpp"
#include "blocks.hpp"
#include "panels.hpp"
#include "vectors.hpp"

namespace prune_adapters {
namespace {

template <class L>
void sums_of_runs(const typename L::Element* runs, typename L::Element* found) {
    typename L::Vector vectors[L::count];
    PRUNE_ADAPTERS_UNROLL
    for (int k = 0; k < L::count; ++k) vectors[k] = L::load(runs + k * L::count);
    L::store(found, sums<L>(vectors));
}

template <class L, class Row, int n>
constexpr BlockKernels<Row> block_kernels_of() {
    return {{pack<L, n, Row>, pack<L, 2 * n, Row>, pack<L, 3 * n, Row>},
            {multiply_blocks<L, n, Row>, multiply_blocks<L, 2 * n, Row>, multiply_blocks<L, 3 * n, Row>},
            padded<L>,
            pack_group<L, Row>,
            outer_blocks<L>};
}

template <class T, int bytes>
constexpr LinearKernelsOf<T> linear_kernels_of() {
    using L = Lanes<T, bytes>;
    constexpr int n = narrowest / bytes;  // vectors in a row of the narrowest tile
    return {{L::count,
             bytes < 32 ? 1 : 2,
             {pack<L, n>, pack<L, 2 * n>, pack<L, 4 * n>},
             {unpack<L, n>, unpack<L, 2 * n>, unpack<L, 4 * n>},
             sums_of_runs<L>},
            {{multiply<L, n>, multiply<L, 2 * n>, multiply<L, 4 * n>},
             multiply_rows<L>,
             {dots<L, n>, dots<L, 2 * n>, dots<L, 4 * n>}},
            block_kernels_of<L, T, n>()};
}

template <int bytes>
constexpr LinearKernels linear_table(const char* name) {
    using Floats = Lanes<float, bytes>;
    return {name,
            check_panels,
            linear_kernels_of<float, bytes>(),
            linear_kernels_of<double, bytes>(),
            block_kernels_of<Floats, Bfloat16, narrowest / bytes>(),
            widen<Floats, Bfloat16>,
            narrow<Floats, Bfloat16>};
}

}  // namespace
}  // namespace prune_adapters
