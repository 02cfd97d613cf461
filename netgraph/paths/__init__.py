"""Path lengths: how many hops lie between the nodes of a graph, the least there can be, how fast a signal spreads.

Three means, never to be compared with each other: `average_shortest_path_length` of a node graph, and of a network
`input_output_path_length` and `unit_path_length`. A mean path length falls when a graph falls apart, because pairs
that no path joins are left out: the reachable fraction belongs beside it. For graphs too large each has an `estimate_`
from a sample of its sources.
"""

from netgraph.paths.bound import aspl_gap, aspl_lower_bound, diameter_lower_bound
from netgraph.paths.estimate import (
    Estimate,
    estimate_average_shortest_path_length,
    estimate_input_output_path_length,
    estimate_unit_path_length,
)
from netgraph.paths.frontier import aopu, gradient_resistance
from netgraph.paths.measures import (
    average_shortest_path_length,
    diameter,
    distance_histogram,
    reachable_fraction,
    shortest_path_lengths,
)
from netgraph.paths.units import (
    input_output_path_length,
    input_output_reachable_fraction,
    unit_distance_histogram,
    unit_path_length,
    unit_reachable_fraction,
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
    "estimate_input_output_path_length",
    "estimate_unit_path_length",
    "gradient_resistance",
    "input_output_path_length",
    "input_output_reachable_fraction",
    "reachable_fraction",
    "shortest_path_lengths",
    "unit_distance_histogram",
    "unit_path_length",
    "unit_reachable_fraction",
]
