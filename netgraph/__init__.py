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
from netgraph.errors import GraphFileError, GraphStructureError, NetGraphError, WeightValueError
from netgraph.graph import NetGraph
from netgraph.storage import load, save

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
    "from_biadjacency",
    "from_edge_array",
    "from_networkx",
    "from_scipy",
    "load",
    "node_order",
    "save",
    "to_biadjacency",
    "to_edge_array",
    "to_networkx",
    "to_scipy",
    "unit_order",
]
