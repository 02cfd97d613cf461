"""What makes one graph better than another."""

import numpy as np
from scipy.sparse import csr_array

from netgraph.node_graph import NodeGraph
from netgraph.paths import distance_histogram, reachable_fraction

__all__ = ["Score", "four_cycles", "is_connected", "score_of"]

Score = tuple[int, int, int]
"""Sum of hops over ordered pairs, diameter, 4-cycles: less is better, in this order."""


def score_of(graph: NodeGraph) -> Score:
    """Return the sum of hops, the diameter and the 4-cycles of a connected graph."""
    counts = distance_histogram(graph)
    return int(counts @ np.arange(len(counts))), len(counts) - 1, four_cycles(graph)


def four_cycles(graph: NodeGraph) -> int:
    """Return the number of 4-cycles of a node graph.

    Over all ordered pairs of nodes the pairs of common neighbours count each cycle four times.
    """
    shape = (graph.n_nodes, graph.n_nodes)
    adjacency = csr_array((np.ones(len(graph.targets), dtype=np.int64), graph.targets, graph.offsets), shape=shape)
    squares = 0
    for start in range(0, graph.n_nodes, 512):
        common = (adjacency[start : start + 512] @ adjacency).data
        squares += int((common * (common - 1)).sum()) // 2
    own = int((graph.degrees * (graph.degrees - 1)).sum()) // 2  # a node and itself
    return (squares - own) // 4


def is_connected(graph: NodeGraph) -> bool:
    """Return whether a path joins every two nodes."""
    return reachable_fraction(graph) == 1
