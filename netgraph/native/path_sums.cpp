#include "path_sums.hpp"

#include <algorithm>
#include <cmath>

#include "sweep.hpp"

namespace netgraph {
namespace {

constexpr Index lowest = -2000;  // a difference of exponents below this is as good as this

double power_of_two(Index exponent) {
    return std::ldexp(1.0, static_cast<int>(std::clamp(exponent, lowest, Index{1023})));
}

bool any(const double* values, Index count) {
    return std::any_of(values, values + count, [](double value) { return value != 0; });
}

Rows rows_of(const Weighted& c, const Word* bits) { return {c.rows, c.columns, c.taps, c.groups, bits + c.first_word}; }

// Write the sum of each block of `in` values `out` times.
void sum_blocks(const double* from, Index groups, Index in, double* to, Index out) {
    if (in == 1 && out == 1) return void(std::copy(from, from + groups, to));
    for (Index g = 0; g < groups; ++g) {
        double sum = 0;
        for (Index i = 0; i < in; ++i) sum += *from++;
        to = std::fill_n(to, out, sum);
    }
}

}  // namespace

PathSums::PathSums(const Plan& plan, const Word* bits, const std::vector<Factors>& factors, const std::uint8_t* gate,
                   const std::uint8_t* shift)
    : plan_(plan), gate_(gate), factors_(factors), weighted_from_(plan.layers.size()), wiring_from_(plan.layers.size()) {
    edges_.reserve(plan.weighted.size());
    for (std::size_t i = 0; i < plan.weighted.size(); ++i) {
        edges_.emplace_back(rows_of(plan.weighted[i], bits), factors[i]);
        weighted_from_[plan.weighted[i].source_layer].push_back(static_cast<Index>(i));
    }
    for (std::size_t i = 0; i < plan.wiring.size(); ++i)
        wiring_from_[plan.wiring[i].source_layer].push_back(static_cast<Index>(i));
    if (plan.factor_words) {
        std::vector<Index> consistent(plan.weighted.size());
        Sweep sweep(plan, const_cast<Word*>(bits), std::vector<Values>(plan.weighted.size()), gate, shift);
        sweep.run(consistent.data());
        factor_flags_ = sweep.factors();
    }
}

Index PathSums::run(UnitSums forward_sums, UnitSums backward_sums) {
    const auto mark = [this](const std::vector<Word>& units, double* values) {
        for (const Layer& layer : plan_.layers)
            for (Index u = 0; u < layer.units; ++u)
                values[layer.first_unit + u] = get_bit(units.data(), 64 * layer.first_word + u);
    };
    mark(plan_.inputs, forward_sums.values);
    mark(plan_.outputs, backward_sums.values);
    for (auto layer = plan_.layers.begin(); layer != plan_.layers.end() && broken_ < 0; ++layer)
        forward(*layer, forward_sums);
    for (auto layer = plan_.layers.rbegin(); layer != plan_.layers.rend() && broken_ < 0; ++layer)
        backward(*layer, backward_sums);
    return broken_;
}

void PathSums::Total::start(const double* own, Index units) {
    values.assign(own, own + units);
    exponent = 0;
    any = netgraph::any(own, units);
}

void PathSums::Total::add(const double* term, Index from, Index count, Index own_exponent) {
    if (!netgraph::any(term, count)) return;
    if (!any || own_exponent > exponent) {
        if (any && own_exponent > exponent) {
            const double factor = power_of_two(exponent - own_exponent);
            for (double& value : values) value *= factor;
        }
        exponent = own_exponent;
        any = true;
    }
    const double factor = power_of_two(own_exponent - exponent);
    for (Index i = 0; i < count; ++i) values[from + i] += factor * term[i];
}

void PathSums::Total::finish(double* own, Index* exponents, Index units) const {
    int shift = 0;
    const double largest = units ? *std::max_element(values.begin(), values.end()) : 0.0;
    std::frexp(largest, &shift);
    const bool plain = shift > -1000 && shift < 1000;  // a product is faster than ldexp, but its factor must be a number
    const double factor = plain ? std::ldexp(1.0, -shift) : 0;
    for (Index u = 0; u < units; ++u) own[u] = plain ? factor * values[u] : std::ldexp(values[u], -shift);
    std::fill(exponents, exponents + units, exponent + shift);
}

// Write to open_ the values of the units of a layer that the wiring, or any weighted connection, passes a change on to.
void PathSums::close(const Layer& layer, const Wire* wire, const double* values) {
    open_.resize(layer.units);
    for (Index u = 0; u < layer.units; ++u) open_[u] = gate_[layer.first_unit + u] ? values[u] : 0.0;
    if (!wire || !layer.product) return;
    const Index words = words_for(layer.units);
    for (std::size_t f = 0; f < layer.factors.size(); ++f) {
        if (layer.factors[f] == wire->factor) continue;
        const Word* flags = factor_flags_.data() + layer.first_factor + static_cast<Index>(f) * words;
        for (Index u = 0; u < layer.units; ++u)
            if (!get_bit(flags, u)) open_[u] = 0;
    }
}

bool PathSums::finite(Index number, const std::vector<double>& values) {
    if (!factors_[number].data || std::all_of(values.begin(), values.end(), [](double x) { return std::isfinite(x); }))
        return true;
    broken_ = number;
    return false;
}

void PathSums::forward(const Layer& layer, UnitSums sums) {
    double* own = sums.values + layer.first_unit;
    total_.start(own, layer.units);
    for (Index number : layer.weighted) {
        const Weighted& c = plan_.weighted[number];
        const double* sources = sums.values + c.source_unit;
        if (!any(sources, c.groups * c.columns)) continue;
        term_.resize(c.rows);
        edges_[number].along(sources, term_.data());
        if (!finite(number, term_)) return;
        for (Index r = 0; r < c.rows; ++r)
            if (!gate_[c.target_unit + r]) term_[r] = 0;
        total_.add(term_.data(), c.target_unit - layer.first_unit, c.rows, sums.exponents[c.source_unit]);
    }
    for (Index number : layer.wiring) {
        const Wire& c = plan_.wiring[number];
        const Layer& from = plan_.layers[c.source_layer];
        if (!any(sums.values + from.first_unit, from.units)) continue;
        term_.assign(layer.units, 0.0);
        along(c, sums.values + c.source_unit, term_.data() + c.target_unit - layer.first_unit);
        close(layer, &c, term_.data());
        total_.add(open_.data(), 0, layer.units, sums.exponents[from.first_unit]);
    }
    total_.finish(own, sums.exponents + layer.first_unit, layer.units);
}

void PathSums::backward(const Layer& layer, UnitSums sums) {
    double* own = sums.values + layer.first_unit;
    const Index number_here = &layer - plan_.layers.data();
    total_.start(own, layer.units);
    for (Index number : weighted_from_[number_here]) {
        const Weighted& c = plan_.weighted[number];
        open_.resize(c.rows);
        for (Index r = 0; r < c.rows; ++r) open_[r] = gate_[c.target_unit + r] ? sums.values[c.target_unit + r] : 0.0;
        if (!any(open_.data(), c.rows)) continue;
        term_.assign(c.groups * c.columns, 0.0);
        edges_[number].against(open_.data(), term_.data());
        if (!finite(number, term_)) return;
        total_.add(term_.data(), c.source_unit - layer.first_unit, c.groups * c.columns, sums.exponents[c.target_unit]);
    }
    for (Index number : wiring_from_[number_here]) {
        const Wire& c = plan_.wiring[number];
        const Layer& to = plan_.layers[c.target_layer];
        close(to, &c, sums.values + to.first_unit);
        if (!any(open_.data(), to.units)) continue;
        term_.assign(layer.units, 0.0);
        against(c, open_.data() + c.target_unit - to.first_unit, term_.data() + c.source_unit - layer.first_unit);
        total_.add(term_.data(), 0, layer.units, sums.exponents[to.first_unit]);
    }
    total_.finish(own, sums.exponents + layer.first_unit, layer.units);
}

void PathSums::along(const Wire& c, const double* sources, double* targets) const {
    if (!c.has_pairs()) return sum_blocks(sources, c.groups, c.fan_in, targets, c.fan_out);
    for (Index i = c.first_pair; i < c.first_pair + c.n_pairs; ++i)
        targets[plan_.pair_target[i]] += sources[plan_.pair_source[i]];
}

void PathSums::against(const Wire& c, const double* targets, double* sources) const {
    if (!c.has_pairs()) return sum_blocks(targets, c.groups, c.fan_out, sources, c.fan_in);
    for (Index i = c.first_pair; i < c.first_pair + c.n_pairs; ++i)
        sources[plan_.pair_source[i]] += targets[plan_.pair_target[i]];
}

void connection_shares(const Weighted& c, const Word* bits, const Factors& factors, const std::uint8_t* gate,
                       ReadSums forward, ReadSums backward, double total, Index total_exponent, bool fresh,
                       void* out) {
    if (!c.rows || !c.columns) return;
    const Index exponent = forward.exponents[c.source_unit] + backward.exponents[c.target_unit] - total_exponent;
    const int shift = static_cast<int>(std::clamp(exponent, lowest, -lowest / 2));
    std::vector<double> far(c.rows);
    for (Index r = 0; r < c.rows; ++r)
        if (total != 0 && gate[c.target_unit + r]) far[r] = std::ldexp(backward.values[c.target_unit + r] / total, shift);
    weight_shares(rows_of(c, bits), factors, forward.values + c.source_unit, far.data(), fresh, out);
}

}  // namespace netgraph
