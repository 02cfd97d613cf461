#include "two_hops.hpp"

namespace netgraph {

TwoHops::TwoHops(SwapTable made, bool cycles)
    : table(std::move(made)), cycles(cycles), counts(static_cast<std::size_t>(table.nodes * table.nodes)) {
    count();
    most_apart = apart;
}

void TwoHops::count() {
    const Index n = table.nodes;
    for (Index v = 0; v < n; ++v) paths(v, v) = 1;
    for (Index v = 0; v < n; ++v)
        for (Index i = 0; i < table.degree; ++i) {
            const Index a = table.row(v)[i];
            if (a == v) continue;
            if (v < a) paths(v, a) += edge;
            for (Index j = 0; j < i; ++j)
                if (const Index b = table.row(v)[j]; b != v) ++paths(a, b);
        }
    apart = squares = 0;
    for (Index u = 0; u < n; ++u)
        for (Index v = u + 1; v < n; ++v) {
            const Index both = counts[u * n + v] & (edge - 1);
            apart += counts[u * n + v] == 0;
            squares += both * (both - 1) / 2;
        }
}

// Adds or removes the edge a - b, which is not (or no longer) in the rows of a and b: their cells hold a and b
// themselves, as where a row is filled up. Those do nothing, without a branch: they add 0 to a pair of a node with
// itself, whose count is never 0. Sums are kept in locals, because a byte may alias every member.
template <int sign, bool with_squares>
void TwoHops::change_edge(Node a, Node b) {
    std::uint8_t* const all = counts.data();
    const Index n = table.nodes, degree = table.degree;
    const Node *of_a = table.row(a), *of_b = table.row(b);
    Index parted = 0, squared = 0;
    // Without branches, which would be guessed wrong half of the time: the lesser end, and b (or a) for a filler.
    const auto at = [all, n](Index u, Index v) { return all + (v + ((u - v) & (u - v) >> 63)) * (n - 1) + u + v; };
    const auto other = [](Index end, bool filler, Index self) { return end ^ ((end ^ self) & -Index{filler}); };
    const auto change = [&](std::uint8_t* count, std::uint8_t by) {
        const std::uint8_t less = sign > 0 ? *count : *count - by;
        parted += less == 0;
        if (with_squares) squared += by == 1 ? less & (edge - 1) : 0;
        *count = sign > 0 ? less + by : less;
    };
    change(at(a, b), edge);
    for (Index j = 0; j < degree; ++j) change(at(other(of_a[j], of_a[j] == a, b), b), of_a[j] != a);
    for (Index j = 0; j < degree; ++j) change(at(a, other(of_b[j], of_b[j] == b, a)), of_b[j] != b);
    apart -= sign * parted;
    squares += sign * squared;
}

// All places that a change of the edge a - b touches are asked for at once: beyond the second cache they wait together.
void TwoHops::prefetch(Node a, Node b) {
    const Node *of_a = table.row(a), *of_b = table.row(b);
    for (Index j = 0; j < table.degree; ++j) {
        __builtin_prefetch(&paths(of_a[j], b), 1);
        __builtin_prefetch(&paths(a, of_b[j]), 1);
    }
}

template <int sign>
void TwoHops::change_edge(Node a, Node b) {
    if (cycles)
        change_edge<sign, true>(a, b);
    else
        change_edge<sign, false>(a, b);
}

bool TwoHops::propose(Random& random, int tries) {
    if (!table.draw(random, swap, tries)) return false;
    const Swap& s = swap;
    std::vector<Node>& cells = table.cells;
    if (counts.size() > 256 * 1024) {
        prefetch(s.a, s.b);
        prefetch(s.c, s.d);
        prefetch(s.a, s.d);
        prefetch(s.c, s.b);
    }
    cells[s.b_at_a] = s.a;
    cells[s.a_at_b] = s.b;
    change_edge<-1>(s.a, s.b);
    cells[s.d_at_c] = s.c;
    cells[s.c_at_d] = s.d;
    change_edge<-1>(s.c, s.d);
    change_edge<+1>(s.a, s.d);
    cells[s.b_at_a] = s.d;
    cells[s.c_at_d] = s.a;
    change_edge<+1>(s.c, s.b);
    cells[s.d_at_c] = s.b;
    cells[s.a_at_b] = s.c;
    return true;
}

void TwoHops::take_back() {
    const Swap& s = swap;
    std::vector<Node>& cells = table.cells;
    cells[s.d_at_c] = s.c;
    cells[s.a_at_b] = s.b;
    change_edge<-1>(s.c, s.b);
    cells[s.b_at_a] = s.a;
    cells[s.c_at_d] = s.d;
    change_edge<-1>(s.a, s.d);
    change_edge<+1>(s.c, s.d);
    cells[s.d_at_c] = s.d;
    cells[s.c_at_d] = s.c;
    change_edge<+1>(s.a, s.b);
    cells[s.b_at_a] = s.b;
    cells[s.a_at_b] = s.a;
}

Index TwoHops::energy(Index) {
    if (!cycles) return apart;
    return apart > most_apart ? never : squares / 2;
}

}  // namespace netgraph
