// Templates of the convolution kernels. Every sum runs over entries, then taps, in their order, whatever the block of
// positions: a result does not depend on how the work is cut.
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
                        if (r >= ky && r - ky < H && c >= kx && c - kx < W) acc[r - ky][c - kx] += own[3 * ky + kx] * in;
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
        for (int ky = 0; ky < 3; ++ky, at += job.row_step, weight += 3 * R) {
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

// R outputs and G offsets.
template <class L, int R, int G, bool unit>
PRUNE_ADAPTERS_INLINE void gradient_block(const ConvGradients<typename L::Element>& job, Index first) {
    using T = typename L::Element;
    using V = typename L::Vector;
    const Index vector_step = unit ? L::count : job.vector_step;
    V acc[R * G];
    PRUNE_ADAPTERS_UNROLL
    for (int i = 0; i < R * G; ++i) acc[i] = V{};
    for (Index tile = 0; tile < job.tiles; ++tile) {
        const T* grad = job.grad + tile * job.grad_tile;
        const T* at[G];
        PRUNE_ADAPTERS_UNROLL
        for (int j = 0; j < G; ++j) at[j] = job.x + tile * job.x_tile + job.offsets[first + j];
        for (Index row = 0; row < job.rows; ++row) {
            Index place = row * job.row_step;
            for (Index v = 0; v < job.vectors; ++v, place += vector_step, grad += L::count) {
                V own[R];
                PRUNE_ADAPTERS_UNROLL
                for (int r = 0; r < R; ++r) own[r] = L::load(grad + r * job.grad_plane);
                PRUNE_ADAPTERS_UNROLL
                for (int j = 0; j < G; ++j) {
                    const V in = L::load(at[j] + place);
                    PRUNE_ADAPTERS_UNROLL
                    for (int r = 0; r < R; ++r) acc[r * G + j] += own[r] * in;
                }
            }
        }
    }
    PRUNE_ADAPTERS_UNROLL
    for (int r = 0; r < R; ++r) {
        T* out = job.out + r * job.out_step + first;
        if constexpr (G >= L::count) {
            PRUNE_ADAPTERS_UNROLL
            for (int j = 0; j < G; j += L::count) L::store(out + j, L::load(out + j) + sums<L>(acc + r * G + j));
        } else {
            V rows[L::count];
            PRUNE_ADAPTERS_UNROLL
            for (int j = 0; j < L::count; ++j) rows[j] = j < G ? acc[r * G + j] : V{};
            const V total = sums<L>(rows);
            PRUNE_ADAPTERS_UNROLL
            for (int j = 0; j < G; ++j) out[j] += total[j];
        }
    }
}

template <class L, int R, int G, bool unit>
PRUNE_ADAPTERS_INLINE void gradient_blocks(const ConvGradients<typename L::Element>& job, Index first) {
    for (; first + G <= job.count; first += G) gradient_block<L, R, G, unit>(job, first);
    if constexpr (G > 1) gradient_blocks<L, R, G / 2, unit>(job, first);
}

template <class L, int R>
void gradients_of(const ConvGradients<typename L::Element>& job) {
    constexpr int registers = L::size == 64 ? 16 : 8, G = R == 1 ? 8 : registers / R;
    if (job.vector_step == L::count)
        gradient_blocks<L, R, G, true>(job, 0);
    else
        gradient_blocks<L, R, G, false>(job, 0);
}

// The nine taps of one pair of channels: of nine input vectors at a position, six are known from the one before.
template <class L>
PRUNE_ADAPTERS_INLINE void gradient3_block(const ConvGradients<typename L::Element>& job, Index first) {
    using T = typename L::Element;
    using V = typename L::Vector;
    const Index row_step = job.row_step;
    V acc[9];
    PRUNE_ADAPTERS_UNROLL
    for (int k = 0; k < 9; ++k) acc[k] = V{};
    for (Index tile = 0; tile < job.tiles; ++tile) {
        const T* grad = job.grad + tile * job.grad_tile;
        const T* x = job.x + tile * job.x_tile + job.offsets[first];
        for (Index row = 0; row < job.rows; ++row, x += row_step) {
            const T* at = x;
            V in[3][3];
            PRUNE_ADAPTERS_UNROLL
            for (int ky = 0; ky < 3; ++ky)
                PRUNE_ADAPTERS_UNROLL
                for (int kx = 0; kx < 2; ++kx) in[ky][kx] = L::load(at + ky * row_step + kx * L::count);
            for (Index v = 0; v < job.vectors; ++v, grad += L::count, at += L::count) {
                const V own = L::load(grad);
                PRUNE_ADAPTERS_UNROLL
                for (int ky = 0; ky < 3; ++ky) {
                    in[ky][2] = L::load(at + ky * row_step + 2 * L::count);
                    PRUNE_ADAPTERS_UNROLL
                    for (int kx = 0; kx < 3; ++kx) acc[3 * ky + kx] += own * in[ky][kx];
                    in[ky][0] = in[ky][1];
                    in[ky][1] = in[ky][2];
                }
            }
        }
    }
    T found[16];
    V rows[L::count];
    PRUNE_ADAPTERS_UNROLL
    for (int done = 0; done < 9; done += L::count) {
        PRUNE_ADAPTERS_UNROLL
        for (int k = 0; k < L::count; ++k) rows[k] = done + k < 9 ? acc[done + k] : V{};
        L::store(found + done, sums<L>(rows));
    }
    PRUNE_ADAPTERS_UNROLL
    for (int k = 0; k < 9; ++k) job.out[first + k] += found[k];
}

template <class L>
void gradients3_of(const ConvGradients<typename L::Element>& job) {
    for (Index first = 0; first < job.count; first += 9) gradient3_block<L>(job, first);
}

// Positions that follow each other in the images, `width` to a row of the strip.
template <class L>
void pack_run(const ConvRows<typename L::Element>& job, const typename L::Element* images, Index count,
              typename L::Element* strip) {
    using T = typename L::Element;
    Index done = 0, column = 0;
    const auto store = [&](typename L::Vector value) {
        L::store(strip + column * L::count, value);
        if (++column == job.width) column = 0, strip += job.strip_row;
    };
    for (; done + L::count <= count; done += L::count) {
        typename L::Vector block[L::count];
        PRUNE_ADAPTERS_UNROLL
        for (int b = 0; b < L::count; ++b)
            block[b] = b < job.n_images ? L::load(images + b * job.image_step + done) : typename L::Vector{};
        transpose<L>(block);
        if (column + L::count <= job.width) {
            T* at = strip + column * L::count;
            PRUNE_ADAPTERS_UNROLL
            for (int k = 0; k < L::count; ++k) L::store(at + k * L::count, block[k]);
            if ((column += L::count) == job.width) column = 0, strip += job.strip_row;
        } else {
            PRUNE_ADAPTERS_UNROLL
            for (int k = 0; k < L::count; ++k) store(block[k]);
        }
    }
    for (; done < count; ++done) {
        typename L::Vector value{};
        for (Index b = 0; b < job.n_images; ++b) value[b] = images[b * job.image_step + done];
        store(value);
    }
}

template <class L>
void pack_rows(const ConvRows<typename L::Element>& job) {
    if (job.width == job.row_step) return pack_run<L>(job, job.images, job.rows * job.width, job.strip);
    for (Index row = 0; row < job.rows; ++row)
        pack_run<L>(job, job.images + row * job.row_step, job.width, job.strip + row * job.strip_row);
}

template <class L>
typename L::Element total_of(const typename L::Element* values, Index count) {
    typename L::Vector acc[4] = {};
    Index done = 0;
    for (; done + 4 * L::count <= count; done += 4 * L::count)
        for (int k = 0; k < 4; ++k) acc[k] += L::load(values + done + k * L::count);
    for (int k = 0; done < count; done += L::count, ++k) acc[k] += L::load_first(values + done, count - done);
    return sum<L>((acc[0] + acc[1]) + (acc[2] + acc[3]));
}

template <class L>
constexpr ConvKernels<typename L::Element> conv_kernels_of() {
    constexpr bool wide = L::size == 64;
    return {L::count,
            wide ? 4 : 3,
            {sums_of<L, 1>, sums_of<L, 2>, sums_of<L, 4>, sums_of<L, wide ? 8 : 4>},
            {sums3_of<L, 1>, sums3_of<L, 2>, sums3_of<L, 4>, sums3_of<L, wide ? 8 : 4>},
            3,
            {gradients_of<L, 1>, gradients_of<L, 2>, gradients_of<L, 4>, nullptr},
            wide ? gradients3_of<L> : gradients_of<L, 1>,
            pack_rows<L>,
            unpack<L, 1>,
            total_of<L>};
}

template <int bytes>
constexpr ConvTable conv_table_of(const char* name) {
    return {name, conv_kernels_of<Lanes<float, bytes>>(), conv_kernels_of<Lanes<double, bytes>>()};
}

}  // namespace
}  // namespace prune_adapters
