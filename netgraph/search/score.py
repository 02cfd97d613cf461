"""What makes one graph better than another."""

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from netgraph.node_graph import NodeGraph
from netgraph.paths import distance_histogram
from netgraph.paths.measures import total_hops
from netgraph.spectrum import four_cycles

__all__ = ["Score", "is_connected", "score_of"]

Score = tuple[int, int, int]
"""Sum of hops over ordered pairs, diameter, 4-cycles: less is better, in this order."""


def score_of(graph: NodeGraph) -> Score:
    """Return the sum of hops, the diameter and the 4-cycles of a connected graph."""
    counts = distance_histogram(graph)
    return total_hops(counts), len(counts) - 1, four_cycles(graph)


def is_connected(graph: NodeGraph) -> bool:
    """Return whether a path joins every two nodes."""
    edges = (np.ones(len(graph.targets), dtype=np.int8), graph.targets, graph.offsets)
    matrix = csr_array(edges, shape=(graph.n_nodes, graph.n_nodes))
    return bool(connected_components(matrix, directed=False, return_labels=False) <= 1)
