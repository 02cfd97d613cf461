"""Hops between units in numpy, over all edges and wiring one by one: fallback and oracle of the kernels for units."""

from collections.abc import Iterator

import numpy as np
from scipy.sparse import csr_array

from netgraph.convert.explode import exploded
from netgraph.graph import NetGraph
from netgraph.paths.reference import TOGETHER

__all__ = ["count_each_unit_hops", "count_unit_hops"]


def count_unit_hops(graph: NetGraph, sources: np.ndarray, wanted: np.ndarray, *, undirected: bool) -> np.ndarray:
    """Return how many pairs of a source and another, wanted unit are k hops apart, for each k up to the largest.

    Parameters
    ----------
    graph : NetGraph
    sources : ndarray of int64
        Unit ids, each once.
    wanted : ndarray of bool, shape (n_units,)
    undirected : bool

    Returns
    -------
    ndarray of int64
    """
    counts = np.zeros(graph.n_units + 1, dtype=np.int64)
    counts[0] -= int(wanted[sources].sum())
    for _, hops, front in _fronts(graph, sources, undirected):
        counts[hops] += int(front[wanted].sum())
    return counts[: int(counts.nonzero()[0].max(initial=0)) + 1]


def count_each_unit_hops(
    graph: NetGraph, sources: np.ndarray, wanted: np.ndarray, *, undirected: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Return for each source the hops to the other, wanted units that it reaches, in all, and how many these are.

    Parameters and shapes are those of `count_unit_hops`.

    Returns
    -------
    hops, pairs : ndarray of int64, shape (n_sources,)
    """
    total, pairs = np.zeros(len(sources), dtype=np.int64), -wanted[sources].astype(np.int64)
    for start, hops, front in _fronts(graph, sources, undirected):
        came = front[wanted].sum(axis=0)
        pairs[start : start + len(came)] += came
        total[start : start + len(came)] += hops * came
    return total, pairs


def _fronts(graph: NetGraph, sources: np.ndarray, undirected: bool) -> Iterator[tuple[int, int, np.ndarray]]:
    """Yield the place of the first source of a batch, hops, and which source comes to which unit with these."""
    edges = _matrix(graph, undirected, weighted=True)
    wires = _matrix(graph, undirected, weighted=False)
    for start in range(0, len(sources), TOGETHER):
        batch = sources[start : start + TOGETHER]
        front = np.zeros((graph.n_units, len(batch)), dtype=bool)
        front[batch, np.arange(len(batch))] = True
        seen = np.zeros_like(front)
        hops = 0
        while front.any():
            front = _closure(wires, front, seen)
            seen |= front
            yield start, hops, front
            front = _across(edges, front) & ~seen
            hops += 1


def _matrix(graph: NetGraph, undirected: bool, *, weighted: bool) -> csr_array:
    """Return one row a target, one column a source, for all weighted or all fixed edges."""
    parts = [(s, t) for c, s, t, _ in exploded(graph) if (c.parameter is not None) == weighted]
    none = np.zeros(0, dtype=np.int64)
    sources = np.concatenate([none, *(s for s, _ in parts)])
    targets = np.concatenate([none, *(t for _, t in parts)])
    if undirected:
        sources, targets = np.concatenate([sources, targets]), np.concatenate([targets, sources])
    shape = (graph.n_units, graph.n_units)
    return csr_array((np.ones(len(sources), dtype=np.float32), (targets, sources)), shape=shape)


def _across(edges: csr_array, front: np.ndarray) -> np.ndarray:
    return (edges @ front.astype(np.float32)) > 0


def _closure(wires: csr_array, front: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Return the front and all that wiring brings it to."""
    if not wires.nnz:
        return front
    while True:
        further = front | (_across(wires, front) & ~seen)
        if np.array_equal(further, front):
            return front
        front = further
