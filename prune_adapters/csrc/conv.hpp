// Sparse convolutions of two dimensions and their gradients, for the three families of tables.
#pragma once

#include "conv_terms.hpp"

namespace prune_adapters {

// y (batch, outputs, window.rows.out, window.columns.out) of x (batch, inputs, window.rows.in, window.columns.in), both
// contiguous. `bias` may be null. The result does not depend on the number of threads.
template <class T>
void conv_forward(const ConvTables& tables, const Window& window, Index batch, const T* x, const T* values,
                  const T* bias, T* y);

template <class T>
void conv_input_gradient(const ConvTables& tables, const Window& window, Index batch, const T* grad, const T* values,
                         T* grad_x);

template <class T>
void conv_value_gradient(const ConvTables& tables, const Window& window, Index batch, const T* grad, const T* x,
                         T* grad_values);

// Sums of (batch, channels, positions) over all but the channels.
template <class T>
void conv_bias_gradient(Index batch, Index channels, Index positions, const T* grad, T* grad_bias);

}  // namespace prune_adapters
