"""What makes one graph better than another."""

from netgraph.node_graph import NodeGraph
from netgraph.paths import distance_histogram, reachable_fraction
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
    return reachable_fraction(graph) == 1
