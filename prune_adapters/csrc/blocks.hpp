// Matrices of dense blocks: multiplication with a batch, and its gradients.
#pragma once

#include "linear_kernels.hpp"

namespace prune_adapters {

// These run on the threads of torch, with the same bits for any number of them, and return false, having touched
// nothing outside the arrays, where a table has an entry out of range.

// y (batch, rows * height) = x (batch, columns * width) times the transposed matrix, plus bias, which may be null. For
// the gradient of x: the tables of the transposed matrix, whose blocks have their values at `places`, transposed.
template <class Row>
bool multiply(const Blocks& matrix, const std::int32_t* places, const Row* values, const Row* bias, const Row* x,
              Index batch, Row* y);

// found (count, height, width) = the sum over the batch of g times x at every block.
template <class Row>
bool outer(const Blocks& matrix, const Row* g, const Row* x, Index batch, Row* found);

}  // namespace prune_adapters
