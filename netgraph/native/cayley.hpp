// Moves of Cayley graphs of the groups Z_s x|_r Z_t: one generator and its inverse are drawn anew.
#pragma once

#include <vector>

#include "hops.hpp"
#include "random.hpp"
#include "swaps.hpp"

namespace netgraph {

// Cells: s, t, r, then the generators: element (a, b) is a t + b. Each is followed by its inverse; where their number is
// odd, the last one is its own inverse. Energy: the sum of hops from one node, which is the same for all.
class Cayley {
public:
    using Cell = std::uint32_t;

    // std::invalid_argument if r^t is not 1 modulo s, or the generators are not as described.
    Cayley(const Cell* cells, Index n_cells);
    const std::vector<Cell>& cells() const { return cells_; }
    bool propose(Random& random, int tries = move_tries);
    Index energy(Index limit);
    void take_back();
    void take_back(std::vector<Cell>& copy) const;

private:
    static constexpr Index header = 3;

    Index inverse(Index element) const;
    bool has(Index element) const;
    void put(Index place, Index element);
    void turn_row(const Word* from, Word* to, Index by) const;
    Index spread(const Word* from, Word* to) const;

    std::vector<Cell> cells_;
    Index s_, t_, degree_, words_;
    std::vector<Index> powers_;  // r^b modulo s
    std::vector<Index> turns_;   // how far row b is turned by generator j: degree_ rows of t_
    Scratch scratch_;
    Index place_ = 0;
    Cell before_[2] = {};
};

}  // namespace netgraph
