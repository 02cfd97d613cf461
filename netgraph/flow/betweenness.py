"""Edge betweenness: how many shortest paths run through each edge, by Brandes' method for 64 sources at once.

References
----------
Brandes, "A faster algorithm for betweenness centrality", Journal of Mathematical Sociology 25 (2001), here in
topological order, so that wiring may have length 0.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from netgraph import native
from netgraph.flow.edges import Units, passing_edges, unit_ids
from netgraph.flow.passes import check_acyclic
from netgraph.graph import NetGraph

__all__ = ["BATCH", "ShortestEdges", "accumulate", "edge_betweenness"]

BATCH = 64
"""Sources that are followed together."""

FAR = np.int32(2**30)
"""Length of no path."""


@dataclass(frozen=True, slots=True, eq=False)
class ShortestEdges:
    """Edges sorted by target unit.

    Parameters
    ----------
    sources, targets : ndarray of int32, shape (n_edges,)
    hops : ndarray of int32, shape (n_edges,)
        1, or 0 for wiring.
    starts : ndarray of int64, shape (n_units + 1,)
        The edges into unit u are ``starts[u]`` to ``starts[u + 1]``.
    layer_ends : ndarray of int64, shape (n_layers + 1,)
        First unit of each layer, then the number of units. No edge stays inside a layer.
    """

    sources: np.ndarray
    targets: np.ndarray
    hops: np.ndarray
    starts: np.ndarray
    layer_ends: np.ndarray


def edge_betweenness(graph: NetGraph, *, sources: Units = None, targets: Units = None) -> np.ndarray:
    """Return, for each edge, the sum over pairs of units of the share of their shortest paths that use it.

    A path runs along edges that pass a change on. Its length is the number of weighted edges; wiring has length 0.
    Pairs without a path add nothing.

    Parameters
    ----------
    graph : NetGraph
    sources, targets : str or array_like of int, optional
        The name of a layer or unit ids: only pairs of these count. All units if not given.

    Returns
    -------
    ndarray of float64, shape (n_edges,)
        In the order of ``graph.edges()``.

    Raises
    ------
    GraphStructureError
        The graph has cycles.
    KeyError
        A layer is unknown.
    ValueError
        A number is not a unit.

    Examples
    --------
    >>> import netgraph as ng
    >>> graph = ng.from_biadjacency([[[1, 1], [0, 1]], [[1, 1]]])
    >>> edge_betweenness(graph).tolist(), edge_betweenness(graph, sources="layer0", targets="layer2").tolist()
    ([2.0, 1.5, 1.5, 2.5, 1.5], [1.0, 0.5, 0.5, 1.5, 0.5])
    """
    check_acyclic(graph)
    every = np.arange(graph.n_units)
    start = unit_ids(graph, "sources", sources, every)
    wanted = np.zeros(graph.n_units, dtype=bool)
    wanted[unit_ids(graph, "targets", targets, every)] = True
    edges, place = _sorted_edges(graph)
    found = np.zeros(edges.sources.size)
    if native.kernels is not None:
        native.kernels.betweenness(edges.starts, edges.sources, edges.hops, start, wanted, found)
    else:
        for first in range(0, start.size, BATCH):
            accumulate(edges, start[first : first + BATCH], wanted, found)
    return np.append(found, 0.0)[place]


def _sorted_edges(graph: NetGraph) -> tuple[ShortestEdges, np.ndarray]:
    """Return the edges, and for each one of ``graph.edges()`` its place among them, or -1 if it passes nothing on."""
    sources, targets, hops, weighted = ([np.zeros(0, dtype=np.int64)] for _ in range(4))
    for c, source, target, passing in passing_edges(graph):
        sources.append(source[passing])
        targets.append(target[passing])
        hops.append(np.full(sources[-1].size, int(c.parameter is not None)))
        if c.parameter is not None:
            weighted.append(passing)
    source, target, hop = (np.concatenate(parts) for parts in (sources, targets, hops))
    order = np.argsort(target, kind="stable")
    place = np.full(sum(map(len, weighted)), -1)
    rank = np.empty(order.size, dtype=np.int64)
    rank[order] = np.arange(order.size)
    place[np.concatenate(weighted).astype(bool)] = rank[hop == 1]
    return (
        ShortestEdges(
            source[order].astype(np.int32),
            target[order].astype(np.int32),
            hop[order].astype(np.int32),
            np.searchsorted(target[order], np.arange(graph.n_units + 1)),
            np.cumsum([0, *graph.layers.values()]),
        ),
        place,
    )


def accumulate(edges: ShortestEdges, sources: np.ndarray, wanted: np.ndarray, found: np.ndarray) -> None:
    """Add to `found` the betweenness of each edge from up to 64 sources.

    Parameters
    ----------
    edges : ShortestEdges
    sources : ndarray of int64
        Rising.
    wanted : ndarray of bool, shape (n_units,)
        Which units are targets.
    found : ndarray of float64, shape (n_edges,)
        Changed in place.
    """
    n_units = wanted.size
    lengths = np.full((n_units, sources.size), FAR, dtype=np.int32)
    paths, through = np.zeros((2, n_units, sources.size))
    lengths[sources, np.arange(sources.size)] = 0
    paths[sources, np.arange(sources.size)] = 1
    blocks = list(_blocks(edges, int(sources[0])))
    for block in blocks:
        _reach(edges, block, lengths, paths)
    for block in reversed(blocks):
        source, target = edges.sources[block], edges.targets[block]
        tight = _tight(edges, block, lengths)
        with np.errstate(invalid="ignore", divide="ignore"):
            shares = np.where(tight, paths[source] / paths[target], 0.0) * (through[target] + wanted[target, None])
        np.add.at(through, source, shares)
        found[block] += shares.sum(axis=1)


def _blocks(edges: ShortestEdges, first_source: int) -> Iterator[slice]:
    """Yield the edges into each layer behind that of the first source, in topological order."""
    for a, b in zip(edges.layer_ends[:-1], edges.layer_ends[1:], strict=True):
        block = slice(int(edges.starts[a]), int(edges.starts[b]))
        if a > first_source and block.stop > block.start:
            yield block


def _tight(edges: ShortestEdges, block: slice, lengths: np.ndarray) -> np.ndarray:
    """Return which edges lie on a shortest path from each source: bool, shape (n_edges, n_sources)."""
    over = lengths[edges.sources[block]] + edges.hops[block, None]
    return (over == lengths[edges.targets[block]]) & (over < FAR)


def _reach(edges: ShortestEdges, block: slice, lengths: np.ndarray, paths: np.ndarray) -> None:
    """Set lengths and numbers of shortest paths of the units that the edges of a block lead to."""
    target = edges.targets[block]
    firsts = np.flatnonzero(np.diff(target, prepend=-1))
    over = lengths[edges.sources[block]] + edges.hops[block, None]
    units = target[firsts]
    lengths[units] = np.minimum(lengths[units], np.minimum.reduceat(over, firsts, axis=0))
    tight = _tight(edges, block, lengths)
    paths[units] += np.add.reduceat(np.where(tight, paths[edges.sources[block]], 0.0), firsts, axis=0)
