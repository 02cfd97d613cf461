// The convolutions as tests call them, through ctypes and without torch.
#include "conv.hpp"

#define PRUNE_ADAPTERS_EXPORT extern "C" __attribute__((visibility("default")))

using namespace prune_adapters;

namespace {

struct Call {
    const std::int32_t* tables[5];
    Index outputs, inputs, count, out_block, in_block, by_taps, batch;
    Index in[2], taps[2], stride[2], padding[2], dilation[2];
};

ConvTables tables_of(const Call& call) {
    const auto& t = call.tables;
    return {t[0], t[1], t[2], t[3], t[4], call.outputs, call.inputs, call.count, call.taps[0], call.taps[1],
            call.out_block, call.in_block, call.by_taps != 0};
}

Axis axis(const Call& call, int d) {
    return axis_of(call.in[d], call.taps[d], call.stride[d], call.padding[d], call.dilation[d]);
}

template <class T>
void run(const Call& call, int what, const T* a, const T* b, const T* c, T* out) {
    const ConvTables tables = tables_of(call);
    const Window window{axis(call, 0), axis(call, 1)};
    if (what == 0) return conv_forward(tables, window, call.batch, a, b, c, out);
    if (what == 1) return conv_input_gradient(tables, window, call.batch, a, b, out);
    if (what == 2) return conv_value_gradient(tables, window, call.batch, a, b, out);
    conv_bias_gradient(call.batch, call.outputs * call.out_block, window.rows.out * window.columns.out, a, out);
}

}  // namespace

// what: 0 y of (x, values, bias), 1 of (gradient, values), 2 of (gradient, x), 3 of (gradient).
PRUNE_ADAPTERS_EXPORT void prune_adapters_conv_float(const Call* call, int what, const float* a, const float* b,
                                                     const float* c, float* out) {
    run(*call, what, a, b, c, out);
}
PRUNE_ADAPTERS_EXPORT void prune_adapters_conv_bfloat16(const Call* call, int what, const Bfloat16* a,
                                                        const Bfloat16* b, const Bfloat16* c, Bfloat16* out) {
    run(*call, what, a, b, c, out);
}
PRUNE_ADAPTERS_EXPORT void prune_adapters_conv_double(const Call* call, int what, const double* a, const double* b,
                                                      const double* c, double* out) {
    run(*call, what, a, b, c, out);
}
