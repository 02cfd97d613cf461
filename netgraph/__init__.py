"""Graph theory for networks that are pruned: units, edges, and which of them matter.

This package knows neither torch nor models; `prune_adapters` turns a PyTorch network into a `NetGraph` and the answer
back into masks.
"""

from netgraph.connection import Connection, ElementIndex, ParameterInfo, UnitParameter, Wiring
from netgraph.convert import (
    from_biadjacency,
    from_edge_array,
    from_networkx,
    from_scipy,
    node_order,
    to_biadjacency,
    to_edge_array,
    to_networkx,
    to_scipy,
    unit_order,
)
from netgraph.errors import (
    GraphFileError,
    GraphStructureError,
    InfeasibleDegreeError,
    NetGraphError,
    WeightValueError,
)
from netgraph.graph import NetGraph
from netgraph.incremental import IncrementalReach
from netgraph.node_graph import NodeGraph
from netgraph.paths import (
    Estimate,
    aopu,
    aspl_gap,
    aspl_lower_bound,
    average_shortest_path_length,
    diameter,
    diameter_lower_bound,
    distance_histogram,
    estimate_average_shortest_path_length,
    gradient_resistance,
    reachable_fraction,
    shortest_path_lengths,
)
from netgraph.plot import plot_connection, plot_network, plot_profile, plot_unit_classes, plot_weights
from netgraph.reach import (
    Sweep,
    accessible,
    co_accessible,
    consistent_edges,
    constant_units,
    dead_units,
    drop_dead,
    sweep,
    trim,
    unit_classes,
)
from netgraph.repair import Repair, least_repair
from netgraph.size import (
    SizeRow,
    compression_ratio,
    density,
    effective_compression_ratio,
    effective_density,
    effective_sparsity,
    layer_sizes,
    parameter_sizes,
    sparsity,
)
from netgraph.storage import load, save
from netgraph.weights import sweep_weights, with_weights
from netgraph.why import Cut, Explanation, explain

__all__ = [
    "Connection",
    "Cut",
    "ElementIndex",
    "Estimate",
    "Explanation",
    "GraphFileError",
    "GraphStructureError",
    "IncrementalReach",
    "InfeasibleDegreeError",
    "NetGraph",
    "NetGraphError",
    "NodeGraph",
    "ParameterInfo",
    "Repair",
    "SizeRow",
    "Sweep",
    "UnitParameter",
    "WeightValueError",
    "Wiring",
    "accessible",
    "aopu",
    "aspl_gap",
    "aspl_lower_bound",
    "average_shortest_path_length",
    "co_accessible",
    "compression_ratio",
    "consistent_edges",
    "constant_units",
    "dead_units",
    "density",
    "diameter",
    "diameter_lower_bound",
    "distance_histogram",
    "drop_dead",
    "effective_compression_ratio",
    "effective_density",
    "effective_sparsity",
    "estimate_average_shortest_path_length",
    "explain",
    "from_biadjacency",
    "from_edge_array",
    "from_networkx",
    "from_scipy",
    "gradient_resistance",
    "layer_sizes",
    "least_repair",
    "load",
    "node_order",
    "parameter_sizes",
    "plot_connection",
    "plot_network",
    "plot_profile",
    "plot_unit_classes",
    "plot_weights",
    "reachable_fraction",
    "save",
    "shortest_path_lengths",
    "sparsity",
    "sweep",
    "sweep_weights",
    "to_biadjacency",
    "to_edge_array",
    "to_networkx",
    "to_scipy",
    "trim",
    "unit_classes",
    "unit_order",
    "with_weights",
]
