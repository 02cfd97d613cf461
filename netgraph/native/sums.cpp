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

// Which columns have a kept tap, one bit a column: `fold` of bits.hpp, in time that grows with the kept ones.
void fold_kept(const Word* words, Index width, Index taps, Word* pairs) {
    std::fill(pairs, pairs + words_for(width / taps), 0);
    for (Index w = 0; w < words_for(width); ++w)
        for (Word rest = words[w]; rest;) {
            const Index column = (w * 64 + __builtin_ctzll(rest)) / taps;
            set_bit(pairs, column);
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

void sum_along(const Rows& rows, const Factors& factors, const double* sources, double* targets) {
    const SumKernels& loops = table();
    const Index group_rows = rows.rows / rows.groups, width = rows.width();
    std::vector<Word> pairs(words_for(rows.columns));
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
            if (rows.taps > 1) fold_kept(row, width, rows.taps, pairs.data());
            targets[r] = loops.count(rows.taps > 1 ? pairs.data() : row, rows.columns, own);
        }
    }
}

void sum_against(const Rows& rows, const Factors& factors, const double* targets, double* sources) {
    const SumKernels& loops = table();
    const Index group_rows = rows.rows / rows.groups, width = rows.width();
    std::vector<Word> pairs(words_for(rows.columns));
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
            if (rows.taps > 1) fold_kept(row, width, rows.taps, pairs.data());
            loops.scatter(rows.taps > 1 ? pairs.data() : row, rows.columns, targets[r], own);
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
