"""Path lengths: how many hops lie between the nodes of a graph, the least there can be, how fast a signal spreads.

A mean path length falls when a graph falls apart, because pairs that no path joins are left out: `reachable_fraction`
belongs beside it.
"""

from netgraph.paths.bound import aspl_gap, aspl_lower_bound, diameter_lower_bound
from netgraph.paths.estimate import Estimate, estimate_average_shortest_path_length
from netgraph.paths.frontier import aopu, gradient_resistance
from netgraph.paths.measures import (
    average_shortest_path_length,
    diameter,
    distance_histogram,
    reachable_fraction,
    shortest_path_lengths,
)

__all__ = [
    "Estimate",
    "aopu",
    "aspl_gap",
    "aspl_lower_bound",
    "average_shortest_path_length",
    "diameter",
    "diameter_lower_bound",
    "distance_histogram",
    "estimate_average_shortest_path_length",
    "gradient_resistance",
    "reachable_fraction",
    "shortest_path_lengths",
]
