// The kernels of the linear operators, one table of them for each instruction set, for floats and doubles.
#pragma once

#include "netgraph/native/bits.hpp"

namespace prune_adapters {

using netgraph::Index;

constexpr int max_vectors = 4;  // in a row of a tile

// Tiles are those of cpu/vectors.hpp: feature by feature, `n` vectors of `lanes` rows of the batch.
template <class T>
struct TileKernels {
    int lanes;

    // pack[n - 1]: the first n_rows rows of the tile from `rows`, the others 0. unpack[n - 1]: back.
    void (*pack[max_vectors])(const T* rows, Index stride, Index n_rows, Index features, T* tile);
    void (*unpack[max_vectors])(const T* tile, Index features, T* rows, Index stride, Index n_rows);

    // The sum of each of `lanes` runs of `lanes` elements, in a tree of additions.
    void (*sums)(const T* runs, T* sums);
};

struct LinearKernels {
    const char* name;
    TileKernels<float> tiles_f32;
    TileKernels<double> tiles_f64;
};

extern const LinearKernels linear_generic;
#ifdef NETGRAPH_X86
extern const LinearKernels linear_avx2;
extern const LinearKernels linear_avx512;
#endif

// The fastest table that this processor runs, or the one that `use_linear_kernels` has chosen.
const LinearKernels& linear_kernels();
bool use_linear_kernels(const char* name);

}  // namespace prune_adapters
