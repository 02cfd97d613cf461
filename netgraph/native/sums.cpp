#include "sums.hpp"

#include <cstring>

#include "kernels.hpp"
#include "plan.hpp"

namespace netgraph {
namespace {

const SumKernels& table() {
#ifdef NETGRAPH_X86
    if (!std::strcmp(kernels().name, sums_avx512.name)) return sums_avx512;
#endif
    return sums_generic;
}

// The words of row after row; rows under 32 bits lie without gaps and are copied to a word of their own.
class RowBits {
   public:
    explicit RowBits(const Rows& rows) : rows_(rows), words_(words_for(rows.width())) {}

    const Word* of(Index row) {
        if (!rows_.narrow()) return rows_.bits + row * words_;
        own_ = read_bits(rows_.bits, row * rows_.width(), rows_.width());
        return &own_;
    }

   private:
    const Rows& rows_;
    Index words_;
    Word own_ = 0;
};

// Which columns have a kept tap, one bit a column, set in `pairs` from bit `first` on: `fold` of bits.hpp, in time that
// grows with the kept ones.
void fold_kept(const Word* words, Index width, Index taps, Word* pairs, Index first) {
    // A division by `taps` as a product, exact for bits below 2^24.
    const Word inverse = (Word{1} << 40) / static_cast<Word>(taps) + 1;
    for (Index w = 0; w < words_for(width); ++w)
        for (Word rest = words[w]; rest;) {
            const Word bit = static_cast<Word>(w * 64 + __builtin_ctzll(rest));
            const Index column = static_cast<Index>(bit >> 24 ? bit / static_cast<Word>(taps) : bit * inverse >> 40);
            set_bit(pairs, first + column);
            const Index next = (column + 1) * taps - w * 64;
            rest &= next >= 64 ? 0 : all_ones << next;
        }
}

// The value of a source once for each of its taps.
void repeat(const double* values, Index columns, Index taps, double* to) {
    for (Index c = 0; c < columns; ++c)
        for (Index t = 0; t < taps; ++t) *to++ = values[c];
}

}  // namespace

bool Rows::narrow() const { return width() < narrow_width; }

Index Rows::words() const { return narrow() ? words_for(rows * width()) : rows * words_for(width()); }

void fold_taps(const Rows& rows, Word* pairs) {
    const Rows folded{rows.rows, rows.columns, 1, rows.groups, nullptr};
    const Index row_bits = folded.narrow() ? rows.columns : 64 * words_for(rows.columns);
    std::fill(pairs, pairs + folded.words(), 0);
    RowBits bits(rows);
    for (Index r = 0; r < rows.rows; ++r) fold_kept(bits.of(r), rows.width(), rows.taps, pairs, r * row_bits);
}

void sum_along(const Rows& rows, const Factors& factors, const double* sources, double* targets) {
    const SumKernels& loops = table();
    const Index group_rows = rows.rows / rows.groups, width = rows.width();
    std::vector<double> repeated(factors.data && rows.taps > 1 ? width : 0);
    RowBits bits(rows);
    for (Index g = 0; g < rows.groups; ++g) {
        const double* own = sources + g * rows.columns;
        if (!repeated.empty()) repeat(own, rows.columns, rows.taps, repeated.data());
        const double* at = repeated.empty() ? own : repeated.data();
        for (Index r = g * group_rows; r < (g + 1) * group_rows; ++r) {
            const Word* row = bits.of(r);
            if (factors.data) {
                targets[r] = loops.dot[factors.kind](row, width, factors.row(r * width), factors.power, at);
                continue;
            }
            targets[r] = loops.count(row, width, own);
        }
    }
}

void sum_against(const Rows& rows, const Factors& factors, const double* targets, double* sources) {
    const SumKernels& loops = table();
    const Index group_rows = rows.rows / rows.groups, width = rows.width();
    std::vector<double> spread(factors.data && rows.taps > 1 ? width : 0);
    RowBits bits(rows);
    for (Index g = 0; g < rows.groups; ++g) {
        double* own = sources + g * rows.columns;
        std::fill(spread.begin(), spread.end(), 0.0);
        double* at = spread.empty() ? own : spread.data();
        for (Index r = g * group_rows; r < (g + 1) * group_rows; ++r) {
            if (targets[r] == 0) continue;
            const Word* row = bits.of(r);
            if (factors.data) {
                loops.axpy[factors.kind](row, width, factors.row(r * width), factors.power, targets[r], at);
                continue;
            }
            loops.scatter(row, width, targets[r], own);
        }
        for (Index k = 0; k < static_cast<Index>(spread.size()); ++k) own[k / rows.taps] += spread[k];
    }
}

void weight_shares(const Rows& rows, const Factors& factors, const double* sources, const double* targets, void* out) {
    const SumKernels& loops = table();
    const Index group_rows = rows.rows / rows.groups, width = rows.width();
    const Index bytes = width * static_cast<Index>(factors.kind ? sizeof(double) : sizeof(float));
    std::vector<double> repeated(width);
    RowBits bits(rows);
    for (Index r = 0; r < rows.rows; ++r) {
        if (r % group_rows == 0)
            repeat(sources + r / group_rows * rows.columns, rows.columns, rows.taps, repeated.data());
        loops.share[factors.kind](bits.of(r), width, factors.row(r * width), factors.power, targets[r],
                                  repeated.data(), static_cast<char*>(out) + r * bytes);
    }
}

}  // namespace netgraph
