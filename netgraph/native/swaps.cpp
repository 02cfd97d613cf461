#include "swaps.hpp"

#include "kernels.hpp"

namespace netgraph {

SwapTable::SwapTable(const Node* from, Index nodes, Index degree)
    : cells(from, from + nodes * degree), nodes(nodes), degree(degree) {}

// No early exit: the compiler turns this loop into vectors.
bool SwapTable::joined(Node u, Node v) const {
    const Node* const neighbours = row(u);
    unsigned found = 0;
    for (Index j = 0; j < degree; ++j) found |= neighbours[j] == v;
    return found;
}

Index SwapTable::place(Node u, Node v) const {
    const Node* const neighbours = row(u);
    unsigned found = 0;
    for (unsigned j = 0; j < degree; ++j) found |= neighbours[j] == v ? j : 0;
    return u * degree + found;
}

bool SwapTable::draw(Random& random, Swap& swap, int tries) const {
    for (; tries > 0; --tries) {
        const Word ends = random.next(), places = random.next();
        const auto part = [](Word word, Index bound) { return static_cast<Index>(word * static_cast<Word>(bound) >> 32); };
        const Index a = part(ends >> 32, nodes), c = part(ends & 0xffffffff, nodes);
        const Index b_at_a = a * degree + part(places >> 32, degree);
        const Index d_at_c = c * degree + part(places & 0xffffffff, degree);
        const Node b = cells[b_at_a], d = cells[d_at_c];
        if (a == c || b == d || b == c || d == a || b == a || d == c) continue;
        const auto from = static_cast<Node>(a), to = static_cast<Node>(c);
        if (joined(from, d) || joined(to, b)) continue;
        swap = {from, b, to, d, b_at_a, place(b, from), d_at_c, place(d, to)};
        return true;
    }
    return false;
}

void SwapTable::apply(const Swap& s, std::vector<Node>& cells) {
    cells[s.b_at_a] = s.d;
    cells[s.a_at_b] = s.c;
    cells[s.d_at_c] = s.b;
    cells[s.c_at_d] = s.a;
}

void SwapTable::revert(const Swap& s, std::vector<Node>& cells) {
    cells[s.b_at_a] = s.b;
    cells[s.a_at_b] = s.a;
    cells[s.d_at_c] = s.d;
    cells[s.c_at_d] = s.c;
}

Near::Near(const SwapTable& table)
    : nodes(table.nodes),
      words(row_words(nodes)),
      chunks((nodes + 64 * words - 1) / (64 * words)),
      rows(chunks * nodes * words),
      counts(static_cast<std::size_t>(chunks)) {
    for (Index v = 0; v < nodes; ++v) {
        flip(v, v);
        ++counts[v / (64 * words)];
        for (Index j = 0; j < table.degree; ++j) {
            const Node source = table.row(v)[j];
            if (source == v) continue;
            flip(v, source);
            ++counts[source / (64 * words)];
        }
    }
}

inline void Near::flip(Index node, Index source) {
    const Index chunk = source / (64 * words), bit = source % (64 * words);
    rows.words()[(chunk * nodes + node) * words + bit / 64] ^= Word{1} << (bit % 64);
}

void Near::toggle(const Swap& s) {
    const Node pairs[4][2] = {{s.a, s.b}, {s.c, s.d}, {s.a, s.d}, {s.c, s.b}};
    for (const auto& pair : pairs) {
        flip(pair[0], pair[1]);
        flip(pair[1], pair[0]);
    }
}

Swaps::Swaps(SwapTable made)
    : table(std::move(made)), near(table), scratch(2 * table.nodes * row_words(table.nodes)) {}

bool Swaps::propose(Random& random, int tries) {
    if (!table.draw(random, swap, tries)) return false;
    SwapTable::apply(swap, table.cells);
    near.toggle(swap);
    return true;
}

void Swaps::take_back() {
    SwapTable::revert(swap, table.cells);
    near.toggle(swap);
}

Index Swaps::energy(Index limit) {
    const Table now{table.cells.data(), table.nodes, table.degree, near.rows.words(), near.counts.data()};
    return kernels().hops.sum(now, limit, scratch.words()).sum;
}

}  // namespace netgraph
