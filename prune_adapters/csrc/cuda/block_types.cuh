// The dtypes of products with blocks, each compiled in a file of its own: they are many kernels.
#pragma once

#include "block_launch.cuh"

#define PRUNE_ADAPTERS_BLOCK_TYPE(declared, T)                                                              \
    declared template void launch_rows<T>(const Rows<T>&, bool, int, cudaStream_t);                         \
    declared template void launch_sampled<T>(const Sampled<T>&, Sum<T>*, cudaStream_t);

namespace prune_adapters::cuda {

PRUNE_ADAPTERS_BLOCK_TYPE(extern, float)
PRUNE_ADAPTERS_BLOCK_TYPE(extern, double)
PRUNE_ADAPTERS_BLOCK_TYPE(extern, __half)
PRUNE_ADAPTERS_BLOCK_TYPE(extern, __nv_bfloat16)

}  // namespace prune_adapters::cuda
