"""How many different elements of a parameter some of its uses keep."""

from functools import cached_property
from itertools import pairwise

import numpy as np

from netgraph.bits import n_words, unpack_rows
from netgraph.connection import Connection, ElementIndex
from netgraph.graph import NetGraph
from netgraph.reach import Sweep, sweep

__all__ = ["ElementCounts"]

BLOCK = 1 << 20
"""About how many elements are looked at together where uses share some."""


class ElementCounts:
    """Counts different elements over uses of one parameter, given by their places in ``graph.weighted``.

    Uses that plainly share no element are counted by their bits; the others mark the elements they keep.

    Parameters
    ----------
    graph : NetGraph
    found : Sweep, optional
        ``sweep(graph)``, if it is at hand; else it is made when consistent elements are asked for.
    """

    def __init__(self, graph: NetGraph, found: Sweep | None = None) -> None:
        self.graph = graph
        self._given = found

    @cached_property
    def uses(self) -> dict[str, list[int]]:
        """Places of the uses of each parameter."""
        uses: dict[str, list[int]] = {name: [] for name in self.graph.parameters}
        for position, c in enumerate(self.graph.weighted):
            uses.setdefault(c.parameter, []).append(position)
        return uses

    @cached_property
    def entering(self) -> dict[str, list[list[int]]]:
        """Places of the uses that enter each layer, one list a parameter."""
        entering: dict[str, dict[str, list[int]]] = {name: {} for name in self.graph.layers}
        for position, c in enumerate(self.graph.weighted):
            entering[c.target].setdefault(c.parameter, []).append(position)
        return {name: list(uses.values()) for name, uses in entering.items()}

    def all(self, positions: list[int]) -> int:
        """Return how many elements the uses have."""
        connections = self._connections(positions)
        if _disjoint(connections):
            return sum(c.size for c in connections)
        return _distinct([c.elements().reshape(-1) for c in connections])

    def kept(self, positions: list[int]) -> int:
        """Return how many elements any of the uses keeps."""
        if _disjoint(self._connections(positions)):
            return sum(int(np.bitwise_count(self.graph.words(i)).sum()) for i in positions)
        return _distinct_kept(self.graph, positions)

    def consistent(self, positions: list[int]) -> int:
        """Return how many elements are consistent in any of the uses."""
        if _disjoint(self._connections(positions)):
            return int(self._found.consistent[positions].sum())
        return _distinct_kept(self.graph, positions, self._found)

    @cached_property
    def _found(self) -> Sweep:
        return sweep(self.graph) if self._given is None else self._given

    def _connections(self, positions: list[int]) -> list[Connection]:
        return [self.graph.weighted[i] for i in positions]


def _distinct_kept(graph: NetGraph, positions: list[int], found: Sweep | None = None) -> int:
    """Return how many elements any of some uses of a parameter keeps; with a sweep, only those that are consistent."""
    connections = [graph.weighted[i] for i in positions]
    marked = np.zeros(graph.parameters[connections[0].parameter].size, dtype=bool)
    for position, c in zip(positions, connections, strict=True):
        step = -(-max(BLOCK // max(c.width, 1), 1) // 64) * 64
        for start in range(0, c.rows, step):
            rows = slice(start, min(start + step, c.rows))
            kept = _kept_rows(graph.words(position), c, rows)
            if found is not None:
                kept &= _consistent_ends(graph, c, rows, found)
            _mark(marked, c, rows, kept)
    return int(np.count_nonzero(marked))


def _mark(marked: np.ndarray, c: Connection, rows: slice, kept: np.ndarray) -> None:
    offset = c.contiguous_offset
    if offset is None:
        marked[c.elements_of(rows.start, rows.stop)[kept]] = True
    else:
        marked[offset + rows.start * c.width : offset + rows.stop * c.width] |= kept.reshape(-1)


def _kept_rows(words: np.ndarray, c: Connection, rows: slice) -> np.ndarray:
    """Return the bits of some rows, of which the first starts a word: ndarray of bool, shape (n, columns, taps)."""
    first, last = n_words(rows.start, c.width), n_words(rows.stop, c.width)
    count = rows.stop - rows.start
    return unpack_rows(words[first:last], count, c.width).reshape(count, c.columns, c.taps)


def _consistent_ends(graph: NetGraph, c: Connection, rows: slice, found: Sweep) -> np.ndarray:
    """Return which pairs of units are accessible and co-accessible: ndarray of bool, shape (n, columns, 1)."""
    first = graph.slices[c.source].start + c.source_start
    sources = found.accessible[first : first + c.groups * c.columns].reshape(c.groups, c.columns)
    row = np.arange(rows.start, rows.stop)
    units = graph.slices[c.target].start + c.target_start + row
    passing = found.co_accessible[units] & graph.gate[units]
    return (sources[row // (c.rows // c.groups)] & passing[:, None])[:, :, None]


def _distinct(elements: list[np.ndarray]) -> int:
    """Return how many different elements there are in some arrays of flat indices."""
    marked = np.zeros(1 + max((int(part.max(initial=-1)) for part in elements), default=-1), dtype=bool)
    for part in elements:
        marked[part] = True
    return int(np.count_nonzero(marked))


def _disjoint(connections: list[Connection]) -> bool:
    """Tell whether no element has two bits, as far as offsets and strides show it; True is certain, False is not."""
    spans = [span for c in connections if c.size for span in [_span(c)]]
    if None in spans:
        return False
    ordered = sorted(span for span in spans if span is not None)
    return all(first[1] < second[0] for first, second in pairwise(ordered))


def _span(c: Connection) -> tuple[int, int] | None:
    """Return the first and last element of a connection; None unless its strides nest, each stepping over the rest."""
    if not isinstance(c.index, ElementIndex):
        return None
    sizes = (c.groups, c.rows // c.groups, c.columns, c.taps)
    reach = 0
    for stride, size in sorted(pair for pair in zip(c.index.strides, sizes, strict=True) if pair[1] > 1):
        if stride <= reach:
            return None
        reach += stride * (size - 1)
    return c.index.offset, c.index.offset + reach
