// The gradient of the values of block_linear on tensor cores: a product of two dense matrices, only where there are
// blocks. The blocks of a group lie side by side, so that a tile may hold several of them and read their outputs once.
#pragma once

#include "block_tiles.cuh"

namespace prune_adapters::cuda {

template <class T>
struct Sampled {
    const T *grad, *x;  // (batch, groups * width), (batch, other_groups * depth)
    T* values;          // (blocks, width, depth); written if there is one split
    float* partial;     // (splits, blocks, width, depth); written if there are more
    BlockTables tables;
    long long batch, batch_a_split;
    int width, depth, splits;

    __device__ __forceinline__ long long grad_stride() const { return static_cast<long long>(tables.groups) * width; }
    __device__ __forceinline__ long long x_stride() const { return static_cast<long long>(tables.other_groups) * depth; }
};

// The number of the first tile across a group; no two groups share one, and few numbers are left out.
__host__ __device__ inline long long first_tile(long long group, long long block, int depth, int columns) {
    return block * depth / columns + group;
}

struct SampledPart {
    int group, first_block;
    int first_row, first_column, columns;  // rows: outputs of the group; columns: inputs of its blocks, side by side
    long long first_batch;
    int batch;
};

template <class Given>
__device__ __forceinline__ int group_of_tile(const Given& given, long long tile, int tile_columns) {
    int low = 0, high = given.tables.groups;
    while (high - low > 1) {
        const int middle = (low + high) / 2;
        (first_tile(middle, first_block(given.tables, middle), given.depth, tile_columns) <= tile ? low : high) = middle;
    }
    return low;
}

template <class Given>
__device__ __forceinline__ SampledPart sampled_part(const Given& given, int tile_rows, int tile_columns) {
    const int tall = (given.width + tile_rows - 1) / tile_rows;
    const long long tile = blockIdx.x / tall;
    const int group = group_of_tile(given, tile, tile_columns);
    const long long first = first_block(given.tables, group), blocks = last_block(given.tables, group) - first;
    const long long number = tile - first_tile(group, first, given.depth, tile_columns);
    if (number < 0) return {};
    const long long begin = blockIdx.y * given.batch_a_split, left = given.batch - begin;
    const long long columns = blocks * given.depth - number * tile_columns;
    return {group, static_cast<int>(first), static_cast<int>(blockIdx.x % tall) * tile_rows, static_cast<int>(number * tile_columns),
            static_cast<int>(columns < 0 ? 0 : columns < tile_columns ? columns : tile_columns), begin,
            static_cast<int>(left < 0 ? 0 : left < given.batch_a_split ? left : given.batch_a_split)};
}

// Copies `columns` neighbouring numbers of every row of the batch; each thread has one chunk of them.
template <class T, int columns, int threads>
class BatchLoader {
public:
    __device__ __forceinline__ BatchLoader(const T* matrix, long long offset, bool good, long long stride, int batch)
        : matrix(matrix), source(matrix + offset + first * stride), good(good), stride(stride), batch(batch) {}
    __device__ __forceinline__ static int column() { return static_cast<int>(threadIdx.x) % chunks * chunk; }

    __device__ __forceinline__ void load(T* tile, int step) const {
        const T* from = source + static_cast<long long>(step) * step_depth * stride;
#pragma unroll
        for (int row = first; row < step_depth; row += rows_a_pass, from += rows_a_pass * stride) {
            const bool there = good && step * step_depth + row < batch;
            copy_async<16>(tile + place_in_tile<chunks>(row, number), there ? from : matrix, there ? 16 : 0);
        }
    }

private:
    static constexpr int chunks = columns / chunk, rows_a_pass = threads / chunks;

    const int number = static_cast<int>(threadIdx.x) % chunks, first = static_cast<int>(threadIdx.x) / chunks;
    const T *matrix, *source;
    const bool good;
    const long long stride;
    const int batch;
};

template <class T, class Own>
__device__ __forceinline__ void store_partial(const Sampled<T>& given, const SampledPart& part,
                                              const float (&sums)[Own::tall][Own::wide][4]) {
    const long long size = static_cast<long long>(given.width) * given.depth;
    float* out = given.partial + blockIdx.y * size * given.tables.blocks;
    for_each_pair<Own>(sums, [&](int row, int column, float x, float y) {
        if (part.first_row + row >= given.width || column >= part.columns) return;
        const Cursor at(part.first_block, part.first_column + column, given.depth);
        const long long place = at.block * size + static_cast<long long>(part.first_row + row) * given.depth;
        *reinterpret_cast<float2*>(out + place + at.column) = make_float2(x, y);
    });
}

template <class T, class Own>
__device__ __forceinline__ void store_sampled(const Sampled<T>& given, const SampledPart& part,
                                              T* memory, const float (&sums)[Own::tall][Own::wide][4]) {
    for_each_pair<Own>(sums, [&](int row, int column, float x, float y) {
        store_pair(memory + row * Own::out_stride + column, x, y);
    });
    __syncthreads();
    constexpr int chunks = Own::columns / chunk, rows_a_pass = Own::threads / chunks;
    const int column = static_cast<int>(threadIdx.x) % chunks * chunk;
    if (column >= part.columns) return;
    const Cursor at(part.first_block, part.first_column + column, given.depth);
    T* target = given.values + (static_cast<long long>(at.block) * given.width + part.first_row) * given.depth + at.column;
    for (int row = static_cast<int>(threadIdx.x) / chunks; row < Own::rows && part.first_row + row < given.width;
         row += rows_a_pass)
        *reinterpret_cast<uint4*>(target + static_cast<long long>(row) * given.depth) =
            *reinterpret_cast<const uint4*>(memory + row * Own::out_stride + column);
}

// values[b] = the outputs' gradients of its group, transposed, times the inputs that it reads; summed over the batch, or
// over a part of it, which `add_splits` puts together in a fixed order.
template <class T, class Own>
__global__ void __launch_bounds__(Own::threads) block_sampled(Sampled<T> given) {
    PRUNE_ADAPTERS_DYNAMIC_SHARED(T, memory);
    const SampledPart part = sampled_part(given, Own::rows, Own::columns);
    if (part.columns <= 0) return;

    using Left = BatchLoader<T, Own::rows, Own::threads>;
    using Right = BatchLoader<T, Own::columns, Own::threads>;
    const int output = part.first_row + Left::column();
    const Left left(given.grad,
                    part.first_batch * given.grad_stride() + static_cast<long long>(part.group) * given.width + output,
                    output < given.width, given.grad_stride(), part.batch);
    const bool reads = Right::column() < part.columns;
    const Cursor at(part.first_block, part.first_column + Right::column(), given.depth);
    const int other = reads ? other_group(given.tables, at.block) : 0;
    const Right right(given.x,
                      part.first_batch * given.x_stride() + static_cast<long long>(other) * given.depth + at.column, reads,
                      given.x_stride(), part.batch);

    float sums[Own::tall][Own::wide][4] = {};
    pipeline<Own::stages>(
        (part.batch + step_depth - 1) / step_depth,
        [&](int step, int stage) {
            T* tile = memory + stage * Own::stage_size;
            left.load(tile, step);
            right.load(tile + Own::left_size, step);
        },
        [&](int stage) {
            const T* tile = memory + stage * Own::stage_size;
            multiply<T, Own, true, true>(tile, tile + Own::left_size, sums);
        });
    if (given.splits > 1)
        store_partial<T, Own>(given, part, sums);
    else
        store_sampled<T, Own>(given, part, memory, sums);
}

// The sum over the splits, always in the same order.
template <class T>
__global__ void __launch_bounds__(256) add_splits(const Sum<T>* partial, int splits, long long size, T* values) {
    const long long stride = static_cast<long long>(gridDim.x) * blockDim.x;
    for (long long k = static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x; k < size; k += stride) {
        Sum<T> sum = 0;
        for (int split = 0; split < splits; ++split) sum += partial[split * size + k];
        values[k] = narrow<T>(sum);
    }
}

}  // namespace prune_adapters::cuda
