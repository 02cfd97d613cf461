// The gradients of the values: sums over positions.
#pragma once

#include "conv.hpp"
#include "vectors.hpp"

namespace prune_adapters {
namespace {

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
    for (int done = 0; done < R * G; done += L::count) {
        V rows[L::count];
        PRUNE_ADAPTERS_UNROLL
        for (int i = 0; i < L::count; ++i) rows[i] = done + i < R * G ? acc[done + i] : V{};
        T total[L::count];
        L::store(total, sums<L>(rows));
        PRUNE_ADAPTERS_UNROLL
        for (int i = 0; i < L::count; ++i)
            if (done + i < R * G) job.out[(done + i) / G * job.out_step + first + (done + i) % G] += total[i];
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

template <class L, class Row>
typename L::Element total_of(const Row* values, Index count) {
    typename L::Vector acc[4] = {};
    Index done = 0;
    for (; done + 4 * L::count <= count; done += 4 * L::count)
        for (int k = 0; k < 4; ++k) acc[k] += load_wide<L>(values + done + k * L::count);
    for (int k = 0; done < count; done += L::count, ++k) {
        typename L::Element rest[L::count] = {};
        widen<L>(values + done, std::min<Index>(L::count, count - done), rest);
        acc[k] += L::load(rest);
    }
    return sum<L>((acc[0] + acc[1]) + (acc[2] + acc[3]));
}

}  // namespace
}  // namespace prune_adapters
