// Shortest paths from up to 64 sources at once through a graph without cycles, and how many run over each edge.
#pragma once

#include <cstdint>

#include "bits.hpp"

namespace netgraph {

constexpr int brandes_lanes = 64;
constexpr std::uint16_t no_path = 0xfff0;  // leaves room to add a hop

// Edges sorted by target; units in topological order.
struct SortedEdges {
    Index units;
    const Index* starts;          // units + 1
    const std::int32_t* sources;  // one for each edge
    const std::int32_t* hops;     // 0 or 1
};

// What is done with the 64 values of a unit.
struct Lanes {
    const char* name;
    // a = min(a, d + hop)
    void (*nearer)(std::uint16_t* a, const std::uint16_t* d, std::uint16_t hop);
    // Bit l: a[l] is a length, and d[l] + hop equals it.
    Word (*tight)(const std::uint16_t* a, const std::uint16_t* d, std::uint16_t hop);
    // to += from where the mask has a bit.
    void (*add)(double* to, const double* from, Word mask);
    // to = (delta + goal) / paths where the mask has a bit, else 0; returns whether any is not 0.
    bool (*weigh)(double* to, const double* delta, double goal, const double* paths, Word mask);
    // delta += paths * weight where the mask has a bit; returns the sum of what was added.
    double (*pull)(double* delta, const double* paths, const double* weight, Word mask);
};

extern const Lanes lanes_generic;
#ifdef NETGRAPH_X86
extern const Lanes lanes_avx512;
#endif

// Add to found[e] the betweenness of each edge from these sources. `goals` flags the units that are targets.
void accumulate_betweenness(const SortedEdges& edges, const Index* sources, Index n_sources, const std::uint8_t* goals,
                            double* found);

}  // namespace netgraph
