// Products with blocks for CUDA as the operators call them: each function launches on a stream and does not wait.
#pragma once

#include "kernels.hpp"

namespace prune_adapters::cuda {

// Blocks ptr[g] .. ptr[g + 1] - 1 of group g read group idx[b] of the other side. Block b lies at place perm[b] of the
// values, or at b where perm is nullptr. Indices are not trusted: none leads outside of a buffer.
struct BlockTables {
    const std::int32_t *ptr, *idx, *perm;
    int groups, other_groups, blocks;
};

// Of a block: its outputs and its inputs.
struct BlockSize {
    int width, depth;
};

// y (batch, groups * width) = x (batch, other_groups * depth) times the blocks, plus bias, which may be nullptr.
// Values are (blocks, width, depth), or (blocks, depth, width) if `transposed`. A tile below 0: the one that suits
// (block_launch.cuh).
void block_rows(Number number, const BlockTables& tables, BlockSize size, const void* x, const void* values,
                const void* bias, void* y, Index batch, bool transposed, int tile, Stream stream);

// values (blocks, width, depth) = grad (batch, groups * width), transposed, times x where there are blocks. The batch is
// cut into so many parts as `block_splits` says; if that is more than one, `partial` has room for that many values, in
// float or double.
int block_splits(Number number, const BlockTables& tables, BlockSize size, Index batch);
void block_sampled(Number number, const BlockTables& tables, BlockSize size, const void* grad, const void* x,
                   void* values, void* partial, int splits, Index batch, Stream stream);

}  // namespace prune_adapters::cuda
