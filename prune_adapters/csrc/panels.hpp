// Sparse matrices in panels: multiplication with a batch, and its gradients.
#pragma once

#include "linear_kernels.hpp"

namespace prune_adapters {

// All of these run on the threads of torch, with the same bits for any number of them, and return false, having touched
// nothing outside the arrays, where a table has an entry out of range.

// y (batch, rows) = x (batch, columns) times the transposed matrix, plus bias, which may be null.
template <class T>
bool multiply(const Panels& matrix, const T* values, const T* bias, const T* x, Index batch, T* y);

// found[k] = sum over the batch of g[b][row of k] * x[b][column of k].
template <class T>
bool dots(const Panels& matrix, const T* g, const T* x, Index batch, T* found);

// permuted[k] = values[places[k]]; false if a place is out of range.
template <class T>
bool permute(const T* values, const std::int32_t* places, Index count, T* permuted);

// sums (columns) of a batch of rows.
template <class T>
void sum_rows(const T* rows, Index batch, Index columns, T* sums);
void sum_rows(const Bfloat16* rows, Index batch, Index columns, Bfloat16* sums);

}  // namespace prune_adapters
