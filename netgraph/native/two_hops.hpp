// Pairs of nodes within two hops, kept up to date swap by swap: what a swap costs grows with the degree, not with the
// graph. One byte a pair counts the paths of length two, plus `edge` where the pair is joined.
#pragma once

#include "swaps.hpp"

namespace netgraph {

class TwoHops {
public:
    using Cell = Node;
    static constexpr std::uint8_t edge = 128;
    static constexpr Index most_degree = 127;

    // `cycles`: the energy is the number of 4-cycles, and a move that parts more pairs than at the start is refused.
    // Else it is the number of unordered pairs that are more than two hops apart.
    TwoHops(SwapTable made, bool cycles);
    const std::vector<Node>& cells() const { return table.cells; }
    bool propose(Random& random, int tries = move_tries);
    Index energy(Index limit);
    void take_back();
    void take_back(std::vector<Node>& copy) const { SwapTable::revert(swap, copy); }

private:
    std::uint8_t& paths(Index u, Index v) { return counts[u < v ? u * table.nodes + v : v * table.nodes + u]; }
    void count();
    void prefetch(Node a, Node b);
    template <int sign>
    void change_edge(Node a, Node b);
    template <int sign, bool with_squares>
    void change_edge(Node a, Node b);

    SwapTable table;
    bool cycles;
    std::vector<std::uint8_t> counts;
    Index apart = 0;  // unordered pairs without a path of length one or two
    Index squares = 0;  // over all pairs, two paths at a time: each 4-cycle twice
    Index most_apart = 0;
    Swap swap{};
};

}  // namespace netgraph
