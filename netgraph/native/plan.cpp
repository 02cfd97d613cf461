// Builds a plan from the tables that Python passes, which it trusts: the graph has checked them.
#include "plan.hpp"

#include <algorithm>

namespace netgraph {
namespace {

template <class Column>
struct Row {
    const Index* values;
    Index operator[](Column column) const { return values[static_cast<int>(column)]; }
};

}  // namespace

void Plan::add_layers(const Index* sizes, const bool* product, Index count) {
    for (Index i = 0; i < count; ++i) {
        Layer layer{};
        layer.units = sizes[i];
        layer.first_unit = n_units;
        layer.first_word = unit_words;
        layer.product = product[i];
        layers.push_back(layer);
        n_units += sizes[i];
        unit_words += words_for(sizes[i]);
        reserve_scratch(sizes[i]);
    }
    unit_words += 1;  // an unaligned read may end one word later
}

void Plan::reserve_scratch(Index bits) { scratch_words = std::max(scratch_words, words_for(bits) + 2 * padding); }

Span Plan::span_of(Index source, Index target, Index source_start, Index target_start) const {
    const Layer &from = layers[source], &to = layers[target];
    return {source,
            target,
            from.first_word * 64 + source_start,
            to.first_word * 64 + target_start,
            from.first_unit + source_start,
            to.first_unit + target_start};
}

void Plan::add_weighted(const Index* table, Index count) {
    using C = WeightedColumn;
    for (Index i = 0; i < count; ++i) {
        const Row<C> row{table + i * static_cast<int>(C::count)};
        Weighted c{};
        static_cast<Span&>(c) = span_of(row[C::source], row[C::target], row[C::source_start], row[C::target_start]);
        c.rows = row[C::rows], c.columns = row[C::columns], c.taps = row[C::taps], c.groups = row[C::groups];
        c.group_rows = c.rows / c.groups;
        c.first_word = bit_words, c.first_mask = mask_words;
        bit_words += c.narrow() ? words_for(c.rows * c.width()) : c.rows * c.row_words();
        mask_words += c.narrow() ? words_for(c.groups * c.width()) : c.groups * c.group_mask_words();
        reserve_scratch(std::max({c.rows, c.groups * c.width(), c.narrow() ? c.rows * c.width() : Index{0}}));
        layers[row[C::target]].weighted.push_back(i);
        weighted.push_back(c);
    }
    mask_words += padding;
}

void Plan::add_wiring(const Index* table, Index count, const std::int32_t* pairs, Index n_pairs) {
    using C = WireColumn;
    pair_source.assign(pairs, pairs + n_pairs);
    pair_target.assign(pairs + n_pairs, pairs + 2 * n_pairs);
    for (Index i = 0; i < count; ++i) {
        const Row<C> row{table + i * static_cast<int>(C::count)};
        Wire c{};
        static_cast<Span&>(c) = span_of(row[C::source], row[C::target], row[C::source_start], row[C::target_start]);
        c.groups = row[C::groups], c.fan_in = row[C::fan_in], c.fan_out = row[C::fan_out], c.factor = row[C::factor];
        c.first_pair = row[C::pair], c.n_pairs = row[C::pairs];
        Layer& to = layers[row[C::target]];
        to.wiring.push_back(i);
        if (to.product && std::find(to.factors.begin(), to.factors.end(), c.factor) == to.factors.end())
            to.factors.push_back(c.factor);
        wiring.push_back(c);
    }
    for (Layer& layer : layers) {
        layer.first_factor = factor_words;
        factor_words += static_cast<Index>(layer.factors.size()) * words_for(layer.units);
    }
}

void Plan::mark_units(std::vector<Word>& vector, const Index* units, Index count) const {
    vector.assign(unit_words, 0);
    for (Index i = 0; i < count; ++i) {
        const auto after = std::upper_bound(layers.begin(), layers.end(), units[i],
                                            [](Index unit, const Layer& layer) { return unit < layer.first_unit; });
        const Layer& layer = *(after - 1);
        set_bit(vector.data(), layer.first_word * 64 + units[i] - layer.first_unit);
    }
}

}  // namespace netgraph
