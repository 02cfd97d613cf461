// The kernels of sparse convolutions, for tests.
#include "prune_adapters/csrc/cuda/conv.hpp"
#include "prune_adapters/csrc/cuda/host/harness.hpp"

using namespace prune_adapters;
using host::guarded;

namespace {

struct Sizes {
    Index number, outputs, inputs, count, by_taps, batch, in[2], taps[2], stride[2], padding[2], dilation[2];
};

cuda::Conv conv_of(const Sizes& sizes, const std::int32_t* const* tables) {
    const auto axis = [&](int d) {
        return axis_of(sizes.in[d], sizes.taps[d], sizes.stride[d], sizes.padding[d], sizes.dilation[d]);
    };
    return {{tables[0], tables[1], tables[2], tables[3], tables[4], sizes.outputs, sizes.inputs, sizes.count,
             sizes.taps[0], sizes.taps[1], 1, 1, sizes.by_taps != 0},
            {axis(0), axis(1)},
            sizes.batch};
}

}  // namespace

PRUNE_ADAPTERS_EXPORT const char* run_forward(const Sizes* sizes, const std::int32_t* const* tables, const void* x,
                                              const void* values, const void* bias, void* y) {
    return guarded([&] {
        cuda::conv_forward(static_cast<cuda::Number>(sizes->number), conv_of(*sizes, tables), x, values, bias, y,
                           nullptr);
    });
}

PRUNE_ADAPTERS_EXPORT const char* run_backward(const Sizes* sizes, const std::int32_t* const* tables, const void* grad,
                                               const void* x, const void* values, void* grad_x, void* grad_values,
                                               void* grad_bias) {
    return guarded([&] {
        const auto number = static_cast<cuda::Number>(sizes->number);
        const cuda::Conv conv = conv_of(*sizes, tables);
        cuda::conv_input_gradient(number, conv, grad, values, grad_x, nullptr);
        cuda::conv_value_gradient(number, conv, grad, x, grad_values, nullptr);
        cuda::conv_bias_gradient(number, sizes->batch, sizes->outputs, conv.window.rows.out * conv.window.columns.out,
                                 grad, grad_bias, nullptr);
    });
}
