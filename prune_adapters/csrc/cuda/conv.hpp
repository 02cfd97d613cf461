// Convolutions of pairs of channels and of single taps on CUDA, and their gradients; see csrc/conv_tables.hpp.
#pragma once

#include "../conv_tables.hpp"
#include "kernels.hpp"

namespace prune_adapters::cuda {

// What tables point to is not trusted: a channel, a tap or a place that does not exist counts as 0.
struct Conv {
    ConvTables tables;
    Window window;
    Index batch;
};

// y (batch, outputs, window.rows.out, window.columns.out) of x (batch, inputs, window.rows.in, window.columns.in);
// `bias` may be nullptr.
void conv_forward(Number number, const Conv& conv, const void* x, const void* values, const void* bias, void* y,
                  Stream stream);
void conv_input_gradient(Number number, const Conv& conv, const void* grad, const void* values, void* grad_x,
                         Stream stream);
void conv_value_gradient(Number number, const Conv& conv, const void* grad, const void* x, void* grad_values,
                         Stream stream);

// Sums of (batch, channels, positions) over all but the channels.
void conv_bias_gradient(Number number, Index batch, Index channels, Index positions, const void* grad, void* grad_bias,
                        Stream stream);

}  // namespace prune_adapters::cuda
