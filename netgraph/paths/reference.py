"""Breadth-first search from many nodes at once in numpy: one bit a source, packed into words.

The compiled kernels `count_hops` and `write_hops` do the same; this is their fallback and their oracle.
"""

from collections.abc import Iterator

import numpy as np

from netgraph.node_graph import NodeGraph

__all__ = ["bits_of", "count_hops", "frontiers", "joined", "path_lengths", "reached"]

TOGETHER = 512
"""Sources of one search: wide enough for numpy to be busy, narrow enough to stay in the cache."""


def count_hops(graph: NodeGraph, sources: np.ndarray) -> np.ndarray:
    """Return how many pairs of a source and a node are k hops apart, for each k that occurs."""
    counts = np.zeros(graph.n_nodes + 1, dtype=np.int64)
    for start in range(0, len(sources), TOGETHER):
        batch = sources[start : start + TOGETHER]
        steps = [int(np.bitwise_count(rows).sum()) for rows in reached(graph, batch)]
        counts[: len(steps)] += np.diff(steps, prepend=0)
    return np.trim_zeros(counts, "b")


def path_lengths(graph: NodeGraph) -> np.ndarray:
    """Return the hops between every two nodes, -1 where no path joins them: ndarray of int32, (n_nodes, n_nodes)."""
    lengths = np.zeros((graph.n_nodes, graph.n_nodes), dtype=np.int32)
    for start in range(0, graph.n_nodes, TOGETHER):
        sources = np.arange(start, min(start + TOGETHER, graph.n_nodes))
        part = lengths[:, start : start + len(sources)]
        missing = np.zeros(part.shape, dtype=bool)
        for rows in reached(graph, sources):
            missing = bits_of(rows, len(sources)) == 0
            part += missing
        part[missing] = -1
    return lengths


def reached(graph: NodeGraph, sources: np.ndarray) -> Iterator[np.ndarray]:
    """Yield who has reached each node after 0, 1, 2 ... hops, as long as it grows.

    Parameters
    ----------
    graph : NodeGraph
    sources : ndarray of int, shape (n_sources,)

    Yields
    ------
    ndarray of uint64, shape (n_nodes, ceil(n_sources / 64))
        Bit i of a row: source i.
    """
    rows = _start(graph, sources)
    while True:
        yield rows
        further = rows | joined(graph, rows)
        if np.array_equal(further, rows):
            return
        rows = further


def frontiers(graph: NodeGraph, sources: np.ndarray) -> Iterator[np.ndarray]:
    """Yield who is at each node after walks of exactly 0, 1, 2 ... edges, without end; shapes as in `reached`."""
    rows = _start(graph, sources)
    while True:
        yield rows
        rows = joined(graph, rows)


def joined(graph: NodeGraph, rows: np.ndarray) -> np.ndarray:
    """Return for each node the OR of the rows of its neighbours."""
    found = np.zeros_like(rows)
    some = np.flatnonzero(graph.degrees)
    if some.size:
        found[some] = np.bitwise_or.reduceat(rows[graph.targets], graph.offsets[some], axis=0)
    return found


def bits_of(rows: np.ndarray, count: int) -> np.ndarray:
    """Return the first `count` bits of each row, a byte each: ndarray of uint8, shape (n_rows, count)."""
    little = rows.astype("<u8", copy=False).view(np.uint8)
    return np.unpackbits(little, axis=1, count=count, bitorder="little")


def _start(graph: NodeGraph, sources: np.ndarray) -> np.ndarray:
    rows = np.zeros((graph.n_nodes, -(-len(sources) // 64)), dtype=np.uint64)
    bit = np.arange(len(sources))
    np.bitwise_or.at(rows, (sources, bit // 64), np.uint64(1) << (bit % 64).astype(np.uint64))
    return rows
