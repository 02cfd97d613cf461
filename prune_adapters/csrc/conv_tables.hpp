// What the operators on convolutions are given, checked, on any device.
#pragma once

#include <cstdint>

#include "netgraph/native/bits.hpp"

namespace prune_adapters {

using netgraph::Index;

// The tables: see prune_adapters/ops/conv.py for the three families.
struct ConvTables {
    const std::int32_t *ptr, *idx, *t_ptr, *t_idx, *t_perm;
    Index outputs, inputs, count;  // channels (of blocks: groups of channels), and the length of idx
    Index kh, kw;
    Index out_block = 1, in_block = 1;
    bool by_taps = false;  // idx counts taps: (channel * kh + ky) * kw + kx

    Index n_values() const { return count * out_block * in_block * (by_taps ? 1 : kh * kw); }
};

// One dimension of a correlation: output o reads input o * stride + begin + k * step for each tap k; outside is 0.
struct Axis {
    Index in, out, stride, begin, taps, step;

    bool is_plain_three() const { return taps == 3 && stride == 1 && step == 1; }
    Index span() const { return (taps - 1) * step + 1; }
    Index reach(Index outputs) const { return (outputs - 1) * stride + span(); }  // inputs that `outputs` of them read
};

// The axis of a convolution as torch describes it.
inline Axis axis_of(Index in, Index taps, Index stride, Index padding, Index dilation) {
    const Index span = (taps - 1) * dilation + 1;
    return {in, (in + 2 * padding - span) / stride + 1, stride, -padding, taps, dilation};
}

struct Window {
    Axis rows, columns;

    Index taps() const { return rows.taps * columns.taps; }
    bool is_plain_three() const { return rows.is_plain_three() && columns.is_plain_three(); }
};

}  // namespace prune_adapters
