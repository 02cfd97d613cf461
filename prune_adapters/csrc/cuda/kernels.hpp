// The kernels for CUDA as the operators call them: each function launches on a stream and does not wait.
#pragma once

#include <vector>

#include "../clear.hpp"

namespace prune_adapters::cuda {

using Stream = void*;  // a cudaStream_t

// The error of the last launch, if any, as a std::runtime_error that names `function`.
void check_launch(const char* function);

enum class Number { float32, float64, float16, bfloat16 };

// masks.cu

// Elements without a bit become 0; the runs share no memory.
void clear_runs(const std::vector<Run>& runs, Stream stream);

// The same for elements that lie anywhere; `strides` counts elements. False if the layout is too odd: its dimensions do
// not fold into twelve.
bool clear_strided(const Run& run, Index dim, const Index* sizes, const Index* strides, Stream stream);

void pack(const std::uint8_t* flags, Index count, std::uint8_t* bits, Stream stream);
void unpack(const std::uint8_t* bits, Index count, std::uint8_t* flags, Stream stream);

// csr.cu

// A sparse matrix in panels of columns (prune_adapters/ops/linear.py). `perm` is nullptr where values come in order.
// Indices are not trusted: an element outside of the matrix or of the values counts as 0.
struct Csr {
    const std::int32_t* ptr;
    const std::int16_t* idx;
    const std::int32_t* perm;
    int rows, columns, panel, n_panels;
    Index n_values;
};

// Up to this many rows of x are multiplied as they are; more are wanted transposed: (columns, batch).
constexpr Index few_rows = 8;

// y (batch, rows) = x (batch, columns) A^T + bias, in float or double; `bias` may be nullptr.
void csr_multiply(Number number, const Csr& matrix, const void* values, const void* x, const void* bias, void* y,
                  Index batch, Stream stream);

// found[k] = sum over the batch of grad (batch, rows) at the row of element k times x (batch, columns) at its column.
void csr_products(Number number, const Csr& matrix, const void* grad, const void* x, void* found, Index batch,
                  Stream stream);

// dense.cu

// to (columns, rows) = from (rows, columns), elements of `size` bytes.
void transpose(int size, const void* from, void* to, Index rows, Index columns, Stream stream);

// sums (columns) of from (rows, columns).
void sum_rows(Number number, const void* from, void* sums, Index rows, Index columns, Stream stream);

}  // namespace prune_adapters::cuda
