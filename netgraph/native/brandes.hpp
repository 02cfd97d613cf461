// Shortest paths from up to 64 sources at once through a graph without cycles, and how many run over each edge.
#pragma once

#include <cstdint>

#include "bits.hpp"

namespace netgraph {

// Edges sorted by target; units in topological order.
struct SortedEdges {
    Index units;
    const Index* starts;          // units + 1
    const std::int32_t* sources;  // one for each edge
    const std::int32_t* hops;     // 0 or 1

    Index count() const { return starts[units]; }
};

// The same edges sorted by source: edge e of those is number rank[e] here.
struct OutEdges {
    const Index* starts;
    const std::int32_t* targets;
    const std::int32_t* rank;
};

struct Sources {
    const Index* units;
    Index count;
};

// Add to found[e] the betweenness of each edge from these sources. `goals` flags the units that are targets.
void betweenness(const SortedEdges& edges, Sources sources, const std::uint8_t* goals, double* found);

// The loops behind it, for one instruction set each. Edge rank[e] is added to found[e] of the edges sorted by source.
// `deep`: some path has more hops than a byte holds.
using Betweenness = void(const SortedEdges& edges, const OutEdges& out, bool deep, Sources sources,
                         const std::uint8_t* goals, double* found);

Betweenness betweenness_generic;
#ifdef NETGRAPH_X86
Betweenness betweenness_avx2;
Betweenness betweenness_avx512;
#endif

}  // namespace netgraph
