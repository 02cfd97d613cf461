// Hops between all nodes of an undirected graph: what the evaluators of every instruction set share.
#pragma once

#include "bits.hpp"

namespace netgraph {

using Node = std::uint16_t;
constexpr Index most_nodes = 1 << 16;

constexpr Index never = INT64_MAX;

// Row v lists the neighbours of node v and, where it has fewer than `degree`, is filled up with v itself. The same in
// bits: `near` holds for each chunk of 64 row_words sources a row for each node, with the sources that are its neighbours
// or the node itself, and `n_near` how many bits that are.
struct Table {
    const Node* cells;
    Index nodes, degree;
    const Word* near;
    const Index* n_near;
};

// A graph with a cyclic symmetry, by one node of each orbit: arc j of row m leads from node (m, p) to node
// (arc >> 8, p + (arc & 0xff) modulo `group`). The same in bits: row m of `near`, lifted_row_words wide, has bit
// group * q + p iff (m, 0) and (q, p) are joined or the same.
using Arc = std::uint32_t;
struct Lift {
    const Arc* cells;
    Index rows, degree, group;
    const Word* near;
};

// Sum of hops over ordered pairs, of which the first node runs over all nodes or, for a lift, over one of each orbit.
// `never` if some pair is not joined. Evaluators stop once the sum is certain to exceed a limit and return a sum above.
struct Hops {
    Index sum, diameter;
};

struct HopKernels {
    Hops (*sum)(const Table& table, Index limit, Word* scratch);
    Hops (*lifted_sum)(const Lift& lift, Index limit, Word* scratch);

    // One step of a search from 512 sources, a bit each: to = from or the OR of `from` over the neighbours. Rows of
    // eight words. Returns how many bits are set.
    Index (*spread)(const Index* offsets, const std::int32_t* targets, Index nodes, const Word* from, Word* to);

    // to |= the OR of `from` over the sources of each of `rows` rows, less what is seen; rows that have seen all are
    // left out. Returns whether anything came. Rows of eight words.
    bool (*pull)(const Index* offsets, const std::int32_t* sources, Index rows, const Word* from, const Word* seen,
                 const Word* full, Word* to);

    // to |= the OR of `rows` rows of eight words.
    void (*join)(const Word* from, Index rows, Word* to);

    // to |= from, less what is seen, for each of `rows` rows; those of `from` are `stride` words apart, 0 for one row for
    // all. Returns whether anything came that was not there. Rows of eight words.
    bool (*bring)(const Word* from, Index stride, Index rows, const Word* seen, Word* to);

    // seen |= next, front = next, next = 0; returns how many bits of `next` are in wanted rows. Rows of eight words.
    Index (*settle)(const std::uint8_t* wanted, Index rows, Word* next, Word* seen, Word* front);
};

constexpr Index spread_words = 8;

// Words that hold the sources of one row of `sum`. Internal linkage: see rows.hpp.
static inline Index row_words(Index nodes) { return nodes <= 64 ? 1 : nodes <= 256 ? 4 : nodes <= 512 || nodes > 1024 ? 8 : 16; }

// Words of one row of `lifted_sum`: whole vectors of any instruction set, and groups of four where there are many.
static inline Index lifted_row_words(Index nodes) {
    const Index words = (nodes + 63) / 64;
    return words <= 8 ? 8 : words <= 16 ? 16 : (words + 31) / 32 * 32;
}

}  // namespace netgraph
