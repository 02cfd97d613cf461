// block_linear on the ordinary cores: exact float32 and float64, and blocks of any size in every dtype.
//
// Tiles and tables as in block_rows.cuh and block_sampled.cuh; a thread makes a square of the result.
#pragma once

#include "block_rows.cuh"
#include "block_sampled.cuh"

namespace prune_adapters::cuda {

// 16 x 16 threads, each with `own` x `own` results, whose rows and columns lie next to each other.
template <int own_>
struct PlainTile {
    static constexpr int own = own_, size = 16 * own, threads = 256, depth = 16;
    static constexpr int stride = size + 4;  // rows keep their alignment, and columns spread over the banks

    __device__ __forceinline__ static int row() { return static_cast<int>(threadIdx.x) / 16 * own; }
    __device__ __forceinline__ static int column() { return static_cast<int>(threadIdx.x) % 16 * own; }
};

template <class Own, class S>
__device__ __forceinline__ void multiply_plain(const S* left, const S* right, S (&sums)[Own::own][Own::own]) {
#pragma unroll
    for (int depth = 0; depth < Own::depth; ++depth) {
        S a[Own::own], b[Own::own];
#pragma unroll
        for (int k = 0; k < Own::own; ++k) {
            a[k] = left[depth * Own::stride + Own::row() + k];
            b[k] = right[depth * Own::stride + Own::column() + k];
        }
#pragma unroll
        for (int i = 0; i < Own::own; ++i)
#pragma unroll
            for (int j = 0; j < Own::own; ++j) sums[i][j] += a[i] * b[j];
    }
}

// Values of a step with `depth` neighbouring numbers, and the inputs: a thread has one depth of every 16th row.
template <class T, class Own>
__device__ __forceinline__ void load_plain_rows(const Rows<T>& given, const Part& part, const Cursor& cursor, bool inside,
                                                bool transposed, Sum<T>* left, Sum<T>* right) {
    const int depth = static_cast<int>(threadIdx.x) % Own::depth, first = static_cast<int>(threadIdx.x) / Own::depth;
    const int other = inside ? other_group(given.tables, cursor.block) : 0;
    const long long place = inside ? place_of(given.tables, cursor.block) : 0;
    const T* inputs = given.x + part.first_row * given.x_stride() + static_cast<long long>(other) * given.depth + cursor.column;
    const T* values = given.values + place * given.block_size();
    for (int row = first; row < Own::size; row += Own::threads / Own::depth) {
        const int column = part.first_column + row;
        const bool good = inside && column < given.width;
        const long long at = transposed ? static_cast<long long>(cursor.column) * given.width + column
                                        : static_cast<long long>(column) * given.depth + cursor.column;
        left[depth * Own::stride + row] = inside && row < part.rows ? wide(inputs[row * given.x_stride()]) : Sum<T>(0);
        right[depth * Own::stride + row] = good ? wide(values[at]) : Sum<T>(0);
    }
}

template <class T, class Own>
__device__ __forceinline__ void store_plain_rows(const Rows<T>& given, const Part& part,
                                                 const Sum<T> (&sums)[Own::own][Own::own]) {
    const long long group = static_cast<long long>(part.group) * given.width;
#pragma unroll
    for (int i = 0; i < Own::own; ++i)
#pragma unroll
        for (int j = 0; j < Own::own; ++j) {
            const int row = Own::row() + i, column = part.first_column + Own::column() + j;
            if (row >= part.rows || column >= given.width) continue;
            const Sum<T> bias = given.bias ? wide(given.bias[group + column]) : Sum<T>(0);
            given.y[(part.first_row + row) * given.y_stride() + group + column] = narrow<T>(sums[i][j] + bias);
        }
}

template <class T, class Own, bool transposed>
__global__ void __launch_bounds__(Own::threads) block_rows_plain(Rows<T> given) {
    using Array = Sum<T>[Own::depth * Own::stride];
    PRUNE_ADAPTERS_SHARED(Array, left);
    PRUNE_ADAPTERS_SHARED(Array, right);
    const Part part = part_of(given, Own::size, Own::size);
    const int first = first_block(given.tables, part.group), last = last_block(given.tables, part.group);
    Cursor cursor(first, static_cast<int>(threadIdx.x) % Own::depth, given.depth);
    Sum<T> sums[Own::own][Own::own] = {};
    const long long depth = static_cast<long long>(last - first) * given.depth;
    for (long long start = 0; start < depth; start += Own::depth) {
        load_plain_rows<T, Own>(given, part, cursor, cursor.block < last, transposed, left, right);
        cursor.advance(Own::depth, given.depth);
        __syncthreads();
        multiply_plain<Own>(left, right, sums);
        __syncthreads();
    }
    store_plain_rows<T, Own>(given, part, sums);
}

template <class T>
struct PlainSampled {
    Sampled<T> given;
    Sum<T>* partial;  // in place of given.partial
};

// A thread has one column of both matrices, in every so many rows of the batch.
template <class T, class Own>
__device__ __forceinline__ void load_plain_batch(const Sampled<T>& given, const SampledPart& part,
                                                 int start, Sum<T>* left, Sum<T>* right) {
    for (int k = static_cast<int>(threadIdx.x); k < Own::depth * Own::size; k += Own::threads) {
        const int row = start + k / Own::size, column = k % Own::size, at = k / Own::size * Own::stride + column;
        const int output = part.first_row + column;
        const bool there = row < part.batch, reads = there && column < part.columns;
        const Cursor input(part.first_block, part.first_column + column, given.depth);
        const long long x = reads ? static_cast<long long>(other_group(given.tables, input.block)) * given.depth + input.column : 0;
        const long long y = static_cast<long long>(part.group) * given.width + output;
        left[at] = there && output < given.width ? wide(given.grad[(part.first_batch + row) * given.grad_stride() + y])
                                                 : Sum<T>(0);
        right[at] = reads ? wide(given.x[(part.first_batch + row) * given.x_stride() + x]) : Sum<T>(0);
    }
}

template <class T, class Own>
__device__ __forceinline__ void store_plain_sampled(const PlainSampled<T>& all, const SampledPart& part,
                                                    const Sum<T> (&sums)[Own::own][Own::own]) {
    const Sampled<T>& given = all.given;
    const long long size = static_cast<long long>(given.width) * given.depth;
#pragma unroll
    for (int i = 0; i < Own::own; ++i)
#pragma unroll
        for (int j = 0; j < Own::own; ++j) {
            const int row = part.first_row + Own::row() + i, column = Own::column() + j;
            if (row >= given.width || column >= part.columns) continue;
            const Cursor at(part.first_block, part.first_column + column, given.depth);
            const long long place = at.block * size + static_cast<long long>(row) * given.depth + at.column;
            if (given.splits > 1)
                all.partial[blockIdx.y * size * given.tables.blocks + place] = sums[i][j];
            else
                given.values[place] = narrow<T>(sums[i][j]);
        }
}

template <class T, class Own>
__global__ void __launch_bounds__(Own::threads) block_sampled_plain(PlainSampled<T> all) {
    using Array = Sum<T>[Own::depth * Own::stride];
    PRUNE_ADAPTERS_SHARED(Array, left);
    PRUNE_ADAPTERS_SHARED(Array, right);
    const SampledPart part = sampled_part(all.given, Own::size, Own::size);
    if (part.columns <= 0) return;
    Sum<T> sums[Own::own][Own::own] = {};
    for (int start = 0; start < part.batch; start += Own::depth) {
        load_plain_batch<T, Own>(all.given, part, start, left, right);
        __syncthreads();
        multiply_plain<Own>(left, right, sums);
        __syncthreads();
    }
    store_plain_sampled<T, Own>(all, part, sums);
}

}  // namespace prune_adapters::cuda
