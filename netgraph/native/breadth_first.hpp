// The nodes that a search from one node meets, in the order in which it meets them.
#pragma once

#include <vector>

#include "hops.hpp"

namespace netgraph {

// The successors of node v are targets[offsets[v]] ... targets[offsets[v + 1] - 1], as many as n_targets in all.
struct Successors {
    const Index* offsets;
    const std::int32_t* targets;
    Index nodes, n_targets;
};

class BreadthFirst {
public:
    explicit BreadthFirst(const Successors& graph) : graph_(graph), met_by_(graph.nodes, -1) {}

    // Writes the nodes within `most` hops of the source, nearest first, and how far each is; returns how many these are.
    // A node is met from the first of those before it that leads there. std::invalid_argument if a successor is no node.
    Index from(Index source, Index most, std::int32_t* order, std::int32_t* hops);

private:
    Successors graph_;
    std::vector<Index> met_by_;  // the last search that has met a node
    Index searches_ = 0;
};

}  // namespace netgraph
