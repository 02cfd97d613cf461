// Moves of graphs with a cyclic symmetry: whole orbits of edges are swapped or turned.
#pragma once

#include "swaps.hpp"

namespace netgraph {

// Energy: the sum of hops from one node of each orbit to all nodes.
class Lifts {
public:
    using Cell = Arc;

    // Every arc needs its reverse in the row of its end; std::invalid_argument if one has none.
    Lifts(const Arc* arcs, Index rows, Index degree, Index group);
    const std::vector<Arc>& cells() const { return arcs; }
    bool propose(Random& random, int tries = move_tries);
    Index energy(Index limit);
    void take_back();
    void take_back(std::vector<Arc>& copy) const;

private:
    struct Change {
        Index cell;
        Arc before, after;
    };

    Index row_of(Index cell) const { return cell / degree; }
    Arc arc(Index row, Index shift) const { return static_cast<Arc>(row << 8 | (shift & (group - 1))); }
    static Index end(Arc arc) { return arc >> 8; }
    static Index shift(Arc arc) { return arc & 0xff; }
    bool has(Index row, Arc arc) const;
    bool allowed(Index row, Arc arc) const;
    bool turn(Index cell, Random& random);
    bool exchange(Index cell, Index other, Random& random);
    void join(Index from, Index to, Arc arc);
    void put(Index cell, Arc arc);
    void flip(Index cell);

    std::vector<Arc> arcs;
    std::vector<Index> reverse;  // cell of the same edge at its other end
    Index rows, degree, group, words;
    Scratch near, scratch;
    Change changes[4];
    Index n_changes = 0;
};

}  // namespace netgraph
