"""Graph theory for networks that are pruned: units, edges, and which of them matter.

This package knows neither torch nor models; `prune_adapters` turns a PyTorch network into a `NetGraph` and the answer
back into masks.
"""

from netgraph.connection import Connection, ElementIndex, ParameterInfo, UnitParameter, Wiring
from netgraph.errors import GraphFileError, GraphStructureError, NetGraphError, WeightValueError
from netgraph.graph import NetGraph

__all__ = [
    "Connection",
    "ElementIndex",
    "GraphFileError",
    "GraphStructureError",
    "NetGraph",
    "NetGraphError",
    "ParameterInfo",
    "UnitParameter",
    "WeightValueError",
    "Wiring",
]
