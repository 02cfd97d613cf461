// What sparse products need of dense matrices: transposes and sums.
#include "kernels.hpp"
#include "numbers.cuh"

namespace prune_adapters::cuda {
namespace {

constexpr int side = 32, lines = 8;

// A block turns tiles of 32 x 32; the column too many keeps the banks of shared memory apart.
template <class T>
__global__ void __launch_bounds__(side* lines) transpose_kernel(const T* from, T* to, Index rows, Index columns) {
    using Tile = T[side][side + 1];
    PRUNE_ADAPTERS_SHARED(Tile, tile);
    const Index left = static_cast<Index>(blockIdx.x) * side;
    for (Index top = static_cast<Index>(blockIdx.y) * side; top < rows; top += static_cast<Index>(gridDim.y) * side) {
        for (int k = threadIdx.y; k < side; k += lines)
            if (top + k < rows && left + threadIdx.x < columns)
                tile[k][threadIdx.x] = from[(top + k) * columns + left + threadIdx.x];
        __syncthreads();
        for (int k = threadIdx.y; k < side; k += lines)
            if (left + k < columns && top + threadIdx.x < rows)
                to[(left + k) * rows + top + threadIdx.x] = tile[threadIdx.x][k];
        __syncthreads();
    }
}

// A block sums 32 columns: each of its warps every eighth row, then the warps one after the other.
template <class T>
__global__ void __launch_bounds__(side* lines) sum_rows_kernel(const T* from, T* sums, Index rows, Index columns) {
    using Parts = Sum<T>[lines][side];
    PRUNE_ADAPTERS_SHARED(Parts, parts);
    const Index column = static_cast<Index>(blockIdx.x) * side + threadIdx.x;
    Sum<T> sum = 0;
    if (column < columns)
        for (Index row = threadIdx.y; row < rows; row += lines) sum += wide(from[row * columns + column]);
    parts[threadIdx.y][threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.y || column >= columns) return;
    sum = 0;
    for (int k = 0; k < lines; ++k) sum += parts[k][threadIdx.x];
    sums[column] = narrow<T>(sum);
}

template <class T>
void launch_transpose(const void* from, void* to, Index rows, Index columns, Stream stream) {
    const dim3 grid(blocks_for(columns, side), blocks_for(rows, side, 65535));
    launch(transpose_kernel<T>, grid, dim3(side, lines), 0, static_cast<cudaStream_t>(stream),
           static_cast<const T*>(from), static_cast<T*>(to), rows, columns);
}

}  // namespace

void transpose(int size, const void* from, void* to, Index rows, Index columns, Stream stream) {
    if (!rows || !columns) return;
    switch (size) {
        case 2: return launch_transpose<std::uint16_t>(from, to, rows, columns, stream);
        case 4: return launch_transpose<std::uint32_t>(from, to, rows, columns, stream);
        default: return launch_transpose<unsigned long long>(from, to, rows, columns, stream);
    }
}

void sum_rows(Number number, const void* from, void* sums, Index rows, Index columns, Stream stream) {
    if (!columns) return;
    with_type(number, [&](auto zero) {
        using T = decltype(zero);
        launch(sum_rows_kernel<T>, dim3(blocks_for(columns, side)), dim3(side, lines), 0,
               static_cast<cudaStream_t>(stream), static_cast<const T*>(from), static_cast<T*>(sums), rows, columns);
    });
}

}  // namespace prune_adapters::cuda
