// Matrices of dense blocks times tiles of a batch, and the products that are the gradients of the blocks.
//
// A few rows of a block meet n vectors of the batch in registers: then the multiplications set the pace, not the loads.
#pragma once

#include "../linear_kernels.hpp"
#include "vectors.hpp"

namespace prune_adapters {
namespace {

// Rows that are worked on at once, of n vectors each: AVX-512 has 32 registers, others have 16.
template <class L>
constexpr int rows_at_once(int n) {
    return L::size == 64 ? 8 : n <= 2 ? 4 : n <= 6 ? 2 : 1;
}

// Calls step(number of rows, first row) until `count` rows are done: `most` at once, then halves of that.
template <int most, class Step>
PRUNE_ADAPTERS_INLINE void in_steps(Index count, const Step& step) {
    Index row = 0;
    for (; row + most <= count; row += most) step(std::integral_constant<int, most>(), row);
    if constexpr (most > 1) {
        if (row < count)
            in_steps<most / 2>(count - row, [&](auto rows, Index first) { step(rows, row + first); });
    }
}

// Which elements of a block are the rows of a product, as it lies or transposed, and where the blocks of a block row
// are: at places[k], or at k - first if places is null.
struct Access {
    const std::int32_t* places;
    Index row_apart, column_apart, first = 0;

    Index place(Index k) const { return places ? places[k] : k - first; }
};

// sums[r][v] += values[r][c] * x[c][v] over the columns of a block.
template <class L, int n, int rows>
PRUNE_ADAPTERS_INLINE void add_block(typename L::Vector (&sums)[rows][n], const typename L::Element* values,
                                     Index row_apart, Index column_apart, Index columns,
                                     const typename L::Element* x) {
    for (Index c = 0; c < columns; ++c, x += n * L::count, values += column_apart) {
        PRUNE_ADAPTERS_UNROLL
        for (int r = 0; r < rows; ++r) {
            const auto value = L::fill(values[r * row_apart]);
            PRUNE_ADAPTERS_UNROLL
            for (int v = 0; v < n; ++v) sums[r][v] += value * L::load(x + v * L::count);
        }
    }
}

template <class L, int n, int rows, class Row>
PRUNE_ADAPTERS_INLINE void multiply_block_rows(const Blocks& matrix, const Access& access,
                                               const typename L::Element* values, const Row* bias,
                                               const typename L::Element* x_tile, Index block_row, Index row,
                                               typename L::Element* y_tile) {
    typename L::Vector sums[rows][n];
    PRUNE_ADAPTERS_UNROLL
    for (int r = 0; r < rows; ++r) {
        PRUNE_ADAPTERS_UNROLL
        for (int v = 0; v < n; ++v) sums[r][v] = L::fill(bias ? widened(bias[block_row * matrix.height + row + r]) : 0);
    }
    for (Index k = matrix.ptr[block_row]; k < matrix.ptr[block_row + 1]; ++k) {
        const typename L::Element* block =
            values + access.place(k) * matrix.height * matrix.width + row * access.row_apart;
        add_block<L, n, rows>(sums, block, access.row_apart, access.column_apart, matrix.width,
                              x_tile + matrix.idx[k] * matrix.width * n * L::count);
    }
    PRUNE_ADAPTERS_UNROLL
    for (int r = 0; r < rows; ++r) {
        PRUNE_ADAPTERS_UNROLL
        for (int v = 0; v < n; ++v) L::store(y_tile + ((row + r) * n + v) * L::count, sums[r][v]);
    }
}

// The values of a block row, in order, as they are computed with.
template <class L>
void widen_blocks(const Blocks& matrix, const Access& access, const Bfloat16* values, Index block_row,
                  typename L::Element* room) {
    const Index size = matrix.height * matrix.width;
    for (Index k = matrix.ptr[block_row]; k < matrix.ptr[block_row + 1]; ++k, room += size)
        widen<L>(values + access.place(k) * size, size, room);
}

template <class L, int n, class Row>
void multiply_blocks(const Blocks& matrix, const std::int32_t* places, bool transposed, const Row* values,
                     const Row* bias, const typename L::Element* x_tile, Index begin, Index end,
                     typename L::Element* room, typename L::Element* y_tile, Row* y, Index stride, Index n_rows) {
    constexpr Index width = n * L::count;
    const Access access{places, transposed ? 1 : matrix.width, transposed ? matrix.height : 1};
    const Index together = block_rows_together(matrix.height);
    const auto block_row = [&](Index at, const Access& own, const typename L::Element* wide, typename L::Element* to) {
        in_steps<rows_at_once<L>(n)>(matrix.height, [&](auto rows, Index row) {
            multiply_block_rows<L, n, decltype(rows)::value>(matrix, own, wide, bias, x_tile, at, row, to);
        });
    };
    for (Index first = begin; first < end; first += together) {
        const Index now = std::min(together, end - first);
        for (Index b = 0; b < now; ++b) {
            typename L::Element* to = y_tile + b * matrix.height * width;
            if constexpr (std::is_same_v<Row, Bfloat16>) {
                widen_blocks<L>(matrix, access, values, first + b, room);
                block_row(first + b, {nullptr, access.row_apart, access.column_apart, matrix.ptr[first + b]}, room, to);
            } else {
                block_row(first + b, access, values, to);
            }
        }
        unpack<L, n>(y_tile, now * matrix.height, y + first * matrix.height, stride, n_rows);
    }
}

// A group of features of a batch, row after row, each padded with zeros to whole vectors; to half a vector if that is
// enough.
template <class L>
Index padded(Index features) {
    const Index size = L::size > 16 && features <= L::count / 2 ? L::count / 2 : L::count;
    return (features + size - 1) / size * size;
}

template <class L, class Row>
void pack_group(const Row* rows, Index stride, Index n_rows, Index features, typename L::Element* group) {
    const Index apart = padded<L>(features);
    for (Index b = 0; b < n_rows; ++b, rows += stride, group += apart) {
        widen<L>(rows, features, group);
        std::fill(group + features, group + apart, typename L::Element{0});
    }
}

// A part of one block: found[r][c] = sum of g[b][r] * x[b][c] for `rows` rows, and `columns` columns in n vectors.
template <class L, int n, int rows>
PRUNE_ADAPTERS_INLINE void add_outer(const typename L::Element* g, Index g_apart, const typename L::Element* x,
                                     Index x_apart, Index n_rows, bool add, typename L::Element* found,
                                     Index found_apart, Index columns) {
    typename L::Vector sums[rows][n] = {};
    for (Index b = 0; b < n_rows; ++b, g += g_apart, x += x_apart) {
        typename L::Vector row[n];
        PRUNE_ADAPTERS_UNROLL
        for (int v = 0; v < n; ++v) row[v] = L::load(x + v * L::count);
        PRUNE_ADAPTERS_UNROLL
        for (int r = 0; r < rows; ++r) {
            const auto all = L::fill(g[r]);
            PRUNE_ADAPTERS_UNROLL
            for (int v = 0; v < n; ++v) sums[r][v] += all * row[v];
        }
    }
    for (int r = 0; r < rows; ++r)
        for (int v = 0; v < n; ++v) {
            const Index now = std::min<Index>(L::count, columns - v * L::count);
            typename L::Element* at = found + r * found_apart + v * L::count;
            L::store_first(at, add ? L::load_first(at, now) + sums[r][v] : sums[r][v], now);
        }
}

// Vectors L, or half of L where a block is narrow; groups are padded for L.
template <class Vectors, class L>
void outer_in(const Blocks& matrix, const typename L::Element* g_groups, const typename L::Element* x_groups,
              Index n_rows, Index begin, Index end, bool add, typename L::Element* found) {
    constexpr int count = Vectors::count;
    const Index g_apart = padded<L>(matrix.height), x_apart = padded<L>(matrix.width);
    for (Index block_row = begin; block_row < end; ++block_row) {
        const typename L::Element* g = g_groups + block_row * n_rows * g_apart;
        for (Index k = matrix.ptr[block_row]; k < matrix.ptr[block_row + 1]; ++k) {
            const typename L::Element* x = x_groups + matrix.idx[k] * n_rows * x_apart;
            typename L::Element* block = found + k * matrix.height * matrix.width;
            in_steps<rows_at_once<L>(2)>(matrix.height, [&](auto rows, Index row) {
                in_steps<2>(x_apart / count, [&](auto vectors, Index v) {
                    const Index column = v * count;
                    add_outer<Vectors, decltype(vectors)::value, decltype(rows)::value>(
                        g + row, g_apart, x + column, x_apart, n_rows, add, block + row * matrix.width + column,
                        matrix.width, matrix.width - column);
                });
            });
        }
    }
}

template <class L>
void outer_blocks(const Blocks& matrix, const typename L::Element* g_groups, const typename L::Element* x_groups,
                  Index n_rows, Index begin, Index end, bool add, typename L::Element* found) {
    using Half = Lanes<typename L::Element, (L::size > 16 ? L::size / 2 : 16)>;
    const bool narrow = padded<L>(matrix.width) < L::count;
    const auto outer = narrow ? outer_in<Half, L> : outer_in<L, L>;
    outer(matrix, g_groups, x_groups, n_rows, begin, end, add, found);
}

}  // namespace
}  // namespace prune_adapters
