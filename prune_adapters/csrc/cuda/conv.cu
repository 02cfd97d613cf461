// Sparse convolutions. No atomics: a thread or a warp takes each sum, in the order of the tables.
#include "conv.hpp"

#include <stdexcept>

#include "numbers.cuh"

namespace prune_adapters::cuda {
namespace {

constexpr int warps = 8, block_size = warps * warp_size;

struct Entries {
    Index begin, end;
};

// The entries of a row of a table, within the table whatever it says.
__device__ __forceinline__ Entries entries_of(const std::int32_t* ptr, Index row, Index count) {
    const Index begin = ptr[row] > 0 ? ptr[row] : 0, end = ptr[row + 1];
    return {begin, end < count ? end : count};
}

// What an entry of idx or t_idx stands for: a channel on the other side and some taps of its kernel; channel -1 for
// one that does not exist.
struct Kernel {
    int channel, first_tap, taps;
};

__device__ __forceinline__ Kernel kernel_at(const ConvTables& tables, Index entry, Index channels) {
    const int taps = static_cast<int>(tables.kh * tables.kw);
    if (!tables.by_taps) return {entry >= 0 && entry < channels ? static_cast<int>(entry) : -1, 0, taps};
    if (entry < 0 || entry >= channels * taps) return {-1, 0, 0};
    return {static_cast<int>(entry / taps), static_cast<int>(entry % taps), 1};
}

// The input that an output reads at a tap; outside of the image it is none.
__device__ __forceinline__ Index input_of(const Axis& axis, Index output, int tap) {
    const Index input = output * axis.stride + axis.begin + tap * axis.step;
    return input >= 0 && input < axis.in ? input : -1;
}

// The output that reads an input at a tap, or -1.
__device__ __forceinline__ Index output_of(const Axis& axis, Index input, int tap) {
    const Index from = input - axis.begin - tap * axis.step;
    if (from < 0 || from % axis.stride) return -1;
    return from / axis.stride < axis.out ? from / axis.stride : -1;
}

// A position of an image, of all images one after the other.
struct Position {
    Index image, row, column;
};

__device__ __forceinline__ Position position_of(Index number, Index rows, Index columns) {
    const Index image = number / (rows * columns);
    const auto within = static_cast<unsigned>(number - image * rows * columns), width = static_cast<unsigned>(columns);
    return {image, within / width, within % width};
}

// Threads of a block take positions of one channel, `blocks` blocks each channel.
struct Share {
    Index channel, number;
};

__device__ __forceinline__ Share share_of_thread(Index blocks) {
    const Index channel = blockIdx.x / blocks;
    return {channel, (blockIdx.x - channel * blocks) * block_size + threadIdx.x};
}

// A thread for each element of y.
template <class T>
__global__ void __launch_bounds__(block_size)
    forward_kernel(const Conv conv, const T* x, const T* values, const T* bias, T* y, Index blocks) {
    const ConvTables& tables = conv.tables;
    const Axis &rows = conv.window.rows, &columns = conv.window.columns;
    const Share own = share_of_thread(blocks);
    if (own.number >= conv.batch * rows.out * columns.out) return;
    const Position to = position_of(own.number, rows.out, columns.out);
    Sum<T> sum = bias ? wide(bias[own.channel]) : Sum<T>(0);
    const Entries entries = entries_of(tables.ptr, own.channel, tables.count);
    for (Index entry = entries.begin; entry < entries.end; ++entry) {
        const Kernel kernel = kernel_at(tables, tables.idx[entry], tables.inputs);
        if (kernel.channel < 0) continue;
        const T* plane = x + (to.image * tables.inputs + kernel.channel) * rows.in * columns.in;
        const T* weights = values + entry * kernel.taps;
        for (int k = 0; k < kernel.taps; ++k) {
            const int tap = kernel.first_tap + k, across = static_cast<int>(tables.kw);
            const Index row = input_of(rows, to.row, tap / across);
            const Index column = input_of(columns, to.column, tap % across);
            if (row >= 0 && column >= 0) sum += wide(weights[k]) * wide(plane[row * columns.in + column]);
        }
    }
    y[(to.image * tables.outputs + own.channel) * rows.out * columns.out + to.row * columns.out + to.column] =
        narrow<T>(sum);
}

// A thread for each element of the gradient of x.
template <class T>
__global__ void __launch_bounds__(block_size)
    input_kernel(const Conv conv, const T* grad, const T* values, T* grad_x, Index blocks) {
    const ConvTables& tables = conv.tables;
    const Axis &rows = conv.window.rows, &columns = conv.window.columns;
    const Share own = share_of_thread(blocks);
    if (own.number >= conv.batch * rows.in * columns.in) return;
    const Position to = position_of(own.number, rows.in, columns.in);
    Sum<T> sum = 0;
    const Entries entries = entries_of(tables.t_ptr, own.channel, tables.count);
    for (Index entry = entries.begin; entry < entries.end; ++entry) {
        const Kernel kernel = kernel_at(tables, tables.t_idx[entry], tables.outputs);
        const Index place = tables.t_perm[entry];
        if (kernel.channel < 0 || place < 0 || place >= tables.count) continue;
        const T* plane = grad + (to.image * tables.outputs + kernel.channel) * rows.out * columns.out;
        const T* weights = values + place * kernel.taps;
        for (int k = 0; k < kernel.taps; ++k) {
            const int tap = kernel.first_tap + k, across = static_cast<int>(tables.kw);
            const Index row = output_of(rows, to.row, tap / across);
            const Index column = output_of(columns, to.column, tap % across);
            if (row >= 0 && column >= 0) sum += wide(weights[k]) * wide(plane[row * columns.out + column]);
        }
    }
    grad_x[(to.image * tables.inputs + own.channel) * rows.in * columns.in + to.row * columns.in + to.column] =
        narrow<T>(sum);
}

// The output channel of an entry, found in the table by halving.
__device__ __forceinline__ Index row_of(const ConvTables& tables, Index entry) {
    Index low = 0, high = tables.outputs;
    while (low < high) {
        const Index middle = (low + high + 1) / 2;
        if (tables.ptr[middle] <= entry)
            low = middle;
        else
            high = middle - 1;
    }
    return low;
}

// A warp for each value: its lanes share the outputs that the value has a part in.
template <class T>
__global__ void __launch_bounds__(block_size)
    value_kernel(const Conv conv, const T* grad, const T* x, T* grad_values, Index n_values) {
    const ConvTables& tables = conv.tables;
    const Axis &rows = conv.window.rows, &columns = conv.window.columns;
    const Index number = static_cast<Index>(blockIdx.x) * warps + threadIdx.x / warp_size;
    if (number >= n_values) return;
    const Index taps = tables.by_taps ? 1 : tables.kh * tables.kw;
    const Index entry = number / taps, output = row_of(tables, entry);
    const Kernel kernel = kernel_at(tables, tables.idx[entry], tables.inputs);
    const int tap = kernel.first_tap + static_cast<int>(number % taps), across = static_cast<int>(tables.kw);
    const Index positions = conv.batch * rows.out * columns.out;
    Sum<T> sum = 0;
    if (kernel.channel >= 0 && output < tables.outputs)
        for (Index k = threadIdx.x % warp_size; k < positions; k += warp_size) {
            const Position at = position_of(k, rows.out, columns.out);
            const Index row = input_of(rows, at.row, tap / across);
            const Index column = input_of(columns, at.column, tap % across);
            if (row < 0 || column < 0) continue;
            const Index ours = (at.image * tables.outputs + output) * rows.out + at.row;
            const Index theirs = (at.image * tables.inputs + kernel.channel) * rows.in + row;
            sum += wide(grad[ours * columns.out + at.column]) * wide(x[theirs * columns.in + column]);
        }
    sum = sum_over_warp(sum);
    if (threadIdx.x % warp_size == 0) grad_values[number] = narrow<T>(sum);
}

// A block for each channel: each thread every 256th element, then the warps one after the other.
template <class T>
__global__ void __launch_bounds__(block_size)
    bias_kernel(const T* grad, T* grad_bias, Index batch, Index channels, Index positions) {
    using Sums = Sum<T>[warps];
    PRUNE_ADAPTERS_SHARED(Sums, sums);
    Sum<T> sum = 0;
    for (Index k = threadIdx.x; k < batch * positions; k += block_size) {
        const Index image = k / positions;
        sum += wide(grad[(image * channels + blockIdx.x) * positions + k - image * positions]);
    }
    sum = sum_over_warp(sum);
    if (threadIdx.x % warp_size == 0) sums[threadIdx.x / warp_size] = sum;
    __syncthreads();
    if (threadIdx.x) return;
    sum = 0;
    for (int k = 0; k < warps; ++k) sum += sums[k];
    grad_bias[blockIdx.x] = narrow<T>(sum);
}

// How many blocks a channel takes, and all of them.
struct Grid {
    Index blocks;
    dim3 size;

    Grid(Index channels, Index elements) : blocks((elements + block_size - 1) / block_size) {
        if (channels * blocks > 0x7fffffff)
            throw std::runtime_error("prune_adapters: more images than a launch can take");
        size = dim3(static_cast<unsigned>(channels * blocks));
    }
};

}  // namespace

void conv_forward(Number number, const Conv& conv, const void* x, const void* values, const void* bias, void* y,
                  Stream stream) {
    const Grid grid(conv.tables.outputs, conv.batch * conv.window.rows.out * conv.window.columns.out);
    if (!conv.tables.outputs || !grid.blocks) return;
    with_type(number, [&](auto zero) {
        using T = decltype(zero);
        launch(forward_kernel<T>, grid.size, dim3(block_size), 0, static_cast<cudaStream_t>(stream), conv,
               static_cast<const T*>(x), static_cast<const T*>(values), static_cast<const T*>(bias), static_cast<T*>(y),
               grid.blocks);
    });
}

void conv_input_gradient(Number number, const Conv& conv, const void* grad, const void* values, void* grad_x,
                         Stream stream) {
    const Grid grid(conv.tables.inputs, conv.batch * conv.window.rows.in * conv.window.columns.in);
    if (!conv.tables.inputs || !grid.blocks) return;
    with_type(number, [&](auto zero) {
        using T = decltype(zero);
        launch(input_kernel<T>, grid.size, dim3(block_size), 0, static_cast<cudaStream_t>(stream), conv,
               static_cast<const T*>(grad), static_cast<const T*>(values), static_cast<T*>(grad_x), grid.blocks);
    });
}

void conv_value_gradient(Number number, const Conv& conv, const void* grad, const void* x, void* grad_values,
                         Stream stream) {
    const Index n_values = conv.tables.count * (conv.tables.by_taps ? 1 : conv.tables.kh * conv.tables.kw);
    if (!n_values) return;
    with_type(number, [&](auto zero) {
        using T = decltype(zero);
        launch(value_kernel<T>, dim3(blocks_for(n_values, warps)), dim3(block_size), 0,
               static_cast<cudaStream_t>(stream), conv, static_cast<const T*>(grad), static_cast<const T*>(x),
               static_cast<T*>(grad_values), n_values);
    });
}

void conv_bias_gradient(Number number, Index batch, Index channels, Index positions, const void* grad, void* grad_bias,
                        Stream stream) {
    if (!channels) return;
    with_type(number, [&](auto zero) {
        using T = decltype(zero);
        launch(bias_kernel<T>, dim3(static_cast<unsigned>(channels)), dim3(block_size), 0,
               static_cast<cudaStream_t>(stream), static_cast<const T*>(grad), static_cast<T*>(grad_bias), batch,
               channels, positions);
    });
}

}  // namespace prune_adapters::cuda
