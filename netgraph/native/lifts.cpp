#include "lifts.hpp"

#include <stdexcept>

#include "kernels.hpp"

namespace netgraph {

Lifts::Lifts(const Arc* from, Index rows, Index degree, Index group)
    : arcs(from, from + rows * degree),
      reverse(arcs.size()),
      rows(rows),
      degree(degree),
      group(group),
      words(lifted_row_words(rows * group)),
      near(rows * words),
      scratch(2 * rows * words) {
    for (Index row = 0; row < rows; ++row) near.words()[row * words + row * group / 64] |= Word{1} << (row * group % 64);
    for (Index cell = 0; cell < rows * degree; ++cell) {
        const Arc back = arc(row_of(cell), -shift(arcs[cell]));
        Index at = end(arcs[cell]) * degree;
        const Index stop = at + degree;
        while (at < stop && arcs[at] != back) ++at;
        if (at == stop) throw std::invalid_argument("arcs: one has no reverse");
        reverse[cell] = at;
        flip(cell);
    }
}

bool Lifts::has(Index row, Arc wanted) const {
    unsigned found = 0;
    for (Index j = row * degree; j < (row + 1) * degree; ++j) found |= arcs[j] == wanted;
    return found;
}

// Not a loop, not an edge that is its own reverse, not there already.
bool Lifts::allowed(Index row, Arc wanted) const {
    return !(end(wanted) == row && 2 * shift(wanted) % group == 0) && !has(row, wanted);
}

// The bit of the arc in this cell changes.
inline void Lifts::flip(Index cell) {
    const Index bit = end(arcs[cell]) * group + shift(arcs[cell]);
    near.words()[row_of(cell) * words + bit / 64] ^= Word{1} << (bit % 64);
}

inline void Lifts::put(Index cell, Arc there) {
    flip(cell);
    arcs[cell] = there;
    flip(cell);
}

void Lifts::join(Index from, Index to, Arc there) {
    const Arc back = arc(row_of(from), -shift(there));
    changes[n_changes++] = {from, arcs[from], there};
    changes[n_changes++] = {to, arcs[to], back};
    put(from, there);
    put(to, back);
    reverse[from] = to;
    reverse[to] = from;
}

bool Lifts::turn(Index cell, Random& random) {
    const Arc turned = arc(end(arcs[cell]), random.below(group));
    if (!allowed(row_of(cell), turned)) return false;
    n_changes = 0;
    join(cell, reverse[cell], turned);
    return true;
}

// Edges (m, 0) - (q, s) and (k, r) - (p, r + t) become (m, 0) - (p, r + t) and (k, r) - (q, s).
bool Lifts::exchange(Index cell, Index other, Random& random) {
    const Index r = random.below(group), m = row_of(cell), k = row_of(other);
    const Arc here = arcs[cell], there = arcs[other];
    const Arc first = arc(end(there), r + shift(there)), second = arc(end(here), shift(here) - r);
    if (!allowed(m, first) || !allowed(k, second)) return false;
    if (m == k && first == second) return false;
    if (m == end(second) && k == end(first) && (shift(first) + shift(second)) % group == 0) return false;
    const Index of_cell = reverse[cell], of_other = reverse[other];
    n_changes = 0;
    join(cell, of_other, first);
    join(other, of_cell, second);
    return true;
}

bool Lifts::propose(Random& random, int tries) {
    const Index cells = rows * degree;
    for (; tries > 0; --tries) {
        const Index cell = random.below(cells), other = random.below(cells);
        const bool turns = random.below(8) == 0 || cell == other || other == reverse[cell];
        if (turns ? turn(cell, random) : exchange(cell, other, random)) return true;
    }
    return false;
}

Index Lifts::energy(Index limit) {
    return kernels().hops.lifted_sum({arcs.data(), rows, degree, group, near.words()}, limit, scratch.words()).sum;
}

void Lifts::take_back(std::vector<Arc>& copy) const {
    for (Index i = 0; i < n_changes; ++i) copy[changes[i].cell] = changes[i].before;
}

void Lifts::take_back() {
    for (Index i = 0; i < n_changes; ++i) put(changes[i].cell, changes[i].before);
    if (n_changes != 4) return;
    const Index cell = changes[0].cell, of_other = changes[1].cell, other = changes[2].cell, of_cell = changes[3].cell;
    reverse[cell] = of_cell;
    reverse[of_cell] = cell;
    reverse[other] = of_other;
    reverse[of_other] = other;
}

}  // namespace netgraph
