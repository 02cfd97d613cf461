// Makes lists of entries of the tables.
#include "conv_terms.hpp"

#include <numeric>

namespace prune_adapters {
namespace {

// `part` rows side by side: element (row, tap) lies at row * row_step + tap.
template <int part, class T>
void interleave(const T* from, Index row_step, const std::vector<Index>& taps, T* at) {
    for (const Index tap : taps)
        for (int r = 0; r < part; ++r) *at++ = from[r * row_step + tap];
}

template <class T>
using Interleave = void (*)(const T*, Index, const std::vector<Index>&, T*);

// The weights of one group in the order of the kernels, of blocks whose element (row, entry within, tap) lies at
// row * row_step + entry * entry_step + taps[k].
template <class T, class Block>
void lay_out(Index n_blocks, Index n_entries, const std::vector<Index>& parts, const std::vector<Index>& taps,
             Index row_step, Index entry_step, const Block& block, T* at) {
    static constexpr Interleave<T> kernels[] = {interleave<1, T>, interleave<2, T>, interleave<4, T>, interleave<8, T>};
    Index first = 0;
    for (const Index part : parts) {
        const Interleave<T> kernel = kernels[part == 8 ? 3 : part / 2];
        const Index step = part * static_cast<Index>(taps.size());
        for (Index j = 0; j < n_blocks; ++j) {
            const T* from = block(j) + first * row_step;
            for (Index e = 0; e < n_entries; ++e, at += step) kernel(from + e * entry_step, row_step, taps, at);
        }
        first += part;
    }
}

std::vector<std::int32_t> times(const std::int32_t* ptr, Index groups, Index block) {
    std::vector<std::int32_t> scaled(ptr, ptr + groups + 1);
    for (std::int32_t& place : scaled) place *= static_cast<std::int32_t>(block);
    return scaled;
}

// The channels of blocks of `block` channels.
std::vector<std::int32_t> channels_of(const std::int32_t* idx, Index count, Index block) {
    std::vector<std::int32_t> channels;
    channels.reserve(static_cast<std::size_t>(count * block));
    for (Index j = 0; j < count; ++j)
        for (Index i = 0; i < block; ++i) channels.push_back(static_cast<std::int32_t>(idx[j] * block + i));
    return channels;
}

Index tap_of(const ConvTables& tables, const Residue& rows, const Residue& columns, Index ky, Index kx) {
    return (rows.last_tap - ky * rows.tap_step) * tables.kw + columns.last_tap - kx * columns.tap_step;
}

template <class T>
Terms<T> transposed_taps(const ConvTables& tables, const T* values, const Residue& rows, const Residue& columns) {
    Terms<T> terms{tables.inputs, 1, 1, {0}, {}, true, {}, nullptr};
    const Index taps = tables.kh * tables.kw, seen = rows.axis.taps * columns.axis.taps;
    std::vector<std::int32_t> place(static_cast<std::size_t>(tables.outputs * taps), -1);
    for (Index o = 0; o < tables.outputs; ++o)
        for (Index ky = 0; ky < rows.axis.taps; ++ky)
            for (Index kx = 0; kx < columns.axis.taps; ++kx)
                place[o * taps + tap_of(tables, rows, columns, ky, kx)] =
                    static_cast<std::int32_t>(o * seen + ky * columns.axis.taps + kx);
    terms.entries.reserve(static_cast<std::size_t>(tables.count));
    terms.own.reserve(static_cast<std::size_t>(tables.count));
    for (Index g = 0; g < tables.inputs; ++g) {
        for (Index j = tables.t_ptr[g]; j < tables.t_ptr[g + 1]; ++j) {
            if (place[tables.t_idx[j]] < 0) continue;
            terms.entries.push_back(place[tables.t_idx[j]]);
            terms.own.push_back(values[tables.t_perm[j]]);
        }
        terms.ptr.push_back(static_cast<std::int32_t>(terms.entries.size()));
    }
    terms.weights = terms.own.data();
    return terms;
}

}  // namespace

std::vector<Index> groupings(Index rows, Index largest) {
    std::vector<Index> parts;
    for (Index part = largest; rows > 0; part /= 2)
        for (; rows >= part; rows -= part) parts.push_back(part);
    return parts;
}

template <class T>
Terms<T> terms_of(const ConvTables& tables, const T* values, Index largest) {
    const Index n_taps = tables.kh * tables.kw, out = tables.out_block, in = tables.in_block;
    Terms<T> terms{tables.outputs, out, tables.by_taps ? 1 : n_taps, times(tables.ptr, tables.outputs, in),
                   channels_of(tables.idx, tables.count, in), tables.by_taps, {}, values};
    if (out == 1) return terms;
    terms.own.resize(static_cast<std::size_t>(tables.count * out * in * n_taps));
    const std::vector<Index> parts = groupings(out, largest);
    std::vector<Index> taps(static_cast<std::size_t>(n_taps));
    std::iota(taps.begin(), taps.end(), Index{0});
    const Index block = out * in * n_taps;
    for (Index g = 0; g < tables.outputs; ++g) {
        const Index first = tables.ptr[g];
        const auto at = [&](Index j) { return values + (first + j) * block; };
        lay_out(tables.ptr[g + 1] - first, in, parts, taps, in * n_taps, n_taps, at, terms.own.data() + first * block);
    }
    terms.weights = terms.own.data();
    return terms;
}

std::vector<Residue> residues(const Axis& axis) {
    std::vector<Residue> found;
    const Index s = axis.stride, common = std::gcd(s, axis.step), tap_step = s / common, step = axis.step / common;
    for (Index first = 0; first < std::min(s, axis.in); ++first) {
        Index taps = 0, last = 0;
        for (Index k = 0; k < axis.taps; ++k) {
            if ((first - axis.begin - k * axis.step) % s != 0) continue;
            last = k;
            ++taps;
        }
        const Index outputs = (axis.in - first + s - 1) / s, begin = (first - axis.begin - last * axis.step) / s;
        found.push_back({{axis.out, outputs, 1, begin, taps, step}, first, last, tap_step});
    }
    return found;
}

template <class T>
Terms<T> transposed_terms(const ConvTables& tables, const T* values, Index largest, const Residue& rows,
                          const Residue& columns) {
    if (tables.by_taps) return transposed_taps(tables, values, rows, columns);
    const Index all = tables.kh * tables.kw, out = tables.out_block, in = tables.in_block;
    std::vector<Index> taps;
    for (Index ky = 0; ky < rows.axis.taps; ++ky)
        for (Index kx = 0; kx < columns.axis.taps; ++kx) taps.push_back(tap_of(tables, rows, columns, ky, kx));
    const Index n_taps = static_cast<Index>(taps.size());
    Terms<T> terms{tables.inputs, in, n_taps, times(tables.t_ptr, tables.inputs, out),
                   channels_of(tables.t_idx, tables.count, out), false, {}, nullptr};
    terms.own.resize(static_cast<std::size_t>(tables.count * out * in * n_taps));
    const std::vector<Index> parts = groupings(in, largest);
    for (Index g = 0; g < tables.inputs; ++g) {
        const Index first = tables.t_ptr[g];
        const auto at = [&](Index j) { return values + tables.t_perm[first + j] * (out * in * all); };
        lay_out(tables.t_ptr[g + 1] - first, out, parts, taps, all, in * all, at,
                terms.own.data() + first * out * in * n_taps);
    }
    terms.weights = terms.own.data();
    return terms;
}

#define PRUNE_ADAPTERS_INSTANCES(T)                                        \
    template Terms<T> terms_of<T>(const ConvTables&, const T*, Index);     \
    template Terms<T> transposed_terms<T>(const ConvTables&, const T*, Index, const Residue&, const Residue&);
PRUNE_ADAPTERS_INSTANCES(float)
PRUNE_ADAPTERS_INSTANCES(double)

}  // namespace prune_adapters
