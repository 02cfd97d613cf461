// Matrices of dense blocks: multiplication with a batch, and its gradients.
#pragma once

#include "linear_kernels.hpp"

namespace prune_adapters {

// These run on the threads of torch, with the same bits for any number of them, and return false, having touched
// nothing outside the arrays, where a table has an entry out of range.

// y (batch, rows * height) = x (batch, columns * width) times the transposed matrix, plus bias, which may be null. For
// the gradient of x: the tables of the transposed matrix, whose blocks have their values at `places`, transposed.
template <class T>
bool multiply(const Blocks& matrix, const std::int32_t* places, const T* values, const T* bias, const T* x, Index batch,
              T* y);

// found (count, height, width) = the sum over the batch of g times x at every block.
template <class T>
bool outer(const Blocks& matrix, const T* g, const T* x, Index batch, T* found);

}  // namespace prune_adapters
