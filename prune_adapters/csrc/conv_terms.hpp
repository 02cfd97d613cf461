// The terms of every output channel: which input channels and taps it sums, with which weights.
//
// The tables of the operators, for the convolution and for its transposed one, become lists of entries.
#pragma once

#include <vector>

#include "conv_strips.hpp"

namespace prune_adapters {

// Entries e in [ptr[g], ptr[g + 1]) are those of the output channels of group g, `rows` of them. The weights of output
// rows [r, r + n) that a kernel takes at a time are [entry][tap][n], from (ptr[g] * rows + entries of g * r) * taps on.
template <class T>
struct Terms {
    Index groups, rows, taps;
    std::vector<std::int32_t> ptr;
    std::vector<std::int32_t> entries;  // input channels; if an entry is one tap, channel * taps of the window + tap
    bool by_taps;
    std::vector<T> own;
    const T* weights;
};

// Numbers of outputs that kernels take together: the powers of two up to `largest` that make up `rows`, largest first.
std::vector<Index> groupings(Index rows, Index largest);

template <class T>
Terms<T> terms_of(const ConvTables& tables, const T* values, Index largest);

// The taps of one dimension, by residue of the input position: which the transposed convolution sums there, in order.
struct Residue {
    Axis axis;  // reads the gradient; its outputs are positions first, first + stride, ... of the input
    Index first;
    Index last_tap, tap_step;  // its tap j is tap last_tap - j * tap_step
};
std::vector<Residue> residues(const Axis& axis);

// The terms of the gradient of the input, at positions with these residues.
template <class T>
Terms<T> transposed_terms(const ConvTables& tables, const T* values, Index largest, const Residue& rows,
                          const Residue& columns);

}  // namespace prune_adapters
