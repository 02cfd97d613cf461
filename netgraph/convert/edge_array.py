"""Edge arrays, the form that igraph and most graph libraries read and write; needs none of them."""

import numpy as np
from numpy.typing import ArrayLike

from netgraph.convert.layered import checked_edges, layered_graph
from netgraph.convert.scipy_array import to_scipy
from netgraph.graph import NetGraph

__all__ = ["from_edge_array", "to_edge_array"]


def to_edge_array(graph: NetGraph, *, fixed: bool = False) -> np.ndarray:
    """Return the edges of a graph as rows (source, target), as igraph reads them.

    ``igraph.Graph(n=graph.n_units, edges=to_edge_array(graph), directed=True)`` has the units as vertices.

    Parameters
    ----------
    graph : NetGraph
    fixed : bool
        True to have the wiring too.

    Returns
    -------
    ndarray of int64, shape (n_edges, 2)
        Each pair of units once, however many weights it carries; by source, then target.

    Examples
    --------
    >>> import netgraph as ng
    >>> to_edge_array(ng.from_biadjacency([[[1, 0], [1, 1]]])).tolist()
    [[0, 2], [0, 3], [1, 3]]
    """
    square = to_scipy(graph, fixed=fixed)
    square.sum_duplicates()
    return np.stack(square.tocoo().coords, axis=1).astype(np.int64)


def from_edge_array(
    edges: ArrayLike, n_nodes: int, *, inputs: ArrayLike | None = None, outputs: ArrayLike | None = None
) -> NetGraph:
    """Return the graph with the given edges, one weight for each pair of units of two joined layers.

    The layer of a node is the number of edges on the longest path to it; edges that close a cycle are set aside for
    this and become feedback connections. The bits take one bit for each pair of units of two joined layers.

    Parameters
    ----------
    edges : array_like of int, shape (n_edges, 2)
        Source and target node; for an igraph graph ``graph.get_edgelist()``. A repeated row counts once.
    n_nodes : int
    inputs, outputs : array_like of int, optional
        Nodes; those without a predecessor and without a successor if not given.

    Returns
    -------
    NetGraph
        Layers "layer0", "layer1", ...; ``unit_order(edges, n_nodes)`` says which node became which unit.

    Raises
    ------
    GraphStructureError
        `edges` has another shape or dtype, a node is outside [0, n_nodes), or no node can be an input or output by
        default.

    Examples
    --------
    >>> from_edge_array([(2, 0), (0, 1), (2, 1)], 3)
    NetGraph: 3 layers, 3 units, 3 of 3 weights kept
      layer   units  weights  kept  from
      layer0      1        -     -  input
      layer1      1        1     1  layer0
      layer2      1        2     2  layer0, layer1, output
    """
    return layered_graph(checked_edges(edges, n_nodes), n_nodes, inputs=inputs, outputs=outputs)[0]
