"""Numbers of hops in a graph with or without directions: from one node, or from many at once, one bit a source."""

from collections.abc import Iterator

import numpy as np

from netgraph import native
from netgraph.backend.graph import BackendGraph

__all__ = ["TOGETHER", "hop_counts", "hops", "hops_from"]

TOGETHER = 512
"""Sources that are followed together."""


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


def hops(G: BackendGraph, sources: np.ndarray, cutoff: float | None) -> np.ndarray:
    """Return the hops from each source to each node, -1 without a path or beyond the cutoff: (n_sources, n_nodes)."""
    lengths = np.full((len(G), sources.size), -1, dtype=np.int32)
    for step, rows in enumerate(_reached(G, sources)):
        if cutoff is not None and step > max(cutoff, 0):
            break
        little = rows.astype("<u8", copy=False).view(np.uint8)
        met = np.unpackbits(little, axis=1, count=sources.size, bitorder="little").astype(bool)
        lengths[met & (lengths < 0)] = step
    return lengths.T


def hops_from(G: BackendGraph, source: int, cutoff: float | None) -> np.ndarray:
    """Return the hops from one node to each node, -1 without a path or beyond the cutoff: shape (n_nodes,)."""
    lengths = np.full(len(G), -1, dtype=np.int32)
    lengths[source] = step = 0
    frontier = np.array([source])
    while frontier.size and (cutoff is None or step < cutoff):
        step += 1
        counts = G.offsets[frontier + 1] - G.offsets[frontier]
        place = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        found = np.unique(G.targets[np.repeat(G.offsets[frontier], counts) + place])
        frontier = found[lengths[found] < 0]
        lengths[frontier] = step
    return lengths


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
