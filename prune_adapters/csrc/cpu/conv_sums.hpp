// The sums of a convolution. Each runs over entries, then taps, in their order, whatever the block of positions: a
// result does not depend on how the work is cut.
#pragma once

#include "conv.hpp"
#include "vectors.hpp"

namespace prune_adapters {
namespace {

// A block of R outputs, H rows and W vectors stays in registers. `unit`: vectors follow each other in the strip.
template <class L, int R, int H, int W, bool unit>
PRUNE_ADAPTERS_INLINE void sum_block(const ConvSums<typename L::Element>& job, Index row, Index vector) {
    using T = typename L::Element;
    using V = typename L::Vector;
    const Index vector_step = unit ? L::count : job.vector_step, row_step = job.row_step;
    const T* x = job.x + row * row_step + vector * vector_step;
    V acc[R][H][W];
    PRUNE_ADAPTERS_UNROLL
    for (int r = 0; r < R; ++r)
        PRUNE_ADAPTERS_UNROLL
        for (int h = 0; h < H; ++h)
            PRUNE_ADAPTERS_UNROLL
            for (int w = 0; w < W; ++w) acc[r][h][w] = job.bias ? L::fill(job.bias[r]) : V{};
    const T* weight = job.weights;
    for (Index e = 0; e < job.entries; ++e) {
        const T* entry = x + job.offsets[e];
        for (Index k = 0; k < job.n_taps; ++k, weight += R) {
            const T* at = entry + job.taps[k];
            V in[H][W];
            PRUNE_ADAPTERS_UNROLL
            for (int h = 0; h < H; ++h)
                PRUNE_ADAPTERS_UNROLL
                for (int w = 0; w < W; ++w) in[h][w] = L::load(at + h * row_step + w * vector_step);
            PRUNE_ADAPTERS_UNROLL
            for (int r = 0; r < R; ++r) {
                const V own = L::fill(weight[r]);
                PRUNE_ADAPTERS_UNROLL
                for (int h = 0; h < H; ++h)
                    PRUNE_ADAPTERS_UNROLL
                    for (int w = 0; w < W; ++w) acc[r][h][w] += own * in[h][w];
            }
        }
    }
    T* y = job.y + (row * job.vectors + vector) * L::count;
    PRUNE_ADAPTERS_UNROLL
    for (int r = 0; r < R; ++r)
        PRUNE_ADAPTERS_UNROLL
        for (int h = 0; h < H; ++h)
            PRUNE_ADAPTERS_UNROLL
            for (int w = 0; w < W; ++w)
                L::store(y + r * job.y_plane + (h * job.vectors + w) * L::count, acc[r][h][w]);
}

// The same for one output and 3 x 3 taps that lie side by side: each input vector is loaded once for all its taps.
template <class L, int H, int W>
PRUNE_ADAPTERS_INLINE void sum3_block(const ConvSums<typename L::Element>& job, Index row, Index vector) {
    using T = typename L::Element;
    using V = typename L::Vector;
    const Index row_step = job.row_step;
    const T* x = job.x + row * row_step + vector * L::count;
    V acc[H][W];
    PRUNE_ADAPTERS_UNROLL
    for (int h = 0; h < H; ++h)
        PRUNE_ADAPTERS_UNROLL
        for (int w = 0; w < W; ++w) acc[h][w] = job.bias ? L::fill(job.bias[0]) : V{};
    const T* weight = job.weights;
    for (Index e = 0; e < job.entries; ++e, weight += 9) {
        const T* at = x + job.offsets[e];
        const T* next = x + job.offsets[e + 1 < job.entries ? e + 1 : e];
        V own[9];
        PRUNE_ADAPTERS_UNROLL
        for (int k = 0; k < 9; ++k) own[k] = L::fill(weight[k]);
        PRUNE_ADAPTERS_UNROLL
        for (int r = 0; r < H + 2; ++r) {
            PRUNE_ADAPTERS_UNROLL
            for (int c = 0; c < W + 2; ++c) {
                const V in = L::load(at + r * row_step + c * L::count);
                if (c * L::size % 64 == 0) __builtin_prefetch(next + r * row_step + c * L::count);
                PRUNE_ADAPTERS_UNROLL
                for (int ky = 0; ky < 3; ++ky)
                    PRUNE_ADAPTERS_UNROLL
                    for (int kx = 0; kx < 3; ++kx)
                        if (r >= ky && r - ky < H && c >= kx && c - kx < W)
                            acc[r - ky][c - kx] += own[3 * ky + kx] * in;
            }
        }
    }
    T* y = job.y + (row * job.vectors + vector) * L::count;
    PRUNE_ADAPTERS_UNROLL
    for (int h = 0; h < H; ++h)
        PRUNE_ADAPTERS_UNROLL
        for (int w = 0; w < W; ++w) L::store(y + (h * job.vectors + w) * L::count, acc[h][w]);
}

// R outputs, one row: each input vector is loaded once for the three taps of a row.
template <class L, int R, int W>
PRUNE_ADAPTERS_INLINE void sum3_row(const ConvSums<typename L::Element>& job, Index row, Index vector) {
    using T = typename L::Element;
    using V = typename L::Vector;
    const T* x = job.x + row * job.row_step + vector * L::count;
    V acc[R][W];
    PRUNE_ADAPTERS_UNROLL
    for (int r = 0; r < R; ++r)
        PRUNE_ADAPTERS_UNROLL
        for (int w = 0; w < W; ++w) acc[r][w] = job.bias ? L::fill(job.bias[r]) : V{};
    const T* weight = job.weights;
    for (Index e = 0; e < job.entries; ++e) {
        const T* at = x + job.offsets[e];
        const T* next = x + job.offsets[e + 1 < job.entries ? e + 1 : e];
        for (int ky = 0; ky < 3; ++ky, at += job.row_step, next += job.row_step, weight += 3 * R) {
            PRUNE_ADAPTERS_UNROLL
            for (int w = 0; w < W + 2; ++w)
                if (w * L::size % 64 == 0) __builtin_prefetch(next + w * L::count);
            V in[W + 2];
            PRUNE_ADAPTERS_UNROLL
            for (int w = 0; w < W + 2; ++w) in[w] = L::load(at + w * L::count);
            PRUNE_ADAPTERS_UNROLL
            for (int kx = 0; kx < 3; ++kx)
                PRUNE_ADAPTERS_UNROLL
                for (int r = 0; r < R; ++r) {
                    const V own = L::fill(weight[kx * R + r]);
                    PRUNE_ADAPTERS_UNROLL
                    for (int w = 0; w < W; ++w) acc[r][w] += own * in[w + kx];
                }
        }
    }
    T* y = job.y + (row * job.vectors + vector) * L::count;
    PRUNE_ADAPTERS_UNROLL
    for (int r = 0; r < R; ++r)
        PRUNE_ADAPTERS_UNROLL
        for (int w = 0; w < W; ++w) L::store(y + r * job.y_plane + w * L::count, acc[r][w]);
}

template <class L, int R, bool unit>
struct Plain {
    static constexpr int registers = L::size == 64 ? 24 : 12;
    // Rows of a block that is w vectors wide.
    static constexpr int height(int w) {
        int h = 1;
        while (2 * h * w * R <= (R == 1 ? registers * 2 / 3 : registers) && h < 8) h *= 2;
        return h;
    }
    static constexpr int width = R == 8 ? 3 : R == 4 ? 3 : 4;
    template <int H, int W>
    static PRUNE_ADAPTERS_INLINE void run(const ConvSums<typename L::Element>& job, Index row, Index vector) {
        sum_block<L, R, H, W, unit>(job, row, vector);
    }
};

template <class L, int R>
struct Threes {
    static constexpr int width = L::size == 64 ? (R == 8 ? 3 : R == 4 ? 5 : 8) : R == 4 ? 2 : 4;
    static constexpr int height(int) { return 1; }
    template <int, int W>
    static PRUNE_ADAPTERS_INLINE void run(const ConvSums<typename L::Element>& job, Index row, Index vector) {
        sum3_row<L, R, W>(job, row, vector);
    }
};

template <class L>
struct Threes<L, 1> {
    static constexpr int width = L::size == 64 ? 4 : 3;
    static constexpr int height(int w) { return L::size == 64 ? (w > 2 ? 4 : 8) : w > 2 ? 2 : 4; }
    template <int H, int W>
    static PRUNE_ADAPTERS_INLINE void run(const ConvSums<typename L::Element>& job, Index row, Index vector) {
        sum3_block<L, H, W>(job, row, vector);
    }
};

// All rows of a column of blocks that is W vectors wide.
template <class Block, int H, int W, class Job>
PRUNE_ADAPTERS_INLINE void column_of_blocks(const Job& job, Index row, Index vector) {
    for (; row + H <= job.rows; row += H) Block::template run<H, W>(job, row, vector);
    if constexpr (H > 1) column_of_blocks<Block, H / 2, W>(job, row, vector);
}

template <class Block, int W, class Job>
PRUNE_ADAPTERS_INLINE void columns(const Job& job, Index vector) {
    for (; vector + W <= job.vectors; vector += W) column_of_blocks<Block, Block::height(W), W>(job, 0, vector);
    if constexpr (W > 1) columns<Block, W - 1>(job, vector);
}

template <class L, int R>
void sums_of(const ConvSums<typename L::Element>& job) {
    if (job.vector_step == L::count)
        columns<Plain<L, R, true>, Plain<L, R, true>::width>(job, 0);
    else
        columns<Plain<L, R, false>, Plain<L, R, false>::width>(job, 0);
}

template <class L, int R>
void sums3_of(const ConvSums<typename L::Element>& job) {
    columns<Threes<L, R>, Threes<L, R>::width>(job, 0);
}

}  // namespace
}  // namespace prune_adapters
