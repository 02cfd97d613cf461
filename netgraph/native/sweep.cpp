#include "sweep.hpp"

#include <algorithm>
#include <utility>

#include "wiring.hpp"

namespace netgraph {

std::vector<Word> unit_vector(const Plan& plan, const std::uint8_t* bytes) {
    std::vector<Word> vector(plan.unit_words);
    for (const Layer& layer : plan.layers)
        kernels().bytes_to_bits(bytes + layer.first_unit, layer.units, vector.data() + layer.first_word);
    return vector;
}

void unit_bytes(const Plan& plan, const std::vector<Word>& vector, std::uint8_t* bytes) {
    for (const Layer& layer : plan.layers)
        kernels().bits_to_bytes(vector.data() + layer.first_word, layer.units, bytes + layer.first_unit);
}

Sweep::Sweep(const Plan& plan, Word* bits, std::vector<Values> values, const std::uint8_t* gate,
             const std::uint8_t* shift)
    : plan_(plan),
      bits_(bits),
      values_(std::move(values)),
      live_(plan.unit_words),
      nonzero_(plan.unit_words),
      co_(plan.outputs),
      gate_(unit_vector(plan, gate)),
      shift_(unit_vector(plan, shift)),
      passing_(plan.unit_words),
      reached_live_(plan.unit_words),
      reached_nonzero_(plan.unit_words),
      masks_(plan.mask_words),
      factors_(plan.factor_words),
      wanted_(plan.scratch_words),
      hits_(plan.scratch_words),
      scratch_{std::vector<Word>(plan.scratch_words), std::vector<Word>(plan.scratch_words)} {}

Index Sweep::run(Index* consistent) {
    do forward();
    while (nan_ < 0 && plan_.cyclic && grown());
    if (nan_ >= 0) return nan_;
    do backward(consistent);  // the last round of a cyclic graph, which changes nothing, counts right
    while (plan_.cyclic && grown());
    return -1;
}

bool Sweep::grown() {
    const Index before = flagged_;
    flagged_ = 0;
    for (const Flags* flags : {&live_, &nonzero_, &co_})
        for (Word word : *flags) flagged_ += __builtin_popcountll(word);
    return flagged_ != before;
}

void Sweep::write(std::uint8_t* live, std::uint8_t* nonzero, std::uint8_t* co) const {
    unit_bytes(plan_, live_, live);
    unit_bytes(plan_, nonzero_, nonzero);
    unit_bytes(plan_, co_, co);
}

void Sweep::forward() {
    for (const Layer& layer : plan_.layers) {
        if (layer.product) multiply(layer);
        for (Index number : layer.weighted) {
            enter(number);
            if (nan_ >= 0) return;
        }
        if (!layer.product) add_wiring(layer);
        finish(layer);
    }
}

void Sweep::add_wiring(const Layer& layer) {
    for (Index number : layer.wiring) {
        const Wire& c = plan_.wiring[number];
        Word *first = scratch_[0].data(), *second = scratch_[1].data();
        follow_wire(plan_, c, live_.data(), reached_live_.data(), c.target_bit, first, second);
        follow_wire(plan_, c, nonzero_.data(), reached_nonzero_.data(), c.target_bit, first, second);
    }
}

void Sweep::enter(Index number) {
    const Weighted& c = plan_.weighted[number];
    const ConnectionRows rows(plan_, c, scratch_);
    Word* masks = masks_.data() + c.first_mask;
    Word* bits = bits_ + c.first_word;
    rows.build_masks(live_.data(), masks);
    if (values_[number].data) {
        if (!rows.pack(values_[number], masks, bits, hits_.data())) nan_ = number;
        values_[number].data = nullptr;  // further rounds of a cyclic graph read the bits
    } else {
        copy_bits(wanted_.data(), reached_live_.data(), c.target_bit, c.rows);
        for (Index w = 0; w < words_for(c.rows); ++w) wanted_[w] = ~wanted_[w] & low_bits(c.rows - w * 64);
        rows.hit(bits, masks, wanted_.data(), hits_.data());
    }
    or_bits(reached_live_.data(), c.target_bit, hits_.data(), 0, c.rows);
    enter_nonzero(c, rows);
}

// Rows that are live are nonzero, and those with a shift will be: only the others need a second look, and only if
// some source is a constant.
void Sweep::enter_nonzero(const Weighted& c, const ConnectionRows& rows) {
    if (equal_bits(live_.data(), nonzero_.data(), c.source_bit, c.groups * c.columns)) return;
    copy_bits(wanted_.data(), reached_live_.data(), c.target_bit, c.rows);
    copy_bits(hits_.data(), shift_.data(), c.target_bit, c.rows);
    Word any = 0;
    for (Index w = 0; w < words_for(c.rows); ++w)
        any |= wanted_[w] = ~(wanted_[w] | hits_[w]) & low_bits(c.rows - w * 64);
    if (!any) return;
    other_masks_.resize(plan_.mask_words);
    rows.build_masks(nonzero_.data(), other_masks_.data());
    rows.hit(bits_ + c.first_word, other_masks_.data(), wanted_.data(), hits_.data());
    or_bits(reached_nonzero_.data(), c.target_bit, hits_.data(), 0, c.rows);
}

// Nonzero iff all factors are, live iff any factor is too; a factor without a source is a constant.
void Sweep::multiply(const Layer& layer) {
    const Index words = words_for(layer.units), first = layer.first_word;
    Flags all(words, all_ones), any(words), alive(words + 1);
    if (layer.units % 64) all.back() = low_bits(layer.units % 64);
    const Flags constant = all;
    Word* factor = factors_.data() + layer.first_factor;
    for (Index number : layer.factors) {
        std::copy(constant.begin(), constant.end(), factor);
        std::fill(alive.begin(), alive.end(), Word{0});
        for (Index wire : layer.wiring) {
            const Wire& c = plan_.wiring[wire];
            if (c.factor != number) continue;
            const Index bit = c.target_bit - first * 64;
            clear_fed(plan_, c, factor, bit);
            follow_wire(plan_, c, nonzero_.data(), factor, bit, scratch_[0].data(), scratch_[1].data());
            follow_wire(plan_, c, live_.data(), alive.data(), bit, scratch_[0].data(), scratch_[1].data());
        }
        for (Index w = 0; w < words; ++w) all[w] &= factor[w], any[w] |= alive[w];
        factor += words;
    }
    for (Index w = 0; w < words; ++w) reached_nonzero_[first + w] = all[w], reached_live_[first + w] = all[w] & any[w];
}

void Sweep::finish(const Layer& layer) {
    for (Index w = layer.first_word; w < layer.first_word + words_for(layer.units); ++w) {
        live_[w] = (reached_live_[w] & gate_[w]) | plan_.inputs[w];
        nonzero_[w] = (reached_nonzero_[w] & gate_[w]) | shift_[w] | live_[w];
    }
}

void Sweep::backward(Index* consistent) {
    for (auto layer = plan_.layers.rbegin(); layer != plan_.layers.rend(); ++layer) {
        for (Index w = layer->first_word; w < layer->first_word + words_for(layer->units); ++w)
            passing_[w] = co_[w] & gate_[w];
        for (Index number : layer->weighted) {
            const Weighted& c = plan_.weighted[number];
            copy_bits(wanted_.data(), passing_.data(), c.target_bit, c.rows);
            consistent[number] = ConnectionRows(plan_, c, scratch_)
                                     .join(bits_ + c.first_word, masks_.data() + c.first_mask, wanted_.data(),
                                           co_.data());
        }
        if (layer->product) {
            leave_product(*layer);
            continue;
        }
        for (Index number : layer->wiring)
            trace_wire(plan_, plan_.wiring[number], passing_.data(), co_.data(), scratch_[0].data(),
                       scratch_[1].data());
    }
}

// A factor passes its change on where no other factor is zero.
void Sweep::leave_product(const Layer& layer) {
    const Index words = words_for(layer.units);
    const std::vector<Word> passing(passing_.begin() + layer.first_word, passing_.begin() + layer.first_word + words);
    for (Index number : layer.wiring) {
        const Wire& c = plan_.wiring[number];
        for (Index w = 0; w < words; ++w) {
            Word others = passing[w];
            for (std::size_t f = 0; f < layer.factors.size(); ++f)
                if (layer.factors[f] != c.factor) others &= factors_[layer.first_factor + f * words + w];
            passing_[layer.first_word + w] = others;
        }
        trace_wire(plan_, c, passing_.data(), co_.data(), scratch_[0].data(), scratch_[1].data());
    }
}

void restrict_bits(const Plan& plan, const Word* bits, const std::uint8_t* sources, const std::uint8_t* targets,
                   Word* out) {
    const std::vector<Word> from = unit_vector(plan, sources), to = unit_vector(plan, targets);
    std::vector<Word> masks(plan.mask_words), wanted(plan.scratch_words), scratch[2];
    for (const Weighted& c : plan.weighted) {
        const ConnectionRows rows(plan, c, scratch);
        rows.build_masks(from.data(), masks.data() + c.first_mask);
        copy_bits(wanted.data(), to.data(), c.target_bit, c.rows);
        rows.restrict_to(bits + c.first_word, masks.data() + c.first_mask, wanted.data(), out + c.first_word);
    }
}

}  // namespace netgraph
