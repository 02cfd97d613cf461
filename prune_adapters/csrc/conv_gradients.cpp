// The gradients of the values and of the bias. Threads share out the values, not the batch: the order of every sum is
// the same for any number of them.
#include <algorithm>

#include "conv.hpp"
#include "conv_tiles.hpp"
#include "parallel.hpp"

namespace prune_adapters {
namespace {

constexpr Index chunk_bytes = Index{4} << 20;

template <class Row>
class ValueGradient {
public:
    using T = SumOf<Row>;

    ValueGradient(const ConvTables& tables, const Window& window, const Row* grad, const Row* x, T* out)
        : kernels(conv_kernels().of<T>()),
          tables(tables),
          window(window),
          inputs(tables.inputs * tables.in_block),
          outputs(tables.outputs * tables.out_block),
          grad(grad),
          x(x),
          out(out),
          terms(terms_of<T>(tables.out_block == 1 ? tables : without_values(tables), nullptr, 1)),
          parts(groupings(tables.out_block, Index{1} << (kernels.gradient_groupings - 1))) {}

    // All these tiles are by images, or all by columns.
    void add(const std::vector<Tile>& tiles) {
        if (tiles.empty()) return;
        layout = layout_of(window, inputs, kernels.lanes, tiles[0].by_images, sizeof(T));
        expand(offsets_of(terms, window, layout, inputs));
        grad_plane = layout.out_rows * layout.vectors * layout.lanes;
        if (grad_plane * sizeof(T) % 4096 == 0) grad_plane += layout.lanes;
        const Index a_tile = inputs * layout.plane, all = static_cast<Index>(tiles.size());
        const bool whole = layout.out_rows == window.rows.out;
        const Index together = whole ? std::clamp<Index>(chunk_bytes / (a_tile * sizeof(T)), 1, all) : 1;
        const Scratch<T> strips(together * a_tile), grads(together * outputs * grad_plane);
        for (Index tile = 0; tile < together; ++tile)
            clear_margins(window, layout, inputs, strips.data() + tile * a_tile);
        if (!layout.by_images) std::fill(grads.data(), grads.data() + together * outputs * grad_plane, T{0});
        for (Index first = 0; first < all; first += together)
            for (Index start = 0; start < window.rows.out; start += layout.out_rows)
                add_chunk(tiles.data() + first, std::min(together, all - first), start, strips.data(), grads.data());
    }

private:
    static ConvTables without_values(ConvTables tables) {
        tables.out_block = 1;
        return tables;
    }

    // One offset for each value of an output.
    void expand(const Offsets& own) {
        offsets.clear();
        offsets.reserve(own.entries.size() * own.taps.size());
        for (const std::int32_t entry : own.entries)
            for (const std::int32_t tap : own.taps) offsets.push_back(entry + tap);
    }

    void add_chunk(const Tile* tiles, Index n_tiles, Index start, T* strips, T* grads) const {
        const Index rows = std::min(layout.out_rows, window.rows.out - start);
        in_parallel(n_tiles * (inputs + outputs), grain(inputs + outputs), [&](Index begin, Index end) {
            for (Index i = begin; i < end; ++i) {
                const Index tile = i / (inputs + outputs), channel = i % (inputs + outputs);
                T *strip = strips + tile * inputs * layout.plane, *own = grads + tile * outputs * grad_plane;
                if (channel < inputs) pack_input(tiles[tile], channel, start, rows, strip);
                else pack_grad(tiles[tile], channel - inputs, start, rows, own);
            }
        });
        const Index n_parts = static_cast<Index>(parts.size());
        in_parallel(tables.outputs * n_parts, grain(tables.outputs * n_parts), [&](Index begin, Index end) {
            for (Index i = begin; i < end; ++i) sum_part(i / n_parts, i % n_parts, n_tiles, rows, strips, grads);
        });
    }

    // Parts enough for many threads, without a thread for next to nothing.
    static Index grain(Index count) { return (count + 63) / 64; }

    void pack_input(const Tile& tile, Index channel, Index start, Index rows, T* strip) const {
        const Images<Row> images{x + tile.first * inputs * window.rows.in * window.columns.in, tile.n_images, inputs};
        load_rows(window, layout, images, start, 0, window.rows.reach(rows), channel, channel + 1, strip);
    }

    void pack_grad(const Tile& tile, Index channel, Index start, Index rows, T* strip) const {
        const Index width = window.columns.out, plane = window.rows.out * width, row = layout.vectors * layout.lanes;
        const Row* from = grad + (tile.first * outputs + channel) * plane + start * width;
        T* to = strip + channel * grad_plane;
        if (tile.by_images) {
            row_kernels.pack({from, outputs * plane, tile.n_images, rows, width, width, to, row});
            return;
        }
        for (Index r = 0; r < rows; ++r) row_kernels.widen(from + r * width, width, to + r * row);
    }

    bool is_three() const {
        return layout.by_images && tables.out_block == 1 && !tables.by_taps && window.is_plain_three();
    }

    void sum_part(Index g, Index part, Index n_tiles, Index rows, const T* strips, const T* grads) const {
        Index first = 0;
        for (Index p = 0; p < part; ++p) first += parts[p];
        const Index taps = tables.by_taps ? 1 : tables.kh * tables.kw, in = tables.in_block, block = in * taps;
        const Index out_block = tables.out_block;
        const auto sum = [&](Index begin, Index end) {
            const ConvGradients<T> job{grads + (g * out_block + first) * grad_plane, grad_plane, strips,
                                       offsets.data() + begin * block, (end - begin) * block,
                                       out + (begin * out_block + first) * block, block, n_tiles,
                                       outputs * grad_plane, inputs * layout.plane, rows, layout.vectors,
                                       layout.row_step, layout.vector_step};
            if (is_three()) kernels.gradients3(job);
            else kernels.gradients[parts[part] / 2](job);
        };
        if (out_block == 1) return sum(tables.ptr[g], tables.ptr[g + 1]);
        for (Index j = tables.ptr[g]; j < tables.ptr[g + 1]; ++j) sum(j, j + 1);
    }

    const ConvKernels<T>& kernels;
    const ConvRowKernels<Row>& row_kernels = conv_kernels().rows<Row>();
    const ConvTables& tables;
    const Window window;
    const Index inputs, outputs;
    const Row *grad, *x;
    T* out;
    const Terms<T> terms;
    const std::vector<Index> parts;
    Layout layout{};
    Index grad_plane = 0;
    std::vector<std::int32_t> offsets;
};

}  // namespace

template <class Row>
void conv_value_gradient(const ConvTables& tables, const Window& window, Index batch, const Row* grad, const Row* x,
                         Row* grad_values) {
    using T = SumOf<Row>;
    const Index count = tables.n_values();
    const Scratch<T> room(std::is_same_v<T, Row> ? 0 : count);
    T* sums = room.data();
    if constexpr (std::is_same_v<T, Row>) sums = grad_values;
    std::fill(sums, sums + count, T{0});
    ValueGradient<Row> gradient(tables, window, grad, x, sums);
    std::vector<Tile> sorted[2];
    for (const Tile& tile : tiles_of(batch, conv_kernels().of<T>().lanes, window.columns))
        sorted[tile.by_images].push_back(tile);
    gradient.add(sorted[true]);
    gradient.add(sorted[false]);
    if constexpr (!std::is_same_v<T, Row>) conv_kernels().rows<Row>().narrow(sums, count, grad_values);
}

template <class Row>
void conv_bias_gradient(Index batch, Index channels, Index positions, const Row* grad, Row* grad_bias) {
    const auto total = conv_kernels().rows<Row>().total;
    in_parallel(channels, 1, [&](Index begin, Index end) {
        for (Index channel = begin; channel < end; ++channel) {
            SumOf<Row> all = 0;
            for (Index b = 0; b < batch; ++b) all += total(grad + (b * channels + channel) * positions, positions);
            set(grad_bias + channel, all);
        }
    });
}

#define PRUNE_ADAPTERS_INSTANCES(T)                                                                                \
    template void conv_value_gradient<T>(const ConvTables&, const Window&, Index, const T*, const T*, T*);         \
    template void conv_bias_gradient<T>(Index, Index, Index, const T*, T*);
PRUNE_ADAPTERS_INSTANCES(float)
PRUNE_ADAPTERS_INSTANCES(double)
PRUNE_ADAPTERS_INSTANCES(Bfloat16)

}  // namespace prune_adapters
