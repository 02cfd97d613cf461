"""Every edge of a graph one by one, wiring included: what the converters write out."""

from collections.abc import Iterator

import numpy as np

from netgraph.connection import Connection, Wiring
from netgraph.graph import NetGraph

__all__ = ["connection_edges", "exploded"]


def connection_edges(graph: NetGraph, position: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the edges of weighted connection number `position`, in the order of its rows.

    Parameters
    ----------
    graph : NetGraph
    position : int
        Place in ``graph.weighted``.

    Returns
    -------
    sources, targets : ndarray of int64, shape (n_edges,)
        Unit ids.
    kept : ndarray of int64, shape (n_edges,)
        Kept elements (taps) of each edge, at least 1.
    """
    c = graph.weighted[position]
    edges = np.flatnonzero(graph.kept(position))  # far faster than nonzero in three dimensions
    kept = np.ones(edges.size, dtype=np.int64)
    if c.taps > 1:
        edges //= c.taps
        firsts = np.flatnonzero(np.diff(edges, prepend=-1))
        edges, kept = edges[firsts], np.diff(firsts, append=edges.size)
    row, column = np.divmod(edges, max(c.columns, 1))
    group = row // max(c.rows // c.groups, 1)
    sources = graph.slices[c.source].start + c.source_start + group * c.columns + column
    return sources, graph.slices[c.target].start + c.target_start + row, kept


def exploded(graph: NetGraph) -> Iterator[tuple[Connection | Wiring, np.ndarray, np.ndarray, np.ndarray]]:
    """Yield each connection with its edges as in `connection_edges`; a fixed edge has 0 kept elements.

    Parameters
    ----------
    graph : NetGraph

    Examples
    --------
    >>> import netgraph as ng
    >>> graph = ng.from_biadjacency([[[1, 0], [1, 1]]])
    >>> [(c.parameter, s.tolist(), t.tolist()) for c, s, t, _ in exploded(graph)]
    [('weight1', [0, 0, 1], [2, 3, 3])]
    """
    position = 0
    for c in graph.connections:
        if isinstance(c, Connection):
            yield c, *connection_edges(graph, position)
            position += 1
        else:
            source, target = c.edges()
            start = graph.slices[c.source].start, graph.slices[c.target].start
            yield c, source + start[0], target + start[1], np.zeros(c.n_edges, dtype=np.int64)
