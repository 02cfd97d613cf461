#include "unit_hops.hpp"

#include <algorithm>

#include "kernels.hpp"

namespace netgraph {

constexpr Index together = 64 * spread_words;

UnitHops::UnitHops(const Plan& plan, const Word* bits, bool undirected)
    : plan_(plan),
      to_fixed_point_(undirected || plan.cyclic),
      seen_(plan.n_units * spread_words),
      front_(plan.n_units * spread_words),
      next_(plan.n_units * spread_words),
      active_(plan.layers.size()),
      coming_(plan.layers.size()),
      touched_(plan.layers.size()) {
    for (const Weighted& c : plan.weighted) add_edges(c, bits);
    for (const Layer& layer : plan.layers)
        for (Index number : layer.wiring) add_wires(plan.wiring[number], false);
    if (!undirected) return;
    const std::size_t forward = edges_.size();
    edges_.reserve(2 * forward);
    for (std::size_t i = 0; i < forward; ++i) add_reverse(edges_[i]);
    for (const Wire& wire : plan.wiring) add_wires(wire, true);
}

// The kept taps of a pair of units are one edge.
void UnitHops::add_edges(const Weighted& c, const Word* bits) {
    Edges made{c.source_layer, c.target_layer, c.target_unit, {0}, {}};
    const Index row_bits = c.narrow() ? c.width() : c.row_words() * 64;
    for (Index r = 0; r < c.rows; ++r) {
        const Index first_source = c.source_unit + c.group_of(r) * c.columns;
        Index last = -1;
        for (Index at = 0; at < c.width(); at += 64) {
            const Index here = std::min<Index>(64, c.width() - at);
            for (Word word = read_bits(bits + c.first_word, r * row_bits + at, here); word; word &= word - 1) {
                const Index column = (at + __builtin_ctzll(word)) / c.taps;
                if (column != last) made.sources.push_back(static_cast<std::int32_t>(first_source + column));
                last = column;
            }
        }
        made.offsets.push_back(static_cast<Index>(made.sources.size()));
    }
    if (!made.sources.empty()) edges_.push_back(std::move(made));
}

void UnitHops::add_reverse(const Edges& edges) {
    const Layer& layer = plan_.layers[edges.source_layer];
    Edges made{edges.target_layer, edges.source_layer, layer.first_unit, {}, {}};
    made.offsets.assign(layer.units + 2, 0);  // one place more, into which the filling below counts
    for (std::int32_t source : edges.sources) ++made.offsets[source - layer.first_unit + 2];
    for (Index i = 2; i < layer.units + 2; ++i) made.offsets[i] += made.offsets[i - 1];
    made.sources.resize(edges.sources.size());
    for (std::size_t r = 0; r + 1 < edges.offsets.size(); ++r)
        for (Index e = edges.offsets[r]; e < edges.offsets[r + 1]; ++e)
            made.sources[made.offsets[edges.sources[e] - layer.first_unit + 1]++] =
                static_cast<std::int32_t>(edges.first_target + static_cast<Index>(r));
    made.offsets.pop_back();
    edges_.push_back(std::move(made));
}

void UnitHops::add_wires(const Wire& c, bool backwards) {
    if (backwards)
        wires_.push_back({c.target_layer, c.source_layer, c.target_unit, c.source_unit, c.groups, c.fan_out, c.fan_in,
                          c.first_pair, c.n_pairs, true});
    else
        wires_.push_back({c.source_layer, c.target_layer, c.source_unit, c.target_unit, c.groups, c.fan_in, c.fan_out,
                          c.first_pair, c.n_pairs, false});
}

Index UnitHops::layer_of(Index unit) const {
    const auto after = std::upper_bound(plan_.layers.begin(), plan_.layers.end(), unit,
                                        [](Index u, const Layer& layer) { return u < layer.first_unit; });
    return after - plan_.layers.begin() - 1;
}

void UnitHops::count(const Index* sources, Index n_sources, const std::uint8_t* wanted, Index* counts) {
    for (Index first = 0; first < n_sources;) {
        const Index layer = layer_of(sources[first]);
        Index last = first + 1;
        while (last < n_sources && last < first + together && layer_of(sources[last]) == layer) ++last;
        for (Index i = first; i < last; ++i) counts[0] -= wanted[sources[i]];
        search(sources + first, last - first, wanted, [counts](Index hops, Index came) { counts[hops] += came; });
        first = last;
    }
}

void UnitHops::count_each(const Index* sources, Index n_sources, const std::uint8_t* wanted, Index* hops,
                          Index* pairs) {
    for (Index first = 0; first < n_sources; first += together) {
        const Index now = std::min(together, n_sources - first);
        for (Index i = first; i < first + now; ++i) pairs[i] -= wanted[sources[i]];
        search(sources + first, now, wanted, [&](Index far, Index came) {
            if (!came) return;
            Index each[together] = {};
            tally(wanted, each);
            for (Index i = 0; i < now; ++i) {
                pairs[first + i] += each[i];
                hops[first + i] += far * each[i];
            }
        });
    }
}

// A search leaves nothing in `next`, and `front` is read only where this search has written it.
void UnitHops::clear() {
    for (std::size_t i = 0; i < touched_.size(); ++i) {
        if (!touched_[i]) continue;
        const Layer& layer = plan_.layers[i];
        std::fill_n(row(seen_, layer.first_unit), layer.units * spread_words, 0);
        touched_[i] = active_[i] = coming_[i] = 0;
    }
}

void UnitHops::touch(Index layer) { touched_[layer] = coming_[layer] = 1; }

// Calls reached(hops, how many bits came to wanted units) for 0, 1, 2 ... hops, while the front holds what came.
template <class Reached>
void UnitHops::search(const Index* sources, Index n_sources, const std::uint8_t* wanted, Reached reached) {
    clear();
    for (Index w = 0; w < spread_words; ++w) full_[w] = low_bits(std::clamp<Index>(n_sources - 64 * w, 0, 64));
    for (Index i = 0; i < n_sources; ++i) {
        set_bit(row(next_, sources[i]), i);
        touch(layer_of(sources[i]));
    }
    follow_wiring();
    reached(0, settle(wanted));
    for (Index hops = 1; step(); ++hops) {
        follow_wiring();
        reached(hops, settle(wanted));
    }
}

// Across the weighted edges, from `front` to `next`; false if nothing new is reached.
bool UnitHops::step() {
    bool any = false;
    for (const Edges& e : edges_) {
        if (!active_[e.source_layer]) continue;
        const Index rows = static_cast<Index>(e.offsets.size()) - 1;
        if (!kernels().hops.pull(e.offsets.data(), e.sources.data(), rows, front_.words(), row(seen_, e.first_target),
                                 full_, row(next_, e.first_target)))
            continue;
        touch(e.target_layer);
        any = true;
    }
    return any;
}

// Forward wiring is in the order of its targets, so that one pass goes to the end of every chain.
void UnitHops::follow_wiring() {
    bool changed = true;
    while (changed) {
        changed = false;
        for (const Wires& wires : wires_)
            if (coming_[wires.source_layer]) changed |= follow(wires);
        if (!to_fixed_point_) return;
    }
}

// From one row, or from as many as there are units, to `next`.
bool UnitHops::bring(const Word* bits, Index stride, Index unit, Index units) {
    return kernels().hops.bring(bits, stride, units, row(seen_, unit), row(next_, unit));
}

bool UnitHops::follow(const Wires& c) {
    bool changed = false;
    if (c.first_pair >= 0) {
        const std::vector<std::int32_t>&from = c.backwards ? plan_.pair_target : plan_.pair_source,
                               &to = c.backwards ? plan_.pair_source : plan_.pair_target;
        for (Index i = c.first_pair; i < c.first_pair + c.n_pairs; ++i)
            changed |= bring(row(next_, c.source + from[i]), 0, c.target + to[i], 1);
    } else if (c.fan_in == 1 && c.fan_out == 1) {
        changed = bring(row(next_, c.source), spread_words, c.target, c.groups);
    } else {
        for (Index g = 0; g < c.groups; ++g) {
            Word joined[spread_words] = {};
            kernels().hops.join(row(next_, c.source + g * c.fan_in), c.fan_in, joined);
            changed |= bring(joined, 0, c.target + g * c.fan_out, c.fan_out);
        }
    }
    if (changed) touch(c.target_layer);
    return changed;
}

// What has come becomes the front; returns how many bits of it are at wanted units.
Index UnitHops::settle(const std::uint8_t* wanted) {
    Index count = 0;
    for (std::size_t i = 0; i < active_.size(); ++i) {
        const Layer& layer = plan_.layers[i];
        active_[i] = coming_[i];
        coming_[i] = 0;
        if (!active_[i]) continue;
        count += kernels().hops.settle(wanted + layer.first_unit, layer.units, row(next_, layer.first_unit),
                                       row(seen_, layer.first_unit), row(front_, layer.first_unit));
    }
    return count;
}

// each[i] += how many wanted units source i has just come to. A byte a source counts up to 255 rows.
void UnitHops::tally(const std::uint8_t* wanted, Index* each) const {
    std::uint8_t bytes[together], sums[together] = {};
    int rows = 0;
    const auto flush = [&] {
        for (Index i = 0; i < together; ++i) each[i] += sums[i];
        std::fill_n(sums, together, 0);
        rows = 0;
    };
    for (std::size_t i = 0; i < active_.size(); ++i) {
        if (!active_[i]) continue;
        const Index first = plan_.layers[i].first_unit;
        for (Index unit = first; unit < first + plan_.layers[i].units; ++unit) {
            const Word* bits = row(front_, unit);
            if (!wanted[unit] || std::all_of(bits, bits + spread_words, [](Word word) { return word == 0; })) continue;
            kernels().bits_to_bytes(bits, together, bytes);
            for (Index j = 0; j < together; ++j) sums[j] = static_cast<std::uint8_t>(sums[j] + bytes[j]);
            if (++rows == 255) flush();
        }
    }
    flush();
}

}  // namespace netgraph
