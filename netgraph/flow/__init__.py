"""What flows through a network: numbers of paths, path norms, cuts and betweenness."""

from netgraph.flow.counts import edge_shares, exact_path_counts, log2_paths, path_counts, path_sums, weight_shares
from netgraph.flow.passes import PathSums

__all__ = [
    "PathSums",
    "edge_shares",
    "exact_path_counts",
    "log2_paths",
    "path_counts",
    "path_sums",
    "weight_shares",
]
