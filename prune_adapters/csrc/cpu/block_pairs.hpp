// Matrices of dense blocks of bfloat16 times tiles of a batch, for processors that multiply pairs of them: two terms of a
// sum of floats at once. See blocks.hpp, whose work this is.
//
// In tiles and groups a pair takes the place of a float: two neighbouring features of a row of the batch, or in groups
// two neighbouring rows. What is too narrow for a pair is 0.
#pragma once

#include <immintrin.h>

#include "blocks.hpp"

namespace prune_adapters {
namespace {

using Pairs = Lanes<std::uint32_t, 64>;
using Sums = Lanes<float, 64>;

inline Pairs::Vector load_pairs(const void* at) {
    Pairs::Vector pairs;
    std::memcpy(&pairs, at, sizeof pairs);
    return pairs;
}
inline std::uint32_t pair_at(const void* at) {
    std::uint32_t pair;
    std::memcpy(&pair, at, sizeof pair);
    return pair;
}
inline void set_pair(void* at, std::uint32_t pair) { std::memcpy(at, &pair, sizeof pair); }

inline Sums::Vector add_products(Sums::Vector sums, Pairs::Vector a, Pairs::Vector b) {
    return (Sums::Vector)_mm512_dpbf16_ps((__m512)sums, (__m512bh)a, (__m512bh)b);
}

// tile[f / 2][b] = rows[b * stride + f] and the one after it, for an even number of features.
template <int n>
void pack_pairs(const Bfloat16* rows, Index stride, Index n_rows, Index features, float* tile) {
    constexpr int count = Pairs::count, width = n * count;
    const Index pairs = features / 2, whole = pairs / count * count;
    for (int v = 0; v < n; ++v)
        for (Index f = 0; f < whole; f += count) {
            Pairs::Vector block[count];
            PRUNE_ADAPTERS_UNROLL
            for (int b = 0; b < count; ++b) {
                const Index row = v * count + b;
                block[b] = row < n_rows ? load_pairs(rows + row * stride + 2 * f) : Pairs::Vector{};
            }
            transpose<Pairs>(block);
            PRUNE_ADAPTERS_UNROLL
            for (int k = 0; k < count; ++k) std::memcpy(tile + (f + k) * width + v * count, &block[k], sizeof block[k]);
        }
    for (Index f = whole; f < pairs; ++f)
        for (Index b = 0; b < width; ++b)
            set_pair(tile + f * width + b, b < n_rows ? pair_at(rows + b * stride + 2 * f) : 0);
}

// Where the pairs of blocks are, in pairs; see Access.
struct PairAccess {
    const Bfloat16* values;
    const std::int32_t* places;
    Index first, row_apart, column_apart;

    const Bfloat16* block(Index k, Index size) const { return values + (places ? places[k] : k - first) * size; }
};

template <int n, int rows>
PRUNE_ADAPTERS_INLINE void multiply_pair_rows(const Blocks& matrix, const PairAccess& access, const Bfloat16* bias,
                                              const float* x_tile, Index block_row, Index row, float* y_tile) {
    Sums::Vector sums[rows][n];
    PRUNE_ADAPTERS_UNROLL
    for (int r = 0; r < rows; ++r) {
        PRUNE_ADAPTERS_UNROLL
        for (int v = 0; v < n; ++v)
            sums[r][v] = Sums::fill(bias ? widened(bias[block_row * matrix.height + row + r]) : 0);
    }
    const Index pairs = matrix.width / 2;
    for (Index k = matrix.ptr[block_row]; k < matrix.ptr[block_row + 1]; ++k) {
        const Bfloat16* values = access.block(k, matrix.height * matrix.width) + 2 * row * access.row_apart;
        const float* x = x_tile + matrix.idx[k] * pairs * n * Sums::count;
        for (Index c = 0; c < pairs; ++c, x += n * Sums::count, values += 2 * access.column_apart) {
            PRUNE_ADAPTERS_UNROLL
            for (int r = 0; r < rows; ++r) {
                const auto pair = Pairs::fill(pair_at(values + 2 * r * access.row_apart));
                PRUNE_ADAPTERS_UNROLL
                for (int v = 0; v < n; ++v)
                    sums[r][v] = add_products(sums[r][v], pair, load_pairs(x + v * Sums::count));
            }
        }
    }
    PRUNE_ADAPTERS_UNROLL
    for (int r = 0; r < rows; ++r) {
        PRUNE_ADAPTERS_UNROLL
        for (int v = 0; v < n; ++v) Sums::store(y_tile + ((row + r) * n + v) * Sums::count, sums[r][v]);
    }
}

// Two rows of a block, element by element: pairs[c] = a[c], b[c].
inline void interleave(const Bfloat16* a, const Bfloat16* b, Index count, void* pairs) {
    auto* at = static_cast<char*>(pairs);
    for (Index c = 0; c < count; ++c)
        set_pair(at + c * sizeof(std::uint32_t), a[c].bits | static_cast<std::uint32_t>(b[c].bits) << 16);
}

// The blocks of a block row, which lie transposed, in pairs.
inline void pair_blocks(const Blocks& matrix, const std::int32_t* places, const Bfloat16* values, Index block_row,
                        Bfloat16* room) {
    for (Index k = matrix.ptr[block_row]; k < matrix.ptr[block_row + 1]; ++k) {
        const Bfloat16* block = values + (places ? places[k] : k) * matrix.height * matrix.width;
        for (Index c = 0; c < matrix.width; c += 2, block += 2 * matrix.height, room += 2 * matrix.height)
            interleave(block, block + matrix.height, matrix.height, room);
    }
}

template <int n>
void multiply_pairs(const Blocks& matrix, const std::int32_t* places, bool transposed, const Bfloat16* values,
                    const Bfloat16* bias, const float* x_tile, Index begin, Index end, float* room, float* y_tile,
                    Bfloat16* y, Index stride, Index n_rows) {
    const Index together = block_rows_together(matrix.height);
    auto* turned = reinterpret_cast<Bfloat16*>(room);
    for (Index first = begin; first < end; first += together) {
        const Index now = std::min(together, end - first);
        for (Index b = 0; b < now; ++b) {
            PairAccess access{values, places, 0, matrix.width / 2, 1};
            if (transposed) {
                pair_blocks(matrix, places, values, first + b, turned);
                access = {turned, nullptr, matrix.ptr[first + b], 1, matrix.height};
            }
            in_steps<rows_at_once<Sums>(n)>(matrix.height, [&](auto rows, Index row) {
                multiply_pair_rows<n, decltype(rows)::value>(matrix, access, bias, x_tile, first + b, row,
                                                             y_tile + b * matrix.height * n * Sums::count);
            });
        }
        unpack<Sums, n>(y_tile, now * matrix.height, y + first * matrix.height, stride, n_rows);
    }
}

inline Index padded_pairs(Index features) { return (features + Pairs::count - 1) / Pairs::count * Pairs::count; }

// Two rows of the batch after the other two; of an odd number of rows the last one has zeros beside it.
inline void pack_pair_group(const Bfloat16* rows, Index stride, Index n_rows, Index features, float* group) {
    const Index apart = padded_pairs(features);
    for (Index b = 0; b < n_rows; b += 2, rows += 2 * stride, group += apart) {
        std::fill(group + features, group + apart, 0.0f);
        if (b + 1 < n_rows) interleave(rows, rows + stride, features, group);
        else
            for (Index f = 0; f < features; ++f) set_pair(group + f, rows[f].bits);
    }
}

template <int n, int rows>
PRUNE_ADAPTERS_INLINE void add_outer_pairs(const float* g, Index g_apart, const float* x, Index x_apart, Index n_pairs,
                                           bool add, float* found, Index found_apart, Index columns) {
    Sums::Vector sums[rows][n] = {};
    for (Index b = 0; b < n_pairs; ++b, g += g_apart, x += x_apart) {
        Pairs::Vector row[n];
        PRUNE_ADAPTERS_UNROLL
        for (int v = 0; v < n; ++v) row[v] = load_pairs(x + v * Sums::count);
        PRUNE_ADAPTERS_UNROLL
        for (int r = 0; r < rows; ++r) {
            const auto all = Pairs::fill(pair_at(g + r));
            PRUNE_ADAPTERS_UNROLL
            for (int v = 0; v < n; ++v) sums[r][v] = add_products(sums[r][v], all, row[v]);
        }
    }
    for (int r = 0; r < rows; ++r)
        for (int v = 0; v < n; ++v) {
            const Index now = std::min<Index>(Sums::count, columns - v * Sums::count);
            float* at = found + r * found_apart + v * Sums::count;
            Sums::store_first(at, add ? Sums::load_first(at, now) + sums[r][v] : sums[r][v], now);
        }
}

inline void outer_pairs(const Blocks& matrix, const float* g_groups, const float* x_groups, Index n_rows, Index begin,
                        Index end, bool add, float* found) {
    const Index g_apart = padded_pairs(matrix.height), x_apart = padded_pairs(matrix.width);
    const Index n_pairs = (n_rows + 1) / 2;
    for (Index block_row = begin; block_row < end; ++block_row) {
        const float* g = g_groups + block_row * n_rows * g_apart;
        for (Index k = matrix.ptr[block_row]; k < matrix.ptr[block_row + 1]; ++k) {
            const float* x = x_groups + matrix.idx[k] * n_rows * x_apart;
            float* block = found + k * matrix.height * matrix.width;
            in_steps<rows_at_once<Sums>(2)>(matrix.height, [&](auto rows, Index row) {
                in_steps<2>(x_apart / Sums::count, [&](auto vectors, Index v) {
                    const Index column = v * Sums::count;
                    add_outer_pairs<decltype(vectors)::value, decltype(rows)::value>(
                        g + row, g_apart, x + column, x_apart, n_pairs, add, block + row * matrix.width + column,
                        matrix.width, matrix.width - column);
                });
            });
        }
    }
}

}  // namespace
}  // namespace prune_adapters
