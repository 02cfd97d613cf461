#include "counters.hpp"

#include <utility>

namespace netgraph {
namespace {

// How far ahead of its use the memory of an element is asked for.
constexpr Index ahead = 12;

void fetch(const void* at) { __builtin_prefetch(at, 1); }

}  // namespace

Counters::Counters(const Plan& plan, Word* bits, const std::uint8_t* gate, const std::uint8_t* live,
                   const std::uint8_t* co)
    : plan_(plan),
      bits_(bits),
      units_(plan.n_units),
      weighted_out_(plan.layers.size()),
      wiring_out_(plan.layers.size()),
      targets_(plan.wiring.size()),
      sources_(plan.wiring.size()),
      transposed_(plan.weighted.size()) {
    for (std::size_t i = 0; i < plan.weighted.size(); ++i) weighted_out_[plan.weighted[i].source_layer].push_back(i);
    for (std::size_t i = 0; i < plan.wiring.size(); ++i) {
        wiring_out_[plan.wiring[i].source_layer].push_back(i);
        if (!plan.wiring[i].has_pairs()) continue;
        targets_[i] = adjacency(plan.wiring[i], true);
        sources_[i] = adjacency(plan.wiring[i], false);
    }
    set_up_units(gate, live, co);
    count_edges();
}

void Counters::set_up_units(const std::uint8_t* gate, const std::uint8_t* live, const std::uint8_t* co) {
    for (std::size_t l = 0; l < plan_.layers.size(); ++l) {
        const Layer& layer = plan_.layers[l];
        for (Index i = 0; i < layer.units; ++i) {
            const Index id = layer.first_unit + i;
            Unit& unit = units_[id];
            unit.layer = static_cast<std::int32_t>(l);
            unit.open = gate[id], unit.live = live[id], unit.co = co[id];
            unit.input = get_bit(plan_.inputs.data(), layer.first_word * 64 + i);
            unit.output = get_bit(plan_.outputs.data(), layer.first_word * 64 + i);
        }
    }
}

Counters::Adjacency Counters::adjacency(const Wire& c, bool forward) const {
    const auto& from = forward ? plan_.pair_source : plan_.pair_target;
    const auto& to = forward ? plan_.pair_target : plan_.pair_source;
    const Index first_to = forward ? c.target_unit : c.source_unit;
    Adjacency list;
    list.first.assign(plan_.layers[forward ? c.source_layer : c.target_layer].units + 1, 0);
    list.units.resize(c.n_pairs);
    for (Index i = c.first_pair; i < c.first_pair + c.n_pairs; ++i) ++list.first[from[i] + 1];
    for (std::size_t u = 1; u < list.first.size(); ++u) list.first[u] += list.first[u - 1];
    std::vector<Index> next(list.first.begin(), list.first.end() - 1);
    for (Index i = c.first_pair; i < c.first_pair + c.n_pairs; ++i) list.units[next[from[i]]++] = first_to + to[i];
    return list;
}

void Counters::count_edges() {
    for (Index target = 0; target < plan_.n_units; ++target) {
        Unit& to = units_[target];
        for_sources(target, [&](Index source, bool fixed) {
            Unit& from = units_[source];
            (fixed ? to.fixed_in : to.elements_in) += from.live;
            (fixed ? from.fixed_out : from.elements_out) += to.passes();
        });
        if (to.passes()) consistent_ += to.elements_in;
    }
}

Counters::Place Counters::place_of(const Weighted& c, Index element) const {
    const Index width = c.width(), row = element / width, in_row = element % width;
    const Index bit = c.first_word * 64 + (c.narrow() ? element : row * c.row_words() * 64 + in_row);
    const Index column = c.group_of(row) * c.columns + (c.taps == 1 ? in_row : in_row / c.taps);
    return {bit, row, in_row, c.source_unit + column, c.target_unit + row};
}

void Counters::change(Index connection, const Index* elements, Index count, bool keep) {
    const Weighted& c = plan_.weighted[connection];
    Place places[ahead];
    for (Index i = 0; i < count + ahead; ++i) {
        Place& place = places[i % ahead];
        if (i >= ahead && get_bit(bits_, place.bit) != keep) flip(connection, place);
        if (i >= count) continue;
        place = place_of(c, elements[i]);
        fetch(bits_ + place.bit / 64);
        fetch(&units_[place.source]);
        fetch(&units_[place.target]);
    }
}

void Counters::flip(Index connection, const Place& place) {
    const Weighted& c = plan_.weighted[connection];
    bits_[place.bit / 64] ^= Word{1} << (place.bit % 64);
    if (!transposed_[connection].empty()) {
        const Index column = c.group_of(place.row) * c.width() + place.in_row;
        const Index bit = column * words_for(c.group_rows) * 64 + place.row - c.group_of(place.row) * c.group_rows;
        transposed_[connection][bit / 64] ^= Word{1} << (bit % 64);
    }
    const int step = get_bit(bits_, place.bit) ? 1 : -1;
    const bool live = units_[place.source].live, passes = units_[place.target].passes();
    if (live && passes) consistent_ += step;
    if (live) add(place.target, &Unit::elements_in, step);
    if (passes) add(place.source, &Unit::elements_out, step);
    settle();
}

void Counters::add(Index unit, Count count, int step) {
    units_[unit].*count += step;
    if (!units_[unit].settled()) unsettled_.push_back(unit);
}

void Counters::settle() {
    while (!unsettled_.empty()) {
        const Index unit = unsettled_.back();
        unsettled_.pop_back();
        const Unit& state = units_[unit];
        if (state.live != state.fed()) set_live(unit, state.fed());
        if (state.co != state.leads()) set_co(unit, state.leads());
    }
}

void Counters::set_live(Index unit, bool live) {
    const int step = live ? 1 : -1;
    units_[unit].live = live;
    consistent_ += step * units_[unit].elements_out;
    for_targets(unit, [this, step](Index target, bool fixed) {
        add(target, fixed ? &Unit::fixed_in : &Unit::elements_in, step);
    });
}

void Counters::set_co(Index unit, bool co) {
    const int step = co ? 1 : -1;
    units_[unit].co = co;
    if (!units_[unit].open) return;
    consistent_ += step * units_[unit].elements_in;
    for_sources(unit, [this, step](Index source, bool fixed) {
        add(source, fixed ? &Unit::fixed_out : &Unit::elements_out, step);
    });
}

// Call f(position in the row) for each kept element of a row.
template <class F>
void Counters::for_row(const Weighted& c, Index row, F f) const {
    const Word* words = bits_ + c.first_word;
    if (!c.narrow()) return for_bits(words + row * c.row_words(), c.row_words(), f);
    const Word value = read_bits(words, row * c.width(), c.width());
    for_bits(&value, 1, f);
}

template <class F>
void Counters::for_sources(Index unit, F f) const {
    const Layer& layer = plan_.layers[units_[unit].layer];
    for (Index number : layer.weighted) {
        const Weighted& c = plan_.weighted[number];
        const Index row = unit - c.target_unit;
        if (row < 0 || row >= c.rows) continue;
        const Index first = c.source_unit + c.group_of(row) * c.columns;
        for_row(c, row, [&](Index at) { f(first + (c.taps == 1 ? at : at / c.taps), false); });
    }
    for (Index number : layer.wiring) {
        const Wire& c = plan_.wiring[number];
        const Index local = unit - c.target_unit;
        if (c.has_pairs()) {
            const Adjacency& list = sources_[number];
            for (Index i = list.first[local]; i < list.first[local + 1]; ++i) f(list.units[i], true);
        } else if (local >= 0 && local < c.groups * c.fan_out) {
            const Index first = c.source_unit + local / c.fan_out * c.fan_in;
            for (Index i = 0; i < c.fan_in; ++i) f(first + i, true);
        }
    }
}

template <class F>
void Counters::for_targets(Index unit, F f) {
    const Index layer = units_[unit].layer;
    for (Index number : weighted_out_[layer]) {
        const Weighted& c = plan_.weighted[number];
        const Index column = unit - c.source_unit;
        if (column < 0 || column >= c.groups * c.columns) continue;
        const Index words = words_for(c.group_rows), first = c.target_unit + column / c.columns * c.group_rows;
        const Word* rows = transposed(number) + column * c.taps * words;
        for (Index tap = 0; tap < c.taps; ++tap, rows += words)
            for_bits(rows, words, [&](Index row) { f(first + row, false); });
    }
    for (Index number : wiring_out_[layer]) {
        const Wire& c = plan_.wiring[number];
        const Index local = unit - c.source_unit;
        if (c.has_pairs()) {
            const Adjacency& list = targets_[number];
            for (Index i = list.first[local]; i < list.first[local + 1]; ++i) f(list.units[i], true);
        } else if (local >= 0 && local < c.groups * c.fan_in) {
            const Index first = c.target_unit + local / c.fan_in * c.fan_out;
            for (Index i = 0; i < c.fan_out; ++i) f(first + i, true);
        }
    }
}

// One row of bits for each column and tap, group by group: which rows of the group keep that element.
const Word* Counters::transposed(Index connection) {
    std::vector<Word>& columns = transposed_[connection];
    if (!columns.empty()) return columns.data();
    const Weighted& c = plan_.weighted[connection];
    const Index words = words_for(c.group_rows);
    columns.assign(c.groups * c.width() * words, 0);
    for (Index row = 0; row < c.rows; ++row) {
        Word* group = columns.data() + c.group_of(row) * c.width() * words;
        for_row(c, row, [&](Index at) { set_bit(group + at * words, row - c.group_of(row) * c.group_rows); });
    }
    return columns.data();
}

void Counters::write(std::uint8_t* live, std::uint8_t* co) const {
    for (const Unit& unit : units_) *live++ = unit.live, *co++ = unit.co;
}

}  // namespace netgraph
