// Sparse matrices in panels times tiles of a batch.
//
// The rows of x that belong to a panel stay in the first cache while all rows of the matrix pass over them; a value is
// loaded into all lanes and meets n vectors of the batch. What is left of the peak goes to loads: of n + 1 for n
// multiplications, and of y once a row and panel.
#pragma once

#include "../linear_kernels.hpp"
#include "vectors.hpp"

namespace prune_adapters {
namespace {

// Whether the places of rows from begin to end go up, and the columns of their elements are in the panel.
inline bool check_panels(const Panels& matrix, Index begin, Index end) {
    for (Index p = 0; p < matrix.n_panels; ++p) {
        const std::int32_t* ptr = matrix.rows_of(p);
        bool rising = ptr[begin] >= 0 && ptr[end] <= matrix.count;
        for (Index r = begin; r < end; ++r) rising &= ptr[r] <= ptr[r + 1];
        if (!rising) return false;
        std::uint16_t highest = 0;
        for (Index k = ptr[begin]; k < ptr[end]; ++k) highest = std::max(highest, matrix.idx[k]);
        if (ptr[begin] < ptr[end] && highest >= matrix.columns_of(p)) return false;
    }
    return true;
}

template <class L, int n>
PRUNE_ADAPTERS_INLINE void add_product(typename L::Vector* sums, typename L::Element value,
                                       const typename L::Element* x) {
    const auto all = L::fill(value);
    PRUNE_ADAPTERS_UNROLL
    for (int v = 0; v < n; ++v) sums[v] += all * L::load(x + v * L::count);
}

// Adds the elements first to last of a row. Two sums: an addition has to wait for the one before it.
template <class L, int n>
PRUNE_ADAPTERS_INLINE void add_row(typename L::Vector* sums, const typename L::Element* values,
                                   const std::uint16_t* idx, Index first, Index last,
                                   const typename L::Element* x_panel) {
    constexpr Index width = n * L::count;
    typename L::Vector others[n] = {};
    Index k = first;
    for (; k + 2 <= last; k += 2) {
        add_product<L, n>(sums, values[k], x_panel + idx[k] * width);
        add_product<L, n>(others, values[k + 1], x_panel + idx[k + 1] * width);
    }
    if (k < last) add_product<L, n>(sums, values[k], x_panel + idx[k] * width);
    PRUNE_ADAPTERS_UNROLL
    for (int v = 0; v < n; ++v) sums[v] += others[v];
}

template <class L, int n>
PRUNE_ADAPTERS_INLINE void load_row(typename L::Vector* sums, const typename L::Element* from) {
    PRUNE_ADAPTERS_UNROLL
    for (int v = 0; v < n; ++v) sums[v] = L::load(from + v * L::count);
}

template <class L, int n>
PRUNE_ADAPTERS_INLINE void store_row(typename L::Element* to, const typename L::Vector* sums) {
    PRUNE_ADAPTERS_UNROLL
    for (int v = 0; v < n; ++v) L::store(to + v * L::count, sums[v]);
}

template <class L, int n>
void multiply(const Panels& matrix, const typename L::Element* values, const typename L::Element* bias,
              const typename L::Element* x_tile, Index begin, Index end, typename L::Element* y_tile,
              typename L::Element* y, Index stride, Index n_rows) {
    constexpr Index width = n * L::count;
    alignas(L::size) typename L::Element block[L::count * width];
    for (Index p = 0; p < matrix.n_panels; ++p) {
        const std::int32_t* ptr = matrix.rows_of(p);
        const typename L::Element* x_panel = x_tile + p * matrix.panel * width;
        const bool last = p + 1 == matrix.n_panels;
        for (Index r0 = begin; r0 < end; r0 += L::count) {
            const Index now = std::min<Index>(L::count, end - r0);
            typename L::Element* to = last ? block : y_tile + (r0 - begin) * width;
            for (Index r = 0; r < now; ++r) {
                typename L::Vector sums[n];
                if (p > 0) {
                    load_row<L, n>(sums, y_tile + (r0 - begin + r) * width);
                } else {
                    const auto start = L::fill(bias ? bias[r0 + r] : 0);
                    PRUNE_ADAPTERS_UNROLL
                    for (int v = 0; v < n; ++v) sums[v] = start;
                }
                add_row<L, n>(sums, values, matrix.idx, ptr[r0 + r], ptr[r0 + r + 1], x_panel);
                store_row<L, n>(to + r * width, sums);
            }
            if (last) unpack<L, n>(block, now, y + r0, stride, n_rows);
        }
    }
}

// One row of the matrix times n_rows rows of x. Vectors would have to be gathered, which takes longer than to add the
// elements one by one: eight sums, so that no addition waits.
template <class T, int n_rows>
PRUNE_ADAPTERS_INLINE void multiply_row(const T* values, const std::uint16_t* idx, Index first, Index last, const T* x,
                                        Index stride, T* found) {
    constexpr int n_sums = 8 / n_rows;
    T sums[n_rows][n_sums] = {};
    Index k = first;
    for (; k + n_sums <= last; k += n_sums) {
        PRUNE_ADAPTERS_UNROLL
        for (int j = 0; j < n_sums; ++j) {
            PRUNE_ADAPTERS_UNROLL
            for (int b = 0; b < n_rows; ++b) sums[b][j] += values[k + j] * x[b * stride + idx[k + j]];
        }
    }
    T rest[n_rows] = {};
    for (; k < last; ++k)
        for (int b = 0; b < n_rows; ++b) rest[b] += values[k] * x[b * stride + idx[k]];
    for (int b = 0; b < n_rows; ++b) {
        for (int left = n_sums / 2; left > 0; left /= 2)
            for (int j = 0; j < left; ++j) sums[b][j] += sums[b][j + left];
        found[b] = sums[b][0] + rest[b];
    }
}

template <class L, int rows_at_once>
void multiply_rows_at_once(const Panels& matrix, const typename L::Element* values, const typename L::Element* bias,
                           const typename L::Element* x, Index begin, Index end, typename L::Element* y) {
    using T = typename L::Element;
    for (Index p = 0; p < matrix.n_panels; ++p) {
        const std::int32_t* ptr = matrix.rows_of(p);
        for (Index r = begin; r < end; ++r) {
            T found[rows_at_once];
            multiply_row<T, rows_at_once>(values, matrix.idx, ptr[r], ptr[r + 1], x + p * matrix.panel, matrix.columns,
                                          found);
            const T start = bias ? bias[r] : 0;
            for (int b = 0; b < rows_at_once; ++b) {
                T& to = y[b * matrix.rows + r];
                to = (p ? to : start) + found[b];
            }
        }
    }
}

template <class L>
void multiply_rows(const Panels& matrix, const typename L::Element* values, const typename L::Element* bias,
                   const typename L::Element* x, Index n_rows, Index begin, Index end, typename L::Element* y) {
    switch (n_rows) {
        case 1: return multiply_rows_at_once<L, 1>(matrix, values, bias, x, begin, end, y);
        case 2: return multiply_rows_at_once<L, 2>(matrix, values, bias, x, begin, end, y);
        case 3: return multiply_rows_at_once<L, 3>(matrix, values, bias, x, begin, end, y);
        case 4: return multiply_rows_at_once<L, 4>(matrix, values, bias, x, begin, end, y);
    }
}

// The product of a row of g with a row of x, lane by lane.
template <class L, int n>
PRUNE_ADAPTERS_INLINE typename L::Vector product(const typename L::Vector* g, const typename L::Element* x) {
    typename L::Vector found = g[0] * L::load(x);
    PRUNE_ADAPTERS_UNROLL
    for (int v = 1; v < n; ++v) found += g[v] * L::load(x + v * L::count);
    return found;
}

// Products of single elements, lane by lane, that wait to be summed many at once. They have places one after another.
template <class L>
struct Waiting {
    static constexpr Index room = 64;
    typename L::Vector products[room];
    typename L::Element* to;
    Index filled;
    bool add;

    void sum() {
        for (Index k = filled; k % L::count; ++k) products[k] = typename L::Vector{};
        for (Index k = 0; k < filled; k += L::count) {
            const Index now = std::min<Index>(L::count, filled - k);
            const auto dots = sums<L>(products + k);
            L::store_first(to + k, add ? L::load_first(to + k, now) + dots : dots, now);
        }
        to += filled;
        filled = 0;
    }
};

// Elements of a panel have places one after another, so rows that are short are summed together with the next.
template <class L, int n>
void dots(const Panels& matrix, const typename L::Element* g_tile, const typename L::Element* x_tile, Index begin,
          Index end, bool add, typename L::Element* found) {
    constexpr Index width = n * L::count;
    for (Index p = 0; p < matrix.n_panels; ++p) {
        const std::int32_t* ptr = matrix.rows_of(p);
        const typename L::Element* x_panel = x_tile + p * matrix.panel * width;
        Waiting<L> waiting;
        waiting.to = found + ptr[begin];
        waiting.filled = 0;
        waiting.add = add;
        for (Index r = begin; r < end; ++r) {
            if (ptr[r] == ptr[r + 1]) continue;
            typename L::Vector g[n];
            load_row<L, n>(g, g_tile + r * width);
            for (Index k = ptr[r]; k < ptr[r + 1];) {
                const Index stop = std::min<Index>(ptr[r + 1], k + waiting.room - waiting.filled);
                for (; k < stop; ++k)
                    waiting.products[waiting.filled++] = product<L, n>(g, x_panel + matrix.idx[k] * width);
                if (waiting.filled == waiting.room) waiting.sum();
            }
        }
        waiting.sum();
    }
}

}  // namespace
}  // namespace prune_adapters
