"""What flows through a network: numbers of paths, path norms, cuts and betweenness.

path_counts, log2_paths, exact_path_counts, edge_shares    how many paths, and the share of units and edges in them
path_sums, weight_shares                                   path norms, SynFlow scores
max_flow, min_cut, min_unit_cut, bottleneck_layer          disjoint paths and where they are narrowest
edge_betweenness                                           shortest paths through each edge
"""

from netgraph.flow.betweenness import edge_betweenness
from netgraph.flow.counts import edge_shares, exact_path_counts, log2_paths, path_counts, path_sums, weight_shares
from netgraph.flow.cuts import EdgeCut, UnitCut, bottleneck_layer, max_flow, min_cut, min_unit_cut
from netgraph.flow.passes import PathSums

__all__ = [
    "EdgeCut",
    "PathSums",
    "UnitCut",
    "bottleneck_layer",
    "edge_betweenness",
    "edge_shares",
    "exact_path_counts",
    "log2_paths",
    "max_flow",
    "min_cut",
    "min_unit_cut",
    "path_counts",
    "path_sums",
    "weight_shares",
]
