// The table of the linear operators, made of vectors of `bytes` bytes.
#pragma once

#include "../linear_kernels.hpp"
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
constexpr TileKernels<T> tile_kernels() {
    using L = Lanes<T, bytes>;
    return {L::count,
            {pack<L, 1>, pack<L, 2>, pack<L, 3>, pack<L, 4>},
            {unpack<L, 1>, unpack<L, 2>, unpack<L, 3>, unpack<L, 4>},
            sums_of_runs<L>};
}

template <int bytes>
constexpr LinearKernels linear_table(const char* name) {
    return {name, tile_kernels<float, bytes>(), tile_kernels<double, bytes>()};
}

}  // namespace
}  // namespace prune_adapters
