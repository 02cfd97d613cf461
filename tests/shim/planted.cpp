// Small kernels, each right with bug 0 and wrong in one way with any other: the shim must see the difference.
#include "prune_adapters/csrc/cuda/device.cuh"
#include "prune_adapters/csrc/cuda/host/harness.hpp"

namespace {

using namespace prune_adapters::cuda;

// Columns of a 64 x 64 matrix become rows, 32 x 32 at a time, by one block of 32 x 8 threads.
enum { no_barrier_after_write = 1, no_barrier_after_read, divergent, other_line, too_far, not_written, gone };
__global__ void transpose(const float* from, float* to, int bug) {
    using Tile = float[32][33];
    PRUNE_ADAPTERS_SHARED(Tile, tile);
    const int x = threadIdx.x, y = threadIdx.y;
    if (bug == gone && y == 7) return;
    for (int part = 0; part < 4; ++part) {
        const int top = part / 2 * 32, left = part % 2 * 32;
        for (int k = y; k < 32; k += 8)
            if (bug != not_written || k < 31) tile[k][x] = from[(top + k) * 64 + left + x];
        if (bug == too_far && y == 7) tile[32][x] = 0;
        if (bug == divergent) {
            if (x < 16) __syncthreads();
        } else if (bug == other_line && x == 3) {
            __syncthreads();
        } else if (bug != no_barrier_after_write) {
            __syncthreads();
        }
        for (int k = y; k < 32; k += 8) to[(left + k) * 64 + top + x] = tile[x][k];
        if (bug != no_barrier_after_read) __syncthreads();
    }
}

// Sums of 4 floats that 64 threads bring in by asynchronous copies, two buffers in turn; thread t adds what its
// neighbour has brought.
enum { no_wait = 1, waits_for_all_but_the_last, no_barrier_before_use, no_barrier_after_use };
__global__ void pipeline(const float* from, float* to, int steps, int bug) {
    using Buffers = float[2][64][4];
    PRUNE_ADAPTERS_SHARED(Buffers, buffers);
    const int own = threadIdx.x, other = (own + 33) % 64;
    const auto fetch = [&](int step) {
        copy_async<16>(buffers[step % 2][own], from + (step * 64 + own) * 4, own < 60 ? 16 : 4);
        copy_commit();
    };
    float sum = 0;
    fetch(0);
    for (int step = 0; step < steps; ++step) {
        const bool more = step + 1 < steps;
        if (more) fetch(step + 1);
        if (bug != no_wait) {
            if (more || bug == waits_for_all_but_the_last)
                copy_wait<1>();
            else
                copy_wait<0>();
        }
        if (bug != no_barrier_before_use) __syncthreads();
        for (int k = 0; k < 4; ++k) sum += buffers[step % 2][other][k];
        if (bug != no_barrier_after_use) __syncthreads();
    }
    to[own] = sum;
}

// Each lane the sum of its warp, and the number of the lanes with a negative value.
enum { wrong_distance = 1, absent_lane, left_out, lanes_missing };
__global__ void sum_of_warp(const float* from, float* to, int* negative, int bug) {
    const int own = blockIdx.x * blockDim.x + threadIdx.x;
    float sum = from[own];
    if (bug == lanes_missing && threadIdx.x % 32 == 5) return;
    for (int by = 16; by; by /= 2) sum += __shfl_xor_sync(~0u, sum, bug == wrong_distance && by == 8 ? 4 : by);
    if (bug == absent_lane) sum = __shfl_sync(0xffffu << threadIdx.x / 16 % 2 * 16, sum, 7);
    if (bug == left_out) __syncwarp(0xfffffffe);
    to[own] = sum;
    negative[own] = __popc(__ballot_sync(~0u, from[own] < 0));
}

// D (16 x 8) = A (16 x 16) B (16 x 8) by one warp; B is given transposed, 8 x 16.
enum { swapped_rows = 1, wrong_column, swapped_halves };
template <class T>
__device__ std::uint32_t pair_at(const T* matrix, int row, int column) {
    std::uint32_t pair;
    memcpy(&pair, matrix + row * 16 + column, sizeof pair);
    return pair;
}
template <class T>
__global__ void product(const T* a, const T* b, float* d, int bug) {
    const int lane = threadIdx.x, group = lane / 4, turn = lane % 4 * 2;
    const int low = bug == swapped_rows ? 8 : 0;
    std::uint32_t rows[4], columns[2];
    for (int i = 0; i < 4; ++i) rows[i] = pair_at(a, group + (i % 2 * 8 ^ low), turn + i / 2 * 8);
    for (int i = 0; i < 2; ++i)
        columns[i] = pair_at(b, bug == wrong_column ? lane % 8 : group, turn + (bug == swapped_halves ? 1 - i : i) * 8);
    float own[4] = {};
    mma_m16n8k16<T>(own, rows, columns);
    for (int i = 0; i < 4; ++i) d[(group + i / 2 * 8) * 8 + turn + i % 2] = own[i];
}

// The same with fragments that ldmatrix brings from shared memory; B is given as it is, 16 x 8.
template <class T>
__global__ void product_of_loaded(const T* a, const T* b, float* d, int bug) {
    struct alignas(16) Matrices {
        T a[16][16], b[16][8];
    };
    PRUNE_ADAPTERS_SHARED(Matrices, matrices);
    const int lane = threadIdx.x;
    for (int k = lane; k < 256; k += 32) matrices.a[k / 16][k % 16] = a[k];
    for (int k = lane; k < 128; k += 32) matrices.b[k / 8][k % 8] = b[k];
    if (bug != no_barrier_after_write) __syncwarp();
    std::uint32_t rows[4], columns[4];
    load_matrices<false>(rows, &matrices.a[lane % 16][lane / 16 * 8]);
    load_matrices<true>(columns, &matrices.b[lane % 16][0]);
    const std::uint32_t used[2] = {columns[0], columns[1]};
    float own[4] = {};
    mma_m16n8k16<T>(own, rows, used);
    for (int i = 0; i < 4; ++i) d[(lane / 4 + i / 2 * 8) * 8 + lane % 4 * 2 + i % 2] = own[i];
}

// D (16 x 8) = A (16 x 8) B (8 x 8) in tf32.
__global__ void product_tf32(const float* a, const float* b, float* d) {
    const int lane = threadIdx.x, group = lane / 4, turn = lane % 4;
    std::uint32_t rows[4], columns[2];
    for (int i = 0; i < 4; ++i) rows[i] = to_tf32(a[(group + i % 2 * 8) * 8 + turn + i / 2 * 4]);
    for (int i = 0; i < 2; ++i) columns[i] = to_tf32(b[(turn + i * 4) * 8 + group]);
    float own[4] = {};
    mma_m16n8k8_tf32(own, rows, columns);
    for (int i = 0; i < 4; ++i) d[(group + i / 2 * 8) * 8 + turn * 2 + i % 2] = own[i];
}

// Each element the number of its block and thread, by a grid of three dimensions and dynamic memory.
__global__ void numbers(int* to) {
    PRUNE_ADAPTERS_DYNAMIC_SHARED(int, own);
    const int thread = (threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x;
    const int block = (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
    const int threads = blockDim.x * blockDim.y * blockDim.z;
    own[thread] = block * 1000 + thread;
    __syncthreads();
    to[block * threads + thread] = own[threads - 1 - thread];
}

}  // namespace

using prune_adapters::host::guarded;

PRUNE_ADAPTERS_EXPORT const char* run_transpose(const float* from, float* to, int bug) {
    return guarded([&] { launch(transpose, dim3(1), dim3(32, 8), 0, nullptr, from, to, bug); });
}
PRUNE_ADAPTERS_EXPORT const char* run_pipeline(const float* from, float* to, int steps, int bug) {
    return guarded([&] { launch(pipeline, dim3(1), dim3(64), 0, nullptr, from, to, steps, bug); });
}
PRUNE_ADAPTERS_EXPORT const char* run_sum(const float* from, float* to, int* negative, int blocks, int bug) {
    return guarded([&] { launch(sum_of_warp, dim3(blocks), dim3(64), 0, nullptr, from, to, negative, bug); });
}
PRUNE_ADAPTERS_EXPORT const char* run_product(const void* a, const void* b, float* d, bool half, bool loaded, int bug) {
    return guarded([&] {
        const auto run = [&](auto zero) {
            using T = decltype(zero);
            const auto kernel = loaded ? product_of_loaded<T> : product<T>;
            launch(kernel, dim3(1), dim3(32), 0, nullptr, static_cast<const T*>(a), static_cast<const T*>(b), d, bug);
        };
        half ? run(__half{}) : run(__nv_bfloat16{});
    });
}
PRUNE_ADAPTERS_EXPORT const char* run_product_tf32(const float* a, const float* b, float* d) {
    return guarded([&] { launch(product_tf32, dim3(1), dim3(32), 0, nullptr, a, b, d); });
}
PRUNE_ADAPTERS_EXPORT const char* run_numbers(int* to, const unsigned* grid, const unsigned* threads) {
    return guarded([&] {
        const dim3 size(threads[0], threads[1], threads[2]);
        const std::size_t bytes = sizeof(int) * size.x * size.y * size.z;
        launch(numbers, dim3(grid[0], grid[1], grid[2]), size, bytes, nullptr, to);
    });
}
PRUNE_ADAPTERS_EXPORT float half_to_float(std::uint16_t bits) { return __half2float({bits}); }
PRUNE_ADAPTERS_EXPORT std::uint16_t float_to_half(float value) { return __float2half(value).bits; }
PRUNE_ADAPTERS_EXPORT float bfloat16_to_float(std::uint16_t bits) { return __bfloat162float({bits}); }
PRUNE_ADAPTERS_EXPORT std::uint16_t float_to_bfloat16(float value) { return __float2bfloat16(value).bits; }
