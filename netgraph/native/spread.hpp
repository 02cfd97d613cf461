// How many nodes lie how many hops from given sources, in any undirected graph.
#pragma once

#include "hops.hpp"

namespace netgraph {

// Adds to counts[k] the pairs of a source and a node k hops from it; returns the largest k. Sources may repeat.
Index spread_all(const Index* offsets, const std::int32_t* targets, Index nodes, const Index* sources, Index n_sources,
                 Index* counts);

}  // namespace netgraph
