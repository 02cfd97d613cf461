// Sparse convolutions of two dimensions and their gradients, for the three families of tables.
#pragma once

#include "conv_terms.hpp"

namespace prune_adapters {

// y (batch, outputs, window.rows.out, window.columns.out) of x (batch, inputs, window.rows.in, window.columns.in), both
// contiguous. `bias` may be null. The result does not depend on the number of threads.
template <class Row>
void conv_forward(const ConvTables& tables, const Window& window, Index batch, const Row* x, const Row* values,
                  const Row* bias, Row* y);

template <class Row>
void conv_input_gradient(const ConvTables& tables, const Window& window, Index batch, const Row* grad,
                         const Row* values, Row* grad_x);

template <class Row>
void conv_value_gradient(const ConvTables& tables, const Window& window, Index batch, const Row* grad, const Row* x,
                         Row* grad_values);

// Sums of (batch, channels, positions) over all but the channels.
template <class Row>
void conv_bias_gradient(Index batch, Index channels, Index positions, const Row* grad, Row* grad_bias);

}  // namespace prune_adapters
