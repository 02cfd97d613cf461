#include "cayley.hpp"

#include <algorithm>
#include <stdexcept>

namespace netgraph {

Cayley::Cayley(const Cell* cells, Index n_cells)
    : cells_(cells, cells + n_cells),
      s_(n_cells < header ? 0 : cells_[0]),
      t_(n_cells < header ? 0 : cells_[1]),
      degree_(n_cells - header),
      words_(words_for(s_)),
      scratch_(s_ < 1 || t_ < 1 || s_ > most_nodes / t_ ? 0 : 2 * t_ * words_) {
    if (s_ < 1 || t_ < 1 || s_ > most_nodes / t_) throw std::invalid_argument("cells: expected 1 to 65536 nodes");
    for (Index b = 0, power = 1 % s_; b <= t_; ++b, power = power * (cells_[2] % s_) % s_) powers_.push_back(power);
    if (powers_[t_] != 1 % s_) throw std::invalid_argument("cells: expected r^t = 1 modulo s");
    turns_.resize(degree_ * t_);
    for (Index j = 0; j < degree_; ++j) {
        const Index element = cells_[header + j], partner = j + 1 == degree_ && j % 2 == 0 ? j : j ^ 1;
        if (element < 1 || element >= s_ * t_ || inverse(element) != cells_[header + partner])
            throw std::invalid_argument("cells: expected generators, each with its inverse");
        put(j, element);
    }
}

Index Cayley::inverse(Index element) const {
    const Index b = (t_ - element % t_) % t_;
    return (s_ - element / t_ * powers_[b] % s_) % s_ * t_ + b;
}

bool Cayley::has(Index element) const { return std::find(cells_.begin() + header, cells_.end(), element) != cells_.end(); }

void Cayley::put(Index place, Index element) {
    cells_[header + place] = static_cast<Cell>(element);
    for (Index b = 0; b < t_; ++b) turns_[place * t_ + b] = powers_[b] * (element / t_) % s_;
}

bool Cayley::propose(Random& random, int tries) {
    for (; tries > 0 && degree_ > 0; --tries) {
        Index place = random.below(degree_);
        const bool alone = place + 1 == degree_ && degree_ % 2;
        if (!alone) place &= ~Index{1};
        const Index element = random.below(s_ * t_), other = inverse(element);
        if (element == 0 || (element == other) != alone || has(element)) continue;
        place_ = place;
        for (Index i = 0; i <= !alone; ++i) before_[i] = cells_[header + place + i];
        put(place, element);
        if (!alone) put(place + 1, other);
        return true;
    }
    return false;
}

void Cayley::take_back(std::vector<Cell>& copy) const {
    const bool alone = place_ + 1 == degree_;
    std::copy_n(before_, alone ? 1 : 2, copy.begin() + header + place_);
}

void Cayley::take_back() {
    const bool alone = place_ + 1 == degree_;
    put(place_, before_[0]);
    if (!alone) put(place_ + 1, before_[1]);
}

// to |= from, turned round by so many of its s bits.
inline void Cayley::turn_row(const Word* from, Word* to, Index by) const {
    if (words_ == 1) {
        to[0] |= by ? from[0] << by | from[0] >> (s_ - by) : from[0];
    } else {
        or_bits(to, by, from, 0, s_ - by);
        or_bits(to, 0, from, s_ - by, by);
    }
    to[words_ - 1] &= low_bits(s_ - 64 * (words_ - 1));
}

// One step of the search: row b holds the elements (a, b) that are reached. Returns how many these are.
Index Cayley::spread(const Word* from, Word* to) const {
    std::copy_n(from, t_ * words_, to);
    for (Index j = 0; j < degree_; ++j) {
        const Index* turns = turns_.data() + j * t_;
        Index into = cells_[header + j] % t_;
        for (Index b = 0; b < t_; ++b, into = into + 1 == t_ ? 0 : into + 1)
            turn_row(from + b * words_, to + into * words_, turns[b]);
    }
    Index reached = 0;
    for (Index w = 0; w < t_ * words_; ++w) reached += __builtin_popcountll(to[w]);
    return reached;
}

Index Cayley::energy(Index limit) {
    const Index nodes = s_ * t_;
    Word *from = scratch_.words(), *to = from + t_ * words_;
    std::fill_n(from, t_ * words_, 0);
    from[0] = 1;
    Index sum = 0;
    for (Index reached = 1; reached < nodes;) {
        sum += nodes - reached;
        if (sum > limit) return sum;
        const Index now = spread(from, to);
        if (now == reached) return never;
        reached = now;
        std::swap(from, to);
    }
    return sum;
}

}  // namespace netgraph
