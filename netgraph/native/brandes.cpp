#include "brandes.hpp"

#include <cstring>
#include <vector>

#include "kernels.hpp"

namespace netgraph {
namespace {

Betweenness* loops() {
#ifdef NETGRAPH_X86
    if (!std::strcmp(kernels().name, "avx512")) return betweenness_avx512;
    if (!std::strcmp(kernels().name, "avx2")) return betweenness_avx2;
#endif
    return betweenness_generic;
}

// The most hops of any path.
Index longest_path(const SortedEdges& edges) {
    Index longest = 0;
    std::vector<Index> depth(edges.units);
    for (Index u = 0; u < edges.units; ++u) {
        for (Index e = edges.starts[u]; e < edges.starts[u + 1]; ++e)
            depth[u] = std::max(depth[u], depth[edges.sources[e]] + edges.hops[e]);
        longest = std::max(longest, depth[u]);
    }
    return longest;
}

}  // namespace

void betweenness(const SortedEdges& edges, Sources sources, const std::uint8_t* goals, double* found) {
    std::vector<Index> starts(edges.units + 1);
    std::vector<std::int32_t> targets(edges.count()), rank(edges.count());
    for (Index e = 0; e < edges.count(); ++e) ++starts[edges.sources[e] + 1];
    for (Index u = 0; u < edges.units; ++u) starts[u + 1] += starts[u];
    std::vector<Index> next = starts;
    for (Index u = 0; u < edges.units; ++u)
        for (Index e = edges.starts[u]; e < edges.starts[u + 1]; ++e) {
            rank[e] = static_cast<std::int32_t>(next[edges.sources[e]]++);
            targets[rank[e]] = static_cast<std::int32_t>(u);
        }
    std::vector<double> by_source(edges.count());
    const bool deep = longest_path(edges) > 254;
    loops()(edges, {starts.data(), targets.data(), rank.data()}, deep, sources, goals, by_source.data());
    for (Index e = 0; e < edges.count(); ++e) found[e] += by_source[rank[e]];
}

}  // namespace netgraph
