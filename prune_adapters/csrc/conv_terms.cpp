// Makes lists of entries of the tables.
#include "conv_terms.hpp"

#include <numeric>

namespace prune_adapters {
namespace {

// Weights of a block, [row][entry][tap], in the order of the kernels.
template <class T, class Weight>
void lay_out(Index begin, Index end, Index rows, Index taps, const std::vector<Index>& parts, T* own,
             const Weight& weight) {
    T* at = own + begin * rows * taps;
    Index first = 0;
    for (const Index part : parts) {
        for (Index e = begin; e < end; ++e)
            for (Index k = 0; k < taps; ++k)
                for (Index r = first; r < first + part; ++r) *at++ = weight(r, e - begin, k);
        first += part;
    }
}

Index tap_of(const ConvTables& tables, const Residue& rows, const Residue& columns, Index ky, Index kx) {
    return (rows.last_tap - ky * rows.tap_step) * tables.kw + columns.last_tap - kx * columns.tap_step;
}

template <class T>
Terms<T> transposed_taps(const ConvTables& tables, const T* values, const Residue& rows, const Residue& columns) {
    Terms<T> terms{tables.inputs, 1, 1, {0}, {}, {}, {}, nullptr};
    const Index taps = tables.kh * tables.kw;
    std::vector<std::int32_t> found(static_cast<std::size_t>(taps), -1);
    for (Index ky = 0; ky < rows.axis.taps; ++ky)
        for (Index kx = 0; kx < columns.axis.taps; ++kx)
            found[tap_of(tables, rows, columns, ky, kx)] = static_cast<std::int32_t>(ky * columns.axis.taps + kx);
    for (Index g = 0; g < tables.inputs; ++g) {
        for (Index j = tables.t_ptr[g]; j < tables.t_ptr[g + 1]; ++j) {
            const std::int32_t tap = found[tables.t_idx[j] % taps];
            if (tap < 0) continue;
            terms.channels.push_back(static_cast<std::int32_t>(tables.t_idx[j] / taps));
            terms.tap.push_back(tap);
            terms.own.push_back(values[tables.t_perm[j]]);
        }
        terms.ptr.push_back(static_cast<std::int32_t>(terms.channels.size()));
    }
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
    const Index taps = tables.kh * tables.kw, out = tables.out_block, in = tables.in_block;
    Terms<T> terms{tables.outputs, out, tables.by_taps ? 1 : taps, {}, {}, {}, {}, values};
    for (Index g = 0; g <= tables.outputs; ++g) terms.ptr.push_back(static_cast<std::int32_t>(tables.ptr[g] * in));
    terms.channels.reserve(static_cast<std::size_t>(tables.count * in));
    for (Index j = 0; j < tables.count; ++j) {
        if (tables.by_taps) {
            terms.channels.push_back(static_cast<std::int32_t>(tables.idx[j] / taps));
            terms.tap.push_back(static_cast<std::int32_t>(tables.idx[j] % taps));
        } else {
            for (Index i = 0; i < in; ++i) terms.channels.push_back(static_cast<std::int32_t>(tables.idx[j] * in + i));
        }
    }
    if (out == 1) return terms;
    terms.own.resize(static_cast<std::size_t>(tables.count * out * in * taps));
    const std::vector<Index> parts = groupings(out, largest);
    for (Index g = 0; g < tables.outputs; ++g) {
        const T* blocks = values + tables.ptr[g] * out * in * taps;
        lay_out(terms.ptr[g], terms.ptr[g + 1], out, taps, parts, terms.own.data(), [&](Index r, Index e, Index k) {
            return blocks[((e / in * out + r) * in + e % in) * taps + k];
        });
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
    if (tables.by_taps) {
        Terms<T> terms = transposed_taps(tables, values, rows, columns);
        terms.weights = terms.own.data();
        return terms;
    }
    const Index all = tables.kh * tables.kw, kw = columns.axis.taps, taps = rows.axis.taps * kw;
    const Index out = tables.out_block, in = tables.in_block;
    Terms<T> terms{tables.inputs, in, taps, {}, {}, {}, {}, nullptr};
    for (Index g = 0; g <= tables.inputs; ++g) terms.ptr.push_back(static_cast<std::int32_t>(tables.t_ptr[g] * out));
    terms.channels.reserve(static_cast<std::size_t>(tables.count * out));
    for (Index j = 0; j < tables.count; ++j)
        for (Index r = 0; r < out; ++r) terms.channels.push_back(static_cast<std::int32_t>(tables.t_idx[j] * out + r));
    std::vector<Index> tap;
    for (Index ky = 0; ky < rows.axis.taps; ++ky)
        for (Index kx = 0; kx < kw; ++kx) tap.push_back(tap_of(tables, rows, columns, ky, kx));
    terms.own.resize(static_cast<std::size_t>(tables.count * out * in * taps));
    const std::vector<Index> parts = groupings(in, largest);
    for (Index g = 0; g < tables.inputs; ++g)
        lay_out(terms.ptr[g], terms.ptr[g + 1], in, taps, parts, terms.own.data(), [&](Index i, Index e, Index k) {
            const Index block = tables.t_perm[tables.t_ptr[g] + e / out];
            return values[((block * out + e % out) * in + i) * all + tap[k]];
        });
    terms.weights = terms.own.data();
    return terms;
}

#define PRUNE_ADAPTERS_INSTANCES(T)                                        \
    template Terms<T> terms_of<T>(const ConvTables&, const T*, Index);     \
    template Terms<T> transposed_terms<T>(const ConvTables&, const T*, Index, const Residue&, const Residue&);
PRUNE_ADAPTERS_INSTANCES(float)
PRUNE_ADAPTERS_INSTANCES(double)

}  // namespace prune_adapters
