// Products with unstructured sparse matrices. No atomics: each sum is taken by one warp in a fixed order.
#include "kernels.hpp"
#include "numbers.cuh"

namespace prune_adapters::cuda {
namespace {

constexpr int warps = 8, block_size = warps * warp_size;

struct Span {
    Index begin, end;
};

// The places of the elements of a row in a panel, within the values whatever the table says.
__device__ __forceinline__ Span span_of(const Csr& matrix, int panel, int row) {
    const std::int32_t* ptr = matrix.ptr + static_cast<Index>(panel) * (matrix.rows + 1) + row;
    const Index begin = ptr[0] > 0 ? ptr[0] : 0, end = ptr[1];
    return {begin, end < matrix.n_values ? end : matrix.n_values};
}

// One element: its column and value, or column -1 for one that is not in the matrix.
template <class T>
struct Element {
    int column;
    Sum<T> value;
};

template <class T>
__device__ __forceinline__ Element<T> element_at(const Csr& matrix, const T* values, int panel, Index place) {
    const int within = matrix.idx[place];
    const Index column = static_cast<Index>(panel) * matrix.panel + within;
    const Index from = matrix.perm ? matrix.perm[place] : place;
    if (within < 0 || column >= matrix.columns || from < 0 || from >= matrix.n_values) return {-1, 0};
    return {static_cast<int>(column), wide(values[from])};
}

// A warp for each row and 32 `each` columns of y^T; x comes transposed. Lanes load 32 elements of the row together, then
// all lanes take one after the other. Eight rows leave together, so that whole sectors of y are written.
template <class T, int each>
__global__ void __launch_bounds__(block_size, 4)
    multiply_kernel(const Csr matrix, const T* values, const T* x, const T* bias, T* y, Index batch) {
    constexpr int span = each * warp_size;
    using Tile = Sum<T>[span][warps + 1];
    PRUNE_ADAPTERS_SHARED(Tile, tile);
    const int warp = threadIdx.x / warp_size, lane = threadIdx.x % warp_size;
    const int first_row = blockIdx.x * warps, row = first_row + warp;
    for (Index base = static_cast<Index>(blockIdx.y) * span; base < batch; base += static_cast<Index>(gridDim.y) * span) {
        Sum<T> sums[each] = {};
        for (int panel = 0; panel < matrix.n_panels && row < matrix.rows; ++panel) {
            const Span own = span_of(matrix, panel, row);
            for (Index begin = own.begin; begin < own.end; begin += warp_size) {
                Element<T> mine{-1, 0};
                if (begin + lane < own.end) mine = element_at(matrix, values, panel, begin + lane);
                const int count = static_cast<int>(own.end - begin < warp_size ? own.end - begin : warp_size);
                for (int k = 0; k < count; ++k) {
                    const int column = __shfl_sync(~0u, mine.column, k);
                    const Sum<T> value = __shfl_sync(~0u, mine.value, k);
                    if (column < 0) continue;
                    const T* from = x + static_cast<Index>(column) * batch + base + lane;
                    for (int i = 0; i < each; ++i)
                        if (base + lane + i * warp_size < batch) sums[i] += value * wide(from[i * warp_size]);
                }
            }
        }
        for (int i = 0; i < each; ++i) tile[lane + i * warp_size][warp] = sums[i];
        __syncthreads();
        const int to_row = first_row + threadIdx.x % warps;
        for (Index k = threadIdx.x / warps; k < span; k += block_size / warps) {
            if (to_row >= matrix.rows || base + k >= batch) continue;
            const Sum<T> shift = bias ? wide(bias[to_row]) : Sum<T>(0);
            y[(base + k) * matrix.rows + to_row] = narrow<T>(tile[k][threadIdx.x % warps] + shift);
        }
        __syncthreads();
    }
}

// A warp for each row; lanes share its elements. x is as it is: a row for each of up to `few_rows` samples.
template <class T, int samples>
__global__ void __launch_bounds__(block_size, 4)
    multiply_few_kernel(const Csr matrix, const T* values, const T* x, const T* bias, T* y, int batch) {
    const int lane = threadIdx.x % warp_size;
    const int row = blockIdx.x * warps + threadIdx.x / warp_size;
    if (row >= matrix.rows) return;
    Sum<T> sums[samples] = {};
    for (int panel = 0; panel < matrix.n_panels; ++panel) {
        const Span own = span_of(matrix, panel, row);
        for (Index place = own.begin + lane; place < own.end; place += warp_size) {
            const Element<T> mine = element_at(matrix, values, panel, place);
            if (mine.column < 0) continue;
            for (int b = 0; b < samples; ++b)
                if (b < batch) sums[b] += mine.value * wide(x[static_cast<Index>(b) * matrix.columns + mine.column]);
        }
    }
    const Sum<T> shift = bias ? wide(bias[row]) : Sum<T>(0);
    for (int b = 0; b < samples; ++b) {
        const Sum<T> sum = sum_over_warp(sums[b]);
        if (lane == 0 && b < batch) y[static_cast<Index>(b) * matrix.rows + row] = narrow<T>(sum + shift);
    }
}

struct Place {
    int row, column;
};

// The place in the matrix of an element, found in the table by halving; row -1 if it is in none.
__device__ __forceinline__ Place place_of(const Csr& matrix, Index element) {
    const Index stride = static_cast<Index>(matrix.rows) + 1;
    Index low = 0, high = matrix.n_panels * stride - 1;
    while (low < high) {
        const Index middle = (low + high + 1) / 2;
        if (matrix.ptr[middle] <= element)
            low = middle;
        else
            high = middle - 1;
    }
    const Index panel = low / stride, row = low % stride, within = matrix.idx[element];
    const Index column = panel * matrix.panel + within;
    if (row >= matrix.rows || within < 0 || column >= matrix.columns) return {-1, 0};
    return {static_cast<int>(row), static_cast<int>(column)};
}

// A warp for 32 elements: lanes find their places together, then all lanes share the batch of one after the other.
template <class T>
__global__ void __launch_bounds__(block_size, 4)
    products_kernel(const Csr matrix, const T* grad, const T* x, T* found, Index batch) {
    const int lane = threadIdx.x % warp_size;
    const Index first = (static_cast<Index>(blockIdx.x) * warps + threadIdx.x / warp_size) * warp_size;
    if (first >= matrix.n_values) return;
    Place mine{-1, 0};
    if (first + lane < matrix.n_values) mine = place_of(matrix, first + lane);
    Sum<T> own = 0;
    for (int k = 0; k < warp_size; ++k) {
        const int row = __shfl_sync(~0u, mine.row, k), column = __shfl_sync(~0u, mine.column, k);
        if (row < 0) continue;
        Sum<T> sum = 0;
        const T *ours = grad + static_cast<Index>(row) * batch, *theirs = x + static_cast<Index>(column) * batch;
        for (Index b = lane; b < batch; b += warp_size) sum += wide(ours[b]) * wide(theirs[b]);
        sum = sum_over_warp(sum);
        if (lane == k) own = sum;
    }
    if (first + lane < matrix.n_values) found[first + lane] = narrow<T>(own);
}

// A thread for each element; grad and x are as they are.
template <class T>
__global__ void __launch_bounds__(block_size, 4)
    products_few_kernel(const Csr matrix, const T* grad, const T* x, T* found, int batch) {
    const Index element = static_cast<Index>(blockIdx.x) * block_size + threadIdx.x;
    if (element >= matrix.n_values) return;
    const Place own = place_of(matrix, element);
    Sum<T> sum = 0;
    if (own.row >= 0)
        for (int b = 0; b < batch; ++b)
            sum += wide(grad[static_cast<Index>(b) * matrix.rows + own.row]) *
                   wide(x[static_cast<Index>(b) * matrix.columns + own.column]);
    found[element] = narrow<T>(sum);
}

template <class T>
void multiply(const Csr& matrix, const T* values, const T* x, const T* bias, T* y, Index batch, Stream stream) {
    const auto run = [&](auto kernel, unsigned parts, auto samples) {
        launch(kernel, dim3(blocks_for(matrix.rows, warps), parts), dim3(block_size), 0,
               static_cast<cudaStream_t>(stream), matrix, values, x, bias, y, samples);
    };
    if (batch == 1)
        run(multiply_few_kernel<T, 1>, 1, 1);
    else if (batch <= few_rows)
        run(multiply_few_kernel<T, few_rows>, 1, static_cast<int>(batch));
    else if (batch <= 2 * warp_size)
        run(multiply_kernel<T, 1>, blocks_for(batch, warp_size, 65535), batch);
    else
        run(multiply_kernel<T, 4>, blocks_for(batch, 4 * warp_size, 65535), batch);
}

}  // namespace

void csr_multiply(Number number, const Csr& matrix, const void* values, const void* x, const void* bias, void* y,
                  Index batch, Stream stream) {
    if (!batch || !matrix.rows) return;
    with_type(number, [&](auto zero) {
        using T = decltype(zero);
        multiply(matrix, static_cast<const T*>(values), static_cast<const T*>(x), static_cast<const T*>(bias),
                 static_cast<T*>(y), batch, stream);
    });
}

void csr_products(Number number, const Csr& matrix, const void* grad, const void* x, void* found, Index batch,
                  Stream stream) {
    if (!matrix.n_values) return;
    with_type(number, [&](auto zero) {
        using T = decltype(zero);
        const bool few = batch <= few_rows;
        const dim3 grid(blocks_for(matrix.n_values, few ? block_size : warps * warp_size));
        const auto run = [&](auto kernel, auto samples) {
            launch(kernel, grid, dim3(block_size), 0, static_cast<cudaStream_t>(stream), matrix,
                   static_cast<const T*>(grad), static_cast<const T*>(x), static_cast<T*>(found), samples);
        };
        if (few)
            run(products_few_kernel<T>, static_cast<int>(batch));
        else
            run(products_kernel<T>, batch);
    });
}

}  // namespace prune_adapters::cuda
