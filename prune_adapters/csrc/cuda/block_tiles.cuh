// What the kernels on blocks share: where a column of gathered inputs lies, tiles in shared memory, products of tiles.
#pragma once

#include "blocks.hpp"
#include "numbers.cuh"

namespace prune_adapters::cuda {

// Whoever calls torch.ops may pass any numbers: none of them leads outside of a buffer.
__device__ __forceinline__ int in_range(int number, int size) {
    return static_cast<unsigned>(number) < static_cast<unsigned>(size) ? number : 0;
}
__device__ __forceinline__ int first_block(const BlockTables& tables, int group) {
    return min(max(tables.ptr[group], 0), tables.blocks);
}
__device__ __forceinline__ int last_block(const BlockTables& tables, int group) { return first_block(tables, group + 1); }
__device__ __forceinline__ int other_group(const BlockTables& tables, int block) {
    return in_range(tables.idx[block], tables.other_groups);
}
__device__ __forceinline__ int place_of(const BlockTables& tables, int block) {
    return tables.perm ? in_range(tables.perm[block], tables.blocks) : block;
}

// A column of what a group reads, its blocks side by side: block and column inside of it.
struct Cursor {
    int block, column;

    __device__ __forceinline__ Cursor(int first, int start, int width) : block(first), column(start) { settle(width); }
    __device__ __forceinline__ void advance(int by, int width) {
        column += by;
        settle(width);
    }

private:
    __device__ __forceinline__ void settle(int width) {
        while (column >= width) {
            column -= width;
            ++block;
        }
    }
};

// Numbers of 16 bits come 8 at a time, a chunk; the tensor cores take depth 16 at a time.
constexpr int chunk = 8, step_depth = 64;

// Place of a chunk in a tile with `chunks` of them a row: turned, so that eight rows hit different banks.
template <int chunks>
__device__ __forceinline__ int place_in_tile(int row, int number) {
    static_assert(chunks == 2 || chunks == 4 || chunks % 8 == 0);
    constexpr int rows_a_line = chunks < 8 ? 8 / chunks : 1, turns = chunks < 8 ? chunks : 8;
    return (row * chunks + (number ^ (row / rows_a_line % turns))) * chunk;
}

__device__ __forceinline__ void store_pair(__half* at, float x, float y) {
    *reinterpret_cast<__half2*>(at) = __floats2half2_rn(x, y);
}
__device__ __forceinline__ void store_pair(__nv_bfloat16* at, float x, float y) {
    *reinterpret_cast<__nv_bfloat162*>(at) = __floats2bfloat162_rn(x, y);
}

// A tile of rows x columns of the result, cut into pieces of warp_rows x warp_columns, one a warp.
template <int rows_, int columns_, int warp_rows, int warp_columns, int stages_>
struct Tile {
    static constexpr int rows = rows_, columns = columns_, stages = stages_;
    static constexpr int tall = warp_rows / 16, wide = warp_columns / 8;  // products of a warp at one depth
    static constexpr int warps = rows / warp_rows * (columns / warp_columns), threads = 32 * warps;
    static constexpr int left_size = rows * step_depth, right_size = columns * step_depth;
    static constexpr int stage_size = left_size + right_size;
    static constexpr int out_stride = columns + chunk;  // of the result in shared memory: no two rows in the same bank
    static constexpr std::size_t bytes = 2 * std::size_t{stages} * stage_size;
    static_assert(warp_columns % 16 == 0 && rows * out_stride <= stages * stage_size);

    __device__ __forceinline__ static int first_row() {
        return static_cast<int>(threadIdx.x) / 32 / (columns / warp_columns) * warp_rows;
    }
    __device__ __forceinline__ static int first_column() {
        return static_cast<int>(threadIdx.x) / 32 % (columns / warp_columns) * warp_columns;
    }
};

// Add the product of two tiles of depth 64. By rows: a tile has a row for each row (or column) of the result. By depth:
// a row for each depth.
template <class T, class Own, bool left_by_depth, bool right_by_depth>
__device__ __forceinline__ void multiply(const T* left, const T* right, float (&sums)[Own::tall][Own::wide][4]) {
    constexpr int left_chunks = (left_by_depth ? Own::rows : step_depth) / chunk;
    constexpr int right_chunks = (right_by_depth ? Own::columns : step_depth) / chunk;
    const int lane = static_cast<int>(threadIdx.x) % 32, low = lane % 8, second = lane / 8 % 2, third = lane / 16;
#pragma unroll
    for (int depth = 0; depth < step_depth; depth += 16) {
        std::uint32_t a[Own::tall][4], b[Own::wide][2];
#pragma unroll
        for (int i = 0; i < Own::tall; ++i) {
            const int row = Own::first_row() + 16 * i;
            const int at = left_by_depth
                ? place_in_tile<left_chunks>(depth + low + 8 * third, row / chunk + second)
                : place_in_tile<left_chunks>(row + low + 8 * second, depth / chunk + third);
            load_matrices<left_by_depth>(a[i], left + at);
        }
#pragma unroll
        for (int j = 0; j < Own::wide; j += 2) {
            const int column = Own::first_column() + 8 * j;
            const int at = right_by_depth
                ? place_in_tile<right_chunks>(depth + low + 8 * second, column / chunk + third)
                : place_in_tile<right_chunks>(column + low + 8 * third, depth / chunk + second);
            std::uint32_t found[4];
            load_matrices<right_by_depth>(found, right + at);
            b[j][0] = found[0], b[j][1] = found[1], b[j + 1][0] = found[2], b[j + 1][1] = found[3];
        }
#pragma unroll
        for (int i = 0; i < Own::tall; ++i)
#pragma unroll
            for (int j = 0; j < Own::wide; ++j) mma_m16n8k16<T>(sums[i][j], a[i], b[j]);
    }
}

// Call `use(row, column, x, y)` for each two neighbouring numbers of the result that this thread has.
template <class Own, class Use>
__device__ __forceinline__ void for_each_pair(const float (&sums)[Own::tall][Own::wide][4], const Use& use) {
    const int lane = static_cast<int>(threadIdx.x) % 32;
#pragma unroll
    for (int i = 0; i < Own::tall; ++i)
#pragma unroll
        for (int j = 0; j < Own::wide; ++j)
#pragma unroll
            for (int half = 0; half < 2; ++half)
                use(Own::first_row() + 16 * i + 8 * half + lane / 4, Own::first_column() + 8 * j + lane % 4 * 2,
                    sums[i][j][2 * half], sums[i][j][2 * half + 1]);
}

// The steps of a product, with loads some steps ahead: `load(step, stage)` starts them, `use(stage)` multiplies.
template <int stages, class Load, class Use>
__device__ __forceinline__ void pipeline(int steps, const Load& load, const Use& use) {
    for (int step = 0; step < stages - 1; ++step) {
        if (step < steps) load(step, step);
        copy_commit();
    }
    int stage = 0, free = stages - 1;
    for (int step = 0; step < steps; ++step) {
        copy_wait<stages - 2>();
        __syncthreads();  // the copies of all threads are there, and nobody reads the stage that is loaded next
        if (step + stages - 1 < steps) load(step + stages - 1, free);
        copy_commit();
        use(stage);
        stage = stage + 1 == stages ? 0 : stage + 1;
        free = free + 1 == stages ? 0 : free + 1;
    }
    copy_wait<0>();
    __syncthreads();
}

}  // namespace prune_adapters::cuda
