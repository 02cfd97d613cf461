"""Graph theory for networks that are pruned: units, edges, and which of them matter.

This package knows neither torch nor models; `prune_adapters` turns a PyTorch network into a `NetGraph` and the answer
back into masks.
"""

from netgraph.connection import Connection, ElementIndex, ParameterInfo, UnitParameter, Wiring
from netgraph.errors import GraphFileError, GraphStructureError, NetGraphError, WeightValueError
from netgraph.graph import NetGraph
from netgraph.incremental import IncrementalReach
from netgraph.reach import (
    Sweep,
    accessible,
    co_accessible,
    consistent_edges,
    constant_units,
    dead_units,
    drop_dead,
    sweep,
    sweep_weights,
    trim,
    unit_classes,
    with_weights,
)

__all__ = [
    "Connection",
    "ElementIndex",
    "GraphFileError",
    "GraphStructureError",
    "IncrementalReach",
    "NetGraph",
    "NetGraphError",
    "ParameterInfo",
    "Sweep",
    "UnitParameter",
    "WeightValueError",
    "Wiring",
    "accessible",
    "co_accessible",
    "consistent_edges",
    "constant_units",
    "dead_units",
    "drop_dead",
    "sweep",
    "sweep_weights",
    "trim",
    "unit_classes",
    "with_weights",
]
