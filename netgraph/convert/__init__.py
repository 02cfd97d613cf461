"""The border: graphs to and from networkx, scipy.sparse, igraph's edge arrays and lists of biadjacency matrices.

    to_networkx, from_networkx, node_order      DiGraph; wiring exploded with weight=0
    to_scipy, from_scipy                        square csr_array, entry = kept elements of an edge
    to_edge_array, from_edge_array, unit_order  array of (source, target) rows, as igraph reads it
    to_biadjacency, from_biadjacency            one (out, in) matrix for each pair of joined layers

A foreign graph has nodes but no layers. The ``from_`` functions make layers of it by the longest path that leads to
each node and number the units layer by layer; `unit_order` and `node_order` say which node became which unit.
"""

from netgraph.convert.biadjacency import from_biadjacency, to_biadjacency
from netgraph.convert.edge_array import from_edge_array, to_edge_array
from netgraph.convert.layered import unit_order
from netgraph.convert.networkx_graph import from_networkx, node_order, to_networkx
from netgraph.convert.scipy_array import from_scipy, to_scipy

__all__ = [
    "from_biadjacency",
    "from_edge_array",
    "from_networkx",
    "from_scipy",
    "node_order",
    "to_biadjacency",
    "to_edge_array",
    "to_networkx",
    "to_scipy",
    "unit_order",
]
