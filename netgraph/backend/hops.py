"""Numbers of hops in a graph with or without directions: how many pairs for each, or node by node as a search goes."""

import math
from collections.abc import Iterator

import numpy as np

from netgraph import native
from netgraph.backend.graph import BackendGraph

__all__ = ["hop_counts", "searches"]

TOGETHER = 512
"""Sources that are followed together."""

PLACES = 1 << 20
"""Places for nodes that searches write into together."""


def hop_counts(G: BackendGraph) -> np.ndarray:
    """Return the number of ordered pairs of nodes that are k hops apart, for each k from 0 on: ndarray of int64."""
    counts, every = np.zeros(len(G) + 1, dtype=np.int64), np.arange(len(G))
    if native.kernels is not None:  # it pulls from the neighbours it is given: those that lead to a node
        into = G.reverse
        return counts[: native.kernels.count_hops(into.offsets, into.targets, every, counts) + 1]
    for start in range(0, len(G), TOGETHER):
        sources = every[start : start + TOGETHER]
        met = [int(np.bitwise_count(rows).sum()) for rows in _reached(G, sources)]
        counts[: len(met)] += np.diff(met, prepend=0)
    return np.trim_zeros(counts, "b")


def searches(
    G: BackendGraph, sources: np.ndarray, cutoff: float | None = None
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield for each source the nodes that a breadth-first search meets, in the order of networkx, and their hops."""
    most = len(G) if cutoff is None or cutoff >= len(G) else math.ceil(cutoff) if cutoff > 0 else 0
    if native.kernels is None:
        yield from (_search(G, source, most) for source in sources.tolist())
        return
    together = max(1, PLACES // max(1, len(G)))
    for start in range(0, len(sources), together):
        now = sources[start : start + together]
        order, hops = (np.empty((len(now), len(G)), dtype=np.int32) for _ in range(2))
        met = np.empty(len(now), dtype=np.int64)
        native.kernels.breadth_first(G.offsets, G.targets, now, most, order, hops, met)
        yield from ((order[i, :count], hops[i, :count]) for i, count in enumerate(met.tolist()))


def _search(G: BackendGraph, source: int, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the nodes and hops of one search in numpy: fallback and oracle of `breadth_first`."""
    met = np.zeros(len(G), dtype=bool)
    met[source] = True
    layers = [np.array([source])]
    while layers[-1].size and len(layers) <= most:
        front = layers[-1]
        counts = G.offsets[front + 1] - G.offsets[front]
        place = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        found = G.targets[np.repeat(G.offsets[front], counts) + place]
        fresh = found[~met[found]]
        first = np.unique(fresh, return_index=True)[1]
        layers.append(fresh[np.sort(first)])
        met[layers[-1]] = True
    return np.concatenate(layers), np.repeat(np.arange(len(layers)), [layer.size for layer in layers])


def _reached(G: BackendGraph, sources: np.ndarray) -> Iterator[np.ndarray]:
    """Yield which sources have reached each node after 0, 1, 2 ... hops, bits of uint64 words, as long as it grows."""
    into = G.reverse
    some = np.flatnonzero(np.diff(into.offsets))
    rows = np.zeros((len(G), -(-sources.size // 64)), dtype=np.uint64)
    bit = np.arange(sources.size)
    rows[sources, bit // 64] = np.uint64(1) << (bit % 64).astype(np.uint64)
    while True:
        yield rows
        further = rows.copy()
        if some.size:
            further[some] |= np.bitwise_or.reduceat(rows[into.targets], into.offsets[some], axis=0)
        if np.array_equal(further, rows):
            return
        rows = further
