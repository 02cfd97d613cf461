// The convolution and the gradient of its input: the same sums, over other tables.
#include "conv.hpp"

#include <algorithm>

#include "conv_tiles.hpp"
#include "parallel.hpp"

namespace prune_adapters {
namespace {

// Where sums go: every row_stride-th row from first_row on, and columns likewise.
template <class Row>
struct Target {
    Row* images;
    Index channels, height, width;
    Index first_row, row_stride, first_column, column_stride;

    bool is_whole() const { return row_stride == 1 && column_stride == 1; }
};

// Items of work are (tile, strip, share of the outputs), the last first: a thread packs each strip that it sees once.
template <class Row>
class Sums {
public:
    using T = SumOf<Row>;

    Sums(const Terms<T>& terms, const Window& window, Index batch, Index channels, const Row* x, const T* bias,
         const Target<Row>& target)
        : kernels(conv_kernels().of<T>()),
          terms(terms),
          window(window),
          channels(channels),
          x(x),
          bias(bias),
          target(target),
          parts(groupings(terms.rows, Index{1} << (kernels.groupings - 1))),
          tiles(tiles_of(batch, kernels.lanes, window.columns)) {
        Index items = 0;
        for (const Tile& tile : tiles) {
            if (!layouts[tile.by_images].lanes) prepare(tile.by_images);
            first_item.push_back(items);
            items += strips(tile);
        }
        shares = std::min(terms.groups, (few_items + items - 1) / std::max<Index>(items, 1));
        for (Index& first : first_item) first *= shares;
        n_items = items * shares;
    }

    void run() const {
        in_parallel(n_items, 1, [this](Index begin, Index end) { work(begin, end); });
    }

private:
    static constexpr Index few_items = 16;

    struct Place {
        Index tile = -1, strip = 0;
    };

    void prepare(bool by_images) {
        layouts[by_images] = layout_of(window, channels, kernels.lanes, by_images, sizeof(T));
        offsets[by_images] = offsets_of(terms, window, layouts[by_images], channels);
    }

    Index strips(const Tile& tile) const {
        const Index rows = layouts[tile.by_images].out_rows;
        return (window.rows.out + rows - 1) / rows;
    }

    void work(Index begin, Index end) const {
        const auto plane = [this](const Layout& l) { return channels * l.plane; };
        const auto outputs = [this](const Layout& l) { return parts[0] * l.out_rows * l.vectors * l.lanes; };
        const Scratch<T> strip(std::max(plane(layouts[0]), plane(layouts[1])));
        const Scratch<T> sums(std::max(outputs(layouts[0]), outputs(layouts[1])));
        Place last;
        for (Index item = begin; item < end; ++item) {
            const auto after = std::upper_bound(first_item.begin(), first_item.end(), item);
            const Place now{after - first_item.begin() - 1, (item - after[-1]) / shares};
            if (now.tile != last.tile || now.strip != last.strip) load(now, last, strip.data());
            last = now;
            const Index share = (item - after[-1]) % shares;
            for (Index g = terms.groups * share / shares; g < terms.groups * (share + 1) / shares; ++g)
                sum_group(now, g, strip.data(), sums.data());
        }
    }

    void load(const Place& now, const Place& last, T* strip) const {
        const Tile& tile = tiles[now.tile];
        const Layout& layout = layouts[tile.by_images];
        if (last.tile < 0 || tiles[last.tile].by_images != tile.by_images)
            clear_margins(window, layout, channels, strip);
        Index known = 0;
        if (now.tile == last.tile && now.strip == last.strip + 1) {
            const Index moved = layout.out_rows * window.rows.stride;
            known = std::max<Index>(layout.in_rows - moved, 0);
            for (Index c = 0; known > 0 && c < channels; ++c) {
                T* plane = strip + c * layout.plane;
                std::copy(plane + moved * layout.strip_row, plane + layout.in_rows * layout.strip_row, plane);
            }
        }
        const Index start = now.strip * layout.out_rows;
        const Images<Row> images{x + tile.first * channels * window.rows.in * window.columns.in, tile.n_images, channels};
        const Index needed = window.rows.reach(std::min(layout.out_rows, window.rows.out - start));
        if (needed > known) load_rows(window, layout, images, start, known, needed, 0, channels, strip);
    }

    bool is_three(const Layout& layout) const {
        return layout.by_images && !terms.by_taps && window.is_plain_three();
    }

    void sum_group(const Place& place, Index g, const T* strip, T* sums) const {
        const Tile& tile = tiles[place.tile];
        const Layout& layout = layouts[tile.by_images];
        const Offsets& own = offsets[tile.by_images];
        const Index start = place.strip * layout.out_rows, rows = std::min(layout.out_rows, window.rows.out - start);
        const Index begin = terms.ptr[g], entries = terms.ptr[g + 1] - begin;
        const Index y_plane = rows * layout.vectors * layout.lanes;
        Index first = 0;
        for (const Index part : parts) {
            const T* weights = terms.weights + (begin * terms.rows + entries * first) * terms.taps;
            const Index channel = g * terms.rows + first;
            const ConvSums<T> job{strip, own.entries.data() + begin, entries, own.taps.data(), terms.taps, weights,
                                  bias ? bias + channel : nullptr, sums, y_plane, rows, layout.vectors,
                                  layout.row_step, layout.vector_step};
            (is_three(layout) ? kernels.sums3 : kernels.sums)[part == 8 ? 3 : part / 2](job);
            for (Index r = 0; r < part; ++r) store(tile, layout, channel + r, start, rows, sums + r * y_plane);
            first += part;
        }
    }

    void store(const Tile& tile, const Layout& layout, Index channel, Index start, Index rows, const T* sums) const {
        const Index plane = target.height * target.width, image = target.channels * plane;
        Row* to = target.images + tile.first * image + channel * plane +
                (target.first_row + start * target.row_stride) * target.width + target.first_column;
        if (layout.by_images && target.is_whole())
            return conv_kernels().rows<Row>().unpack(sums, rows * window.columns.out, to, image, tile.n_images);
        const Index next_row = target.row_stride * target.width, next = target.column_stride;
        for (Index row = 0; row < rows; ++row, to += next_row, sums += layout.vectors * layout.lanes)
            for (Index b = 0; b < tile.n_images; ++b)
                for (Index c = 0; c < window.columns.out; ++c)
                    set(to + b * image + c * next, sums[layout.by_images ? c * layout.lanes + b : c]);
    }

    const ConvKernels<T>& kernels;
    const Terms<T>& terms;
    const Window window;
    const Index channels;
    const Row* x;
    const T* bias;
    const Target<Row> target;
    const std::vector<Index> parts;
    const std::vector<Tile> tiles;
    Layout layouts[2]{};  // by columns, by images
    Offsets offsets[2];
    std::vector<Index> first_item;  // of each tile
    Index shares, n_items;
};

template <class T>
Terms<T> no_terms(Index groups, Index rows) {
    return {groups, rows, 1, std::vector<std::int32_t>(static_cast<std::size_t>(groups + 1)), {}, false, {}, nullptr};
}

template <class T>
Index largest_grouping() {
    return Index{1} << (conv_kernels().of<T>().groupings - 1);
}

}  // namespace

template <class Row>
void conv_forward(const ConvTables& tables, const Window& window, Index batch, const Row* x, const Row* values,
                  const Row* bias, Row* y) {
    const Index outputs = tables.outputs * tables.out_block;
    const Wide<Row> own_values(values, tables.n_values()), own_bias(bias, outputs);
    const Terms<SumOf<Row>> terms = terms_of(tables, own_values.data(), largest_grouping<SumOf<Row>>());
    const Target<Row> target{y, outputs, window.rows.out, window.columns.out, 0, 1, 0, 1};
    Sums<Row>(terms, window, batch, tables.inputs * tables.in_block, x, own_bias.data(), target).run();
}

template <class Row>
void conv_input_gradient(const ConvTables& tables, const Window& window, Index batch, const Row* grad,
                         const Row* values, Row* grad_x) {
    using T = SumOf<Row>;
    const Wide<Row> own_values(values, tables.n_values());
    const Index channels = tables.inputs * tables.in_block, height = window.rows.in, width = window.columns.in;
    const Index row_stride = window.rows.stride, column_stride = window.columns.stride;
    for (const Residue& rows : residues(window.rows))
        for (const Residue& columns : residues(window.columns)) {
            const Target<Row> target{grad_x, channels, height, width, rows.first, row_stride, columns.first,
                                   column_stride};
            Window seen{rows.axis, columns.axis};
            const bool none = seen.taps() == 0;  // positions that no output reads
            if (none) seen.rows.taps = seen.columns.taps = 1;
            const Terms<T> terms = none ? no_terms<T>(tables.inputs, tables.in_block)
                                        : transposed_terms(tables, own_values.data(), largest_grouping<T>(), rows, columns);
            Sums<Row>(terms, seen, batch, tables.outputs * tables.out_block, grad, nullptr, target).run();
        }
}

#define PRUNE_ADAPTERS_INSTANCES(Row)                                                                               \
    template void conv_forward<Row>(const ConvTables&, const Window&, Index, const Row*, const Row*, const Row*,    \
                                    Row*);                                                                          \
    template void conv_input_gradient<Row>(const ConvTables&, const Window&, Index, const Row*, const Row*, Row*);
PRUNE_ADAPTERS_INSTANCES(float)
PRUNE_ADAPTERS_INSTANCES(double)
PRUNE_ADAPTERS_INSTANCES(Bfloat16)

}  // namespace prune_adapters
