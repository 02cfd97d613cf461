// Rows of images to strips.
#pragma once

#include "conv.hpp"
#include "vectors.hpp"

namespace prune_adapters {
namespace {

// Positions that follow each other in the images, `width` to a row of the strip.
template <class L, class Row>
void pack_run(const ConvRows<Row>& job, const Row* images, Index count, typename L::Element* strip) {
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
            block[b] = b < job.n_images ? load_wide<L>(images + b * job.image_step + done) : typename L::Vector{};
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
        for (Index b = 0; b < job.n_images; ++b) value[b] = widened(images[b * job.image_step + done]);
        store(value);
    }
}

// Positions of a strip to images, several vectors of one image after the other: images lie on pages of their own.
template <class L, class Row>
void unpack_positions(const typename L::Element* strip, Index positions, Row* images, Index image_step,
                      Index n_images) {
    constexpr int together = 4;
    Index done = 0;
    for (; done + together * L::count <= positions; done += together * L::count) {
        typename L::Vector blocks[together][L::count];
        for (int k = 0; k < together; ++k) {
            typename L::Vector block[L::count];
            PRUNE_ADAPTERS_UNROLL
            for (int p = 0; p < L::count; ++p) block[p] = L::load(strip + (k * L::count + p) * L::count);
            transpose<L>(block);
            PRUNE_ADAPTERS_UNROLL
            for (int b = 0; b < L::count; ++b) blocks[k][b] = block[b];
        }
        for (Index b = 0; b < n_images; ++b)
            PRUNE_ADAPTERS_UNROLL
            for (int k = 0; k < together; ++k)
                store_narrow<L>(images + b * image_step + done + k * L::count, blocks[k][b]);
        strip += together * L::count * L::count;
    }
    unpack<L, 1>(strip, positions - done, images + done, image_step, n_images);
}

template <class L, class Row>
void pack_rows(const ConvRows<Row>& job) {
    if (job.width == job.row_step) return pack_run<L>(job, job.images, job.rows * job.width, job.strip);
    for (Index row = 0; row < job.rows; ++row)
        pack_run<L>(job, job.images + row * job.row_step, job.width, job.strip + row * job.strip_row);
}

}  // namespace
}  // namespace prune_adapters
