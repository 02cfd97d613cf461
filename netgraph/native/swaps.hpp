// Double edge swaps on a table of neighbours, and the sum of hops as energy.
#pragma once

#include <vector>

#include "hops.hpp"
#include "random.hpp"

namespace netgraph {

// How often a random move is drawn anew before a step passes without one.
constexpr int move_tries = 64;

// Edges a - b and c - d become a - d and c - b. Each number counts cells: where the far end of an edge stands.
struct Swap {
    Node a, b, c, d;
    Index b_at_a, a_at_b, d_at_c, c_at_d;
};

// Memory that begins at a cache line, all zeros at first.
class Scratch {
public:
    explicit Scratch(Index words) : room(static_cast<std::size_t>(words) + 8) {}
    const Word* words() const { return const_cast<Scratch*>(this)->words(); }
    Word* words() { return room.data() + (64 - reinterpret_cast<std::uintptr_t>(room.data()) % 64) % 64 / sizeof(Word); }

private:
    std::vector<Word> room;
};

class SwapTable {
public:
    using Cell = Node;

    SwapTable(const Node* cells, Index nodes, Index degree);

    // Draws a swap that keeps the graph simple. The table is left as it is.
    bool draw(Random& random, Swap& swap, int tries) const;
    static void apply(const Swap& swap, std::vector<Node>& cells);
    static void revert(const Swap& swap, std::vector<Node>& cells);

    const Node* row(Index v) const { return cells.data() + v * degree; }
    bool joined(Node u, Node v) const;

    std::vector<Node> cells;
    Index nodes, degree;

private:
    Index place(Node u, Node v) const;  // the cell of row u that holds v
};

// The neighbours of each node in bits, kept up to date: what `Table` wants.
class Near {
public:
    explicit Near(const SwapTable& table);
    void toggle(const Swap& swap);

    Index nodes, words, chunks;
    Scratch rows;
    std::vector<Index> counts;

private:
    void flip(Index node, Index source);
};

// Energy: the sum of hops over ordered pairs, computed anew for each swap.
class Swaps {
public:
    using Cell = Node;

    explicit Swaps(SwapTable made);
    const std::vector<Node>& cells() const { return table.cells; }
    bool propose(Random& random, int tries = move_tries);
    Index energy(Index limit);
    void take_back();
    void take_back(std::vector<Node>& copy) const { SwapTable::revert(swap, copy); }

private:
    SwapTable table;
    Near near;
    Scratch scratch;
    Swap swap{};
};

}  // namespace netgraph
