// block_linear on tensor cores: each tile of the result gathers the inputs that its group reads.
//
// The depth of the product runs over the blocks of a group side by side, in steps of 64, whatever the size of a block:
// small blocks share a step. The inputs of a tile are gathered while they are copied to shared memory.
#pragma once

#include "block_tiles.cuh"

namespace prune_adapters::cuda {

template <class T>
struct Rows {
    const T *x, *values, *bias;  // x (batch, other_groups * depth); bias may be null
    T* y;                        // (batch, groups * width)
    BlockTables tables;
    long long batch;
    int width, depth;  // of a block: its outputs and its inputs

    __device__ __forceinline__ long long x_stride() const { return static_cast<long long>(tables.other_groups) * depth; }
    __device__ __forceinline__ long long y_stride() const { return static_cast<long long>(tables.groups) * width; }
    __device__ __forceinline__ long long block_size() const { return static_cast<long long>(width) * depth; }
};

// The part of the result that a block of threads makes. Tiles of the same rows are neighbours: they share their inputs
// in the L2 cache.
struct Part {
    int group, first_column, rows;  // `rows` are left from first_row on
    long long first_row;
};
template <class T>
__device__ __forceinline__ Part part_of(const Rows<T>& given, int tile_rows, int tile_columns) {
    const int tiles = (given.width + tile_columns - 1) / tile_columns, across = given.tables.groups * tiles;
    const int number = static_cast<int>(blockIdx.x % across);
    const long long first_row = static_cast<long long>(blockIdx.x / across) * tile_rows;
    const long long left = given.batch - first_row;
    return {number / tiles, number % tiles * tile_columns, static_cast<int>(left < tile_rows ? left : tile_rows),
            first_row};
}

// Copies the inputs, and values with `depth` neighbouring numbers: each thread has a chunk of every so many rows.
template <class T, class Own>
class RowLoader {
public:
    __device__ __forceinline__ RowLoader(const Rows<T>& given, const Part& part)
        : given(given), part(part), last(last_block(given.tables, part.group)),
          cursor(first_block(given.tables, part.group), number * chunk, given.depth) {
        look_up();
    }

    __device__ __forceinline__ void load_inputs(T* tile) const {
        const long long stride = given.x_stride();
        const T* source = given.x + (part.first_row + first) * stride + static_cast<long long>(other) * given.depth +
                          cursor.column;
#pragma unroll
        for (int row = first; row < Own::rows; row += rows_a_pass, source += rows_a_pass * stride) {
            const bool good = inside() && row < part.rows;
            copy_async<16>(tile + place_in_tile<chunks>(row, number), good ? source : given.x, good ? 16 : 0);
        }
    }
    __device__ __forceinline__ void load_values(T* tile) const {
        const T* source = given.values + place * given.block_size() +
                          static_cast<long long>(part.first_column + first) * given.depth + cursor.column;
#pragma unroll
        for (int row = first; row < Own::columns; row += rows_a_pass, source += rows_a_pass * given.depth) {
            const bool good = inside() && part.first_column + row < given.width;
            copy_async<16>(tile + place_in_tile<chunks>(row, number), good ? source : given.values, good ? 16 : 0);
        }
    }
    __device__ __forceinline__ void advance() {
        cursor.advance(step_depth, given.depth);
        look_up();
    }

private:
    static constexpr int chunks = step_depth / chunk, rows_a_pass = Own::threads / chunks;

    __device__ __forceinline__ bool inside() const { return cursor.block < last; }
    // One step ahead of its use, which hides the time that it takes.
    __device__ __forceinline__ void look_up() {
        other = inside() ? other_group(given.tables, cursor.block) : 0;
        place = inside() ? place_of(given.tables, cursor.block) : 0;
    }

    const Rows<T>& given;
    const Part& part;
    const int number = static_cast<int>(threadIdx.x) % chunks, first = static_cast<int>(threadIdx.x) / chunks;
    const int last;
    Cursor cursor;
    int other = 0, place = 0;
};

// Copies values with `width` neighbouring numbers, so a row of the tile for each depth.
template <class T, class Own>
class DepthLoader {
public:
    __device__ __forceinline__ DepthLoader(const Rows<T>& given, const Part& part)
        : given(given), part(part), last(last_block(given.tables, part.group)),
          start(first_block(given.tables, part.group), 0, given.depth) {
        look_up();
    }

    __device__ __forceinline__ void load_values(T* tile) const {
        const int column = part.first_column + number * chunk;
#pragma unroll
        for (int row = first; row < step_depth; row += rows_a_pass) {
            const Cursor at(start.block, start.column + row, given.depth);
            const bool good = at.block < last && column < given.width;
            const long long own = at.block == start.block ? place : good ? place_of(given.tables, at.block) : 0;
            const T* source = given.values + own * given.block_size() +
                              static_cast<long long>(at.column) * given.width + column;
            copy_async<16>(tile + place_in_tile<chunks>(row, number), good ? source : given.values, good ? 16 : 0);
        }
    }
    __device__ __forceinline__ void advance() {
        start.advance(step_depth, given.depth);
        look_up();
    }

private:
    static constexpr int chunks = Own::columns / chunk, rows_a_pass = Own::threads / chunks;

    __device__ __forceinline__ void look_up() { place = start.block < last ? place_of(given.tables, start.block) : 0; }

    const Rows<T>& given;
    const Part& part;
    const int number = static_cast<int>(threadIdx.x) % chunks, first = static_cast<int>(threadIdx.x) / chunks;
    const int last;
    Cursor start;
    int place = 0;
};

// By way of shared memory, so that neighbouring threads write neighbouring memory.
template <class T, class Own>
__device__ __forceinline__ void store_rows(const Rows<T>& given, const Part& part, T* memory,
                                           const float (&sums)[Own::tall][Own::wide][4]) {
    const T* bias = given.bias ? given.bias + static_cast<long long>(part.group) * given.width : nullptr;
    for_each_pair<Own>(sums, [&](int row, int column, float x, float y) {
        const int own = part.first_column + column;
        const bool add = bias && own < given.width;
        store_pair(memory + row * Own::out_stride + column, x + (add ? wide(bias[own]) : 0.0f),
                   y + (add ? wide(bias[own + 1]) : 0.0f));
    });
    __syncthreads();
    constexpr int chunks = Own::columns / chunk, rows_a_pass = Own::threads / chunks;
    const int column = static_cast<int>(threadIdx.x) % chunks * chunk;
    T* target = given.y + part.first_row * given.y_stride() + static_cast<long long>(part.group) * given.width +
                part.first_column + column;
    if (part.first_column + column >= given.width) return;
    for (int row = static_cast<int>(threadIdx.x) / chunks; row < part.rows; row += rows_a_pass)
        *reinterpret_cast<uint4*>(target + row * given.y_stride()) =
            *reinterpret_cast<const uint4*>(memory + row * Own::out_stride + column);
}

// y = x times the blocks, plus bias. Values are (blocks, width, depth), or (blocks, depth, width) if `transposed`.
// Width and depth are multiples of 8; all buffers begin at multiples of 16 bytes.
template <class T, class Own, bool transposed>
__global__ void __launch_bounds__(Own::threads) block_rows(Rows<T> given) {
    PRUNE_ADAPTERS_DYNAMIC_SHARED(T, memory);
    const Part part = part_of(given, Own::rows, Own::columns);
    const int blocks = last_block(given.tables, part.group) - first_block(given.tables, part.group);
    const int steps = blocks > 0 ? static_cast<int>((static_cast<long long>(blocks) * given.depth + step_depth - 1) /
                                                    step_depth) : 0;
    RowLoader<T, Own> rows(given, part);
    DepthLoader<T, Own> depths(given, part);
    float sums[Own::tall][Own::wide][4] = {};
    pipeline<Own::stages>(
        steps,
        [&](int, int stage) {
            T* tile = memory + stage * Own::stage_size;
            rows.load_inputs(tile);
            if constexpr (transposed) {
                depths.load_values(tile + Own::left_size);
                depths.advance();
            } else {
                rows.load_values(tile + Own::left_size);
            }
            rows.advance();
        },
        [&](int stage) {
            const T* tile = memory + stage * Own::stage_size;
            multiply<T, Own, false, transposed>(tile, tile + Own::left_size, sums);
        });
    store_rows<T, Own>(given, part, memory, sums);
}

}  // namespace prune_adapters::cuda
