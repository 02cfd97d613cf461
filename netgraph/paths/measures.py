"""Path lengths of a node graph: their mean, the largest, how they are spread, and every one of them."""

from typing import TYPE_CHECKING

import numpy as np

from netgraph import native
from netgraph.node_graph import NodeGraph
from netgraph.paths import reference

if TYPE_CHECKING:
    from netgraph import _native
else:
    _native = native.kernels

__all__ = [
    "average_shortest_path_length",
    "diameter",
    "distance_histogram",
    "hop_counts",
    "reachable_fraction",
    "shortest_path_lengths",
    "total_hops",
]


def average_shortest_path_length(graph: NodeGraph) -> float:
    """Return the mean number of hops over ordered pairs of nodes that a path joins: at least 1, or nan without a pair.

    Pairs that no path joins are left out, so that a graph that falls apart can seem short: look at
    `reachable_fraction` beside it.

    Parameters
    ----------
    graph : NodeGraph

    Returns
    -------
    float

    Examples
    --------
    A ring of five nodes: each has two neighbours and two nodes two hops away.

    >>> ring = NodeGraph.from_edges(5, [(0, 1), (1, 2), (2, 3), (3, 4), (4, 0)])
    >>> average_shortest_path_length(ring)
    1.5
    """
    counts = distance_histogram(graph)
    pairs = int(counts[1:].sum())
    return total_hops(counts) / pairs if pairs else float("nan")


def reachable_fraction(graph: NodeGraph) -> float:
    """Return the share of ordered pairs of different nodes that a path joins: in [0, 1], 1.0 for a connected graph.

    Parameters
    ----------
    graph : NodeGraph

    Returns
    -------
    float
        1.0 for a graph of fewer than two nodes.

    Examples
    --------
    >>> reachable_fraction(NodeGraph.from_edges(4, [(0, 1), (2, 3)]))
    0.3333333333333333
    """
    pairs = graph.n_nodes * (graph.n_nodes - 1)
    return int(distance_histogram(graph)[1:].sum()) / pairs if pairs else 1.0


def diameter(graph: NodeGraph) -> int:
    """Return the largest number of hops between two nodes that a path joins; 0 if no path joins any.

    Parameters
    ----------
    graph : NodeGraph

    Returns
    -------
    int

    Examples
    --------
    >>> diameter(NodeGraph.from_edges(4, [(0, 1), (1, 2), (2, 3)]))
    3
    """
    return len(distance_histogram(graph)) - 1


def distance_histogram(graph: NodeGraph) -> np.ndarray:
    """Return the number of ordered pairs of nodes that are k hops apart, for each k from 0 to the diameter.

    Entry 0 counts the nodes themselves. Pairs that no path joins are in no entry. Costs about (d + 1) n^2 D / 64 word
    operations in n nodes, degree d and diameter D.

    Parameters
    ----------
    graph : NodeGraph

    Returns
    -------
    ndarray of int64, shape (diameter + 1,)

    Examples
    --------
    >>> distance_histogram(NodeGraph.from_edges(4, [(0, 1), (1, 2), (2, 3)])).tolist()
    [4, 6, 4, 2]
    """
    return hop_counts(graph, np.arange(graph.n_nodes))


def hop_counts(graph: NodeGraph, sources: np.ndarray) -> np.ndarray:
    """Return the number of pairs of a source and a node that are k hops apart, for each k that occurs.

    Parameters
    ----------
    graph : NodeGraph
    sources : ndarray of int, shape (n_sources,)

    Returns
    -------
    ndarray of int64, shape (largest distance + 1,)

    Examples
    --------
    >>> hop_counts(NodeGraph.from_edges(4, [(0, 1), (1, 2), (2, 3)]), np.array([0])).tolist()
    [1, 1, 1, 1]
    """
    if native.kernels is None:
        return reference.count_hops(graph, sources)
    counts = np.zeros(graph.n_nodes + 1, dtype=np.int64)
    most = _native.count_hops(graph.offsets, graph.targets, sources.astype(np.int64), counts)
    return counts[: most + 1]


def total_hops(counts: np.ndarray) -> int:
    """Return the sum of hops over all pairs that a histogram counts.

    Parameters
    ----------
    counts : ndarray of int64, shape (largest distance + 1,)
        As `distance_histogram` returns it.

    Returns
    -------
    int

    Examples
    --------
    >>> total_hops(np.array([4, 6, 4, 2]))
    20
    """
    return int(counts @ np.arange(counts.size))


def shortest_path_lengths(graph: NodeGraph) -> np.ndarray:
    """Return the number of hops between every two nodes, -1 where no path joins them.

    Parameters
    ----------
    graph : NodeGraph

    Returns
    -------
    ndarray of int32, shape (n_nodes, n_nodes)
        Symmetric, 0 on the diagonal.

    Examples
    --------
    >>> shortest_path_lengths(NodeGraph.from_edges(4, [(0, 1), (1, 2)])).tolist()
    [[0, 1, 2, -1], [1, 0, 1, -1], [2, 1, 0, -1], [-1, -1, -1, 0]]
    """
    if native.kernels is None:
        return reference.path_lengths(graph)
    lengths = np.empty((graph.n_nodes, graph.n_nodes), dtype=np.int32)
    _native.write_hops(graph.offsets, graph.targets, np.arange(graph.n_nodes), lengths)
    return lengths
