#include "sums.hpp"

#include <cmath>
#include <cstring>
#include <limits>

#include "kernels.hpp"
#include "plan.hpp"

namespace netgraph {
namespace {

const SumKernels& table() {
#ifdef NETGRAPH_X86
    if (!std::strcmp(kernels().name, sums_avx512.name)) return sums_avx512;
    if (!std::strcmp(kernels().name, sums_avx2.name)) return sums_avx2;
#endif
    return sums_generic;
}

Index kept_of(const Rows& rows) { return table().kept(rows.bits, rows.words()); }

// Whether listing the kept elements is faster than reading whole vectors.
bool is_sparse(const Rows& rows, Index kept) {
    return kept * 16 <= rows.rows * rows.width() && rows.width() < std::numeric_limits<std::int32_t>::max() - 64;
}

// How many rows are listed before their weights are read: these come from memory, and all at once is faster.
constexpr Index ahead = 16;

void prefetch(const std::int32_t* places, Index count, const char* values, Index bytes) {
    for (Index i = 0; i < count; ++i) __builtin_prefetch(values + places[i] * bytes);
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

// The column of each element: a division by `taps` as a product, exact for elements below 2^24.
class ColumnOf {
   public:
    explicit ColumnOf(Index taps) : taps_(static_cast<Word>(taps)), inverse_((Word{1} << 40) / taps_ + 1) {}

    std::int32_t operator()(std::int32_t element) const {
        const Word number = static_cast<Word>(element);
        return static_cast<std::int32_t>(number >> 24 ? number / taps_ : number * inverse_ >> 40);
    }

   private:
    Word taps_, inverse_;
};

double size_at(const void* values, Index k, const Factors& factors) {
    const double value = factors.kind ? static_cast<const double*>(values)[k] : static_cast<const float*>(values)[k];
    return factors.power == 2 ? value * value : std::fabs(value);
}

// As `fold` of bits.hpp, 64 / taps columns at a time: each bit takes in the taps - 1 after it, and a product moves those
// at multiples of `taps` side by side. No two of its terms meet as long as there are fewer columns than taps.
void fold_wide(const Word* words, Index columns, Index taps, Word* pairs) {
    const Index together = 64 / taps;
    Word first = 0, product = 0;
    for (Index k = 0; k < together; ++k) {
        first |= Word{1} << k * taps;
        product |= Word{1} << (together - 1 - k) * (taps - 1);
    }
    for (Index c = 0; c < columns; c += together) {
        const Index now = std::min(together, columns - c);
        Word bits = read_bits(words, c * taps, now * taps);
        if (!bits) continue;
        Index reach = 1;
        for (; 2 * reach <= taps; reach *= 2) bits |= bits >> reach;
        bits |= bits >> (taps - reach);
        const Word found = (bits & first) * product >> (together - 1) * (taps - 1) & low_bits(now);
        or_word(pairs, c, now, found);
    }
}

bool folds_wide(Index taps) { return taps <= 64 && 64 / taps < taps; }

// The value of a source once for each of its taps.
void repeat(const double* values, Index columns, Index taps, double* to) {
    for (Index c = 0; c < columns; ++c)
        for (Index t = 0; t < taps; ++t) *to++ = values[c];
}

}  // namespace

bool Rows::narrow() const { return width() < narrow_width; }

Index Rows::words() const { return narrow() ? words_for(rows * width()) : rows * words_for(width()); }

EdgeSums::EdgeSums(const Rows& rows, const Factors& factors) : rows_(rows), factors_(factors) {
    const Index kept = kept_of(rows);
    if (is_sparse(rows, kept))
        list(kept);
    else if (!factors.data && rows.taps > 1)
        fold();
}

void EdgeSums::list(Index kept) {
    const SumKernels& loops = table();
    const ColumnOf column_of(std::max<Index>(rows_.taps, 1));
    const Index width = rows_.width(), bytes = factors_.bytes();
    const bool several = rows_.taps > 1;
    RowBits bits(rows_);
    columns_.reset(new std::int32_t[kept + spare]);
    if (factors_.data) sizes_.reset(new double[kept]);
    starts_.resize(rows_.rows + 1);
    for (Index first = 0; first < rows_.rows; first += ahead) {
        const Index last = std::min(first + ahead, rows_.rows);
        for (Index r = first; r < last; ++r) {
            std::int32_t* own = &columns_[starts_[r]];
            Index found = loops.list(bits.of(r), width, own);
            if (factors_.data) {
                prefetch(own, found, static_cast<const char*>(factors_.row(r * width)), bytes);
            } else if (several) {
                std::transform(own, own + found, own, column_of);
                found = std::unique(own, own + found) - own;
            }
            starts_[r + 1] = starts_[r] + found;
        }
        for (Index r = first; r < last && factors_.data; ++r) {
            const void* values = factors_.row(r * width);
            for (Index i = starts_[r]; i < starts_[r + 1]; ++i) {
                sizes_[i] = size_at(values, columns_[i], factors_);
                if (several) columns_[i] = column_of(columns_[i]);
            }
        }
    }
}

void EdgeSums::fold() {
    const Rows folded{rows_.rows, rows_.columns, 1, rows_.groups, nullptr};
    const Index row_bits = folded.narrow() ? rows_.columns : 64 * words_for(rows_.columns);
    std::vector<Word> row(words_for(rows_.columns) + 1);
    pairs_.resize(folded.words());
    RowBits bits(rows_);
    for (Index r = 0; r < rows_.rows; ++r) {
        std::fill(row.begin(), row.end(), Word{0});
        (folds_wide(rows_.taps) ? fold_wide : netgraph::fold)(bits.of(r), rows_.columns, rows_.taps, row.data());
        or_bits(pairs_.data(), r * row_bits, row.data(), 0, rows_.columns);
    }
    rows_ = folded;
    rows_.bits = pairs_.data();
}

void EdgeSums::along(const double* sources, double* targets) const {
    const SumKernels& loops = table();
    const Index group_rows = rows_.rows / rows_.groups, width = rows_.width();
    std::vector<double> repeated(!listed() && rows_.taps > 1 ? width : 0);
    RowBits bits(rows_);
    for (Index r = 0; r < rows_.rows; ++r) {
        const double* own = sources + r / group_rows * rows_.columns;
        if (listed()) {
            double sum = 0;
            if (factors_.data)
                for (Index i = starts_[r]; i < starts_[r + 1]; ++i) sum += sizes_[i] * own[columns_[i]];
            else
                for (Index i = starts_[r]; i < starts_[r + 1]; ++i) sum += own[columns_[i]];
            targets[r] = sum;
            continue;
        }
        if (!repeated.empty() && r % group_rows == 0) repeat(own, rows_.columns, rows_.taps, repeated.data());
        const double* at = repeated.empty() ? own : repeated.data();
        targets[r] = factors_.data ? loops.dot[factors_.kind](bits.of(r), width, factors_.row(r * width),
                                                              factors_.power, at)
                                   : loops.count(bits.of(r), width, at);
    }
}

void EdgeSums::against(const double* targets, double* sources) const {
    const SumKernels& loops = table();
    const Index group_rows = rows_.rows / rows_.groups, width = rows_.width();
    std::vector<double> spread(!listed() && rows_.taps > 1 ? width : 0);
    RowBits bits(rows_);
    for (Index r = 0; r < rows_.rows; ++r) {
        double* own = sources + r / group_rows * rows_.columns;
        double* at = spread.empty() ? own : spread.data();
        const double y = targets[r];
        if (y != 0) {
            if (listed() && factors_.data)
                for (Index i = starts_[r]; i < starts_[r + 1]; ++i) own[columns_[i]] += sizes_[i] * y;
            else if (listed())
                for (Index i = starts_[r]; i < starts_[r + 1]; ++i) own[columns_[i]] += y;
            else if (factors_.data)
                loops.axpy[factors_.kind](bits.of(r), width, factors_.row(r * width), factors_.power, y, at);
            else
                loops.scatter(bits.of(r), width, y, at);
        }
        if (spread.empty() || (r + 1) % group_rows) continue;
        for (Index k = 0; k < width; ++k) own[k / rows_.taps] += spread[k];
        std::fill(spread.begin(), spread.end(), 0.0);
    }
}

namespace {

// The shares of rows with few kept elements. Others are cleared just before, when these are still in the cache.
template <class T>
void listed_shares(const Rows& rows, const Factors& factors, const double* sources, const double* targets, bool fresh,
                   T* out) {
    const SumKernels& loops = table();
    const ColumnOf column_of(std::max<Index>(rows.taps, 1));
    const Index group_rows = rows.rows / rows.groups, width = rows.width();
    std::vector<std::int32_t> places(ahead * width + spare);
    Index starts[ahead + 1] = {};
    RowBits bits(rows);
    for (Index first = 0; first < rows.rows; first += ahead) {
        const Index last = std::min(first + ahead, rows.rows);
        if (!fresh) std::fill(out + first * width, out + last * width, T{0});
        for (Index r = first; r < last; ++r) {
            std::int32_t* own = &places[starts[r - first]];
            const Index found = loops.list(bits.of(r), width, own);
            prefetch(own, found, static_cast<const char*>(factors.row(r * width)), sizeof(T));
            if (fresh) prefetch(own, found, reinterpret_cast<const char*>(out + r * width), sizeof(T));
            starts[r - first + 1] = starts[r - first] + found;
        }
        for (Index r = first; r < last; ++r) {
            const double* own = sources + r / group_rows * rows.columns;
            for (Index i = starts[r - first]; i < starts[r - first + 1]; ++i) {
                const double size = size_at(factors.row(r * width), places[i], factors);
                out[r * width + places[i]] = static_cast<T>(size * own[column_of(places[i])] * targets[r]);
            }
        }
    }
}

}  // namespace

void weight_shares(const Rows& rows, const Factors& factors, const double* sources, const double* targets, bool fresh,
                   void* out) {
    if (is_sparse(rows, kept_of(rows)))
        return factors.kind ? listed_shares(rows, factors, sources, targets, fresh, static_cast<double*>(out))
                            : listed_shares(rows, factors, sources, targets, fresh, static_cast<float*>(out));
    const Index group_rows = rows.rows / rows.groups, width = rows.width();
    const auto share = table().share[factors.kind];
    std::vector<double> repeated(width);
    RowBits bits(rows);
    for (Index r = 0; r < rows.rows; ++r) {
        if (r % group_rows == 0)
            repeat(sources + r / group_rows * rows.columns, rows.columns, rows.taps, repeated.data());
        char* to = static_cast<char*>(out) + r * width * factors.bytes();
        if (!fresh) std::memset(to, 0, width * factors.bytes());
        share(bits.of(r), width, factors.row(r * width), factors.power, targets[r], repeated.data(), to);
    }
}

}  // namespace netgraph
