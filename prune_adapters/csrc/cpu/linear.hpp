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
            {{pack<L, n>, pack<L, 2 * n>, pack<L, 3 * n>},
             {multiply_blocks<L, n>, multiply_blocks<L, 2 * n>, multiply_blocks<L, 3 * n>},
             padded<L>,
             pack_group<L>,
             outer_blocks<L>}};
}

template <int bytes>
constexpr LinearKernels linear_table(const char* name) {
    return {name, check_panels, linear_kernels_of<float, bytes>(), linear_kernels_of<double, bytes>()};
}

}  // namespace
}  // namespace prune_adapters
