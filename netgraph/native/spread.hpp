// How many hops lie between given sources and the nodes of any undirected graph, counted or one by one.
#pragma once

#include "hops.hpp"

namespace netgraph {

// Adds to counts[k] the pairs of a source and a node k hops from it; returns the largest k. Sources may repeat.
Index spread_all(const Index* offsets, const std::int32_t* targets, Index nodes, const Index* sources, Index n_sources,
                 Index* counts);

// Writes the hops from each source (columns) to each node (rows), -1 where no path leads.
void spread_lengths(const Index* offsets, const std::int32_t* targets, Index nodes, const Index* sources,
                    Index n_sources, std::int32_t* lengths);

}  // namespace netgraph
