"""scipy.sparse: one square array, entry (source, target), as `scipy.sparse.csgraph` reads it."""

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse import coo_array, csr_array

from netgraph.convert.explode import exploded
from netgraph.convert.layered import layered_graph
from netgraph.errors import GraphStructureError, WeightValueError
from netgraph.graph import NetGraph

__all__ = ["from_scipy", "to_scipy"]


def to_scipy(graph: NetGraph, *, fixed: bool = False) -> csr_array:
    """Return the number of kept elements of each edge as a sparse array.

    A fixed edge (wiring) has no elements, and a stored 0 would be an edge to some routines of scipy and none to
    others. So wiring is left out, or, with ``fixed=True``, each fixed edge counts as one element more.

    Parameters
    ----------
    graph : NetGraph
    fixed : bool
        True to have the wiring too.

    Returns
    -------
    csr_array of int64, shape (n_units, n_units)
        Row = source unit, column = target unit; no stored zeros.

    Examples
    --------
    >>> import netgraph as ng
    >>> to_scipy(ng.from_biadjacency([[[1, 0], [1, 1]]])).toarray().tolist()
    [[0, 0, 1, 1], [0, 0, 0, 1], [0, 0, 0, 0], [0, 0, 0, 0]]
    """
    sources, targets, counts = ([np.zeros(0, dtype=np.int64)] for _ in range(3))
    for c, source, target, kept in exploded(graph):
        if c.parameter is None and not fixed:
            continue
        sources.append(source)
        targets.append(target)
        counts.append(np.maximum(kept, 1))
    ends = np.concatenate(sources), np.concatenate(targets)
    return csr_array((np.concatenate(counts), ends), shape=(graph.n_units, graph.n_units))


def from_scipy(square: csr_array, *, inputs: ArrayLike | None = None, outputs: ArrayLike | None = None) -> NetGraph:
    """Return the graph whose edges are the entries of a square matrix that are not 0.

    Parameters
    ----------
    square : csr_array, or any sparse or dense square matrix
        Row = source node, column = target node. A stored 0 is no edge.
    inputs, outputs : array_like of int, optional
        Nodes; those without a predecessor and without a successor if not given.

    Returns
    -------
    NetGraph
        Layers as `from_edge_array` makes them; ``unit_order(np.argwhere(square), n)`` says which node became which
        unit.

    Raises
    ------
    GraphStructureError
        The matrix is not square, an input or output is not a node, or there is none by default.
    WeightValueError
        An entry is NaN.

    Examples
    --------
    >>> graph = from_scipy(csr_array([[0, 1, 1], [0, 0, 1], [0, 0, 0]]))
    >>> graph.edges()[0].tolist(), graph.edges()[1].tolist()
    ([0, 0, 1], [1, 2, 2])
    """
    entries = coo_array(square)
    if len(entries.shape) != 2 or entries.shape[0] != entries.shape[1]:
        raise GraphStructureError(f"square: expected as many rows as columns, got shape {entries.shape}")
    if np.isnan(entries.data).any():
        raise WeightValueError("square: an entry is NaN")
    entries.sum_duplicates()
    edges = np.stack(entries.coords, axis=1)[entries.data != 0].astype(np.int64)
    return layered_graph(edges, entries.shape[0], inputs=inputs, outputs=outputs)[0]
