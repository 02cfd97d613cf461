"""Reach kept up to date while weights are removed and come back, without a new pass for each change.

For each unit two numbers are kept: how much comes from live units, and how much leads to units that pass a change on.
Removing or adding an element moves two of them; only where one meets 0 does the change travel on. In a graph without
cycles that is exact for both directions. Everything else is recomputed: see `IncrementalReach`.
"""

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from netgraph import native, reach
from netgraph.bits import PACKED_WIDTH
from netgraph.compiled import plan_of
from netgraph.describe import some_names
from netgraph.graph import NetGraph

if TYPE_CHECKING:
    from netgraph import _native
else:
    _native = native.kernels

__all__ = ["IncrementalReach"]

SWEEP_NS, CHANGE_NS, COUNT_NS = 0.3, 20.0, 4.0
"""What a sweep costs for each word of bits, a change for each element, setting up the counts for each kept element:
orders of magnitude, measured by ``examples/bench_reach.py`` on ResNet-50 and ViT-B. Only speed depends on them."""

SWEEP_OVERHEAD_NS = 20_000.0
"""What a sweep costs whatever the size of the graph."""


class IncrementalReach:
    """Accessible and co-accessible units of a graph whose elements are removed and added.

    A batch of changes is either counted or recomputed, whichever costs less:

    - counted: about 20 ns an element, more where units die or come to life;
    - recomputed by `sweep` when a result is asked for, always so for cyclic graphs, for products of which a factor
      may become zero (a unit without a shift that is not an input), and without the compiled kernels.

    After a recomputed batch the counts are set up again only once small batches have cost as much as that would.

    Parameters
    ----------
    graph : NetGraph
        Where to start from; it is not changed.
    mode : {"auto", "count", "recompute"}
        Choose the way of every batch by hand.

    Raises
    ------
    ValueError
        The mode is unknown, or "count" where counting is not exact.

    Examples
    --------
    >>> import netgraph as ng, numpy as np
    >>> connections = [ng.Connection("w", "x", "h", 2, 1, index=ng.ElementIndex(0, (2, 1, 1, 1)))]
    >>> graph = ng.NetGraph({"x": 1, "h": 2}, connections, np.array([0b11]), [0], [1, 2])
    >>> reach = IncrementalReach(graph)
    >>> reach.delete("w", np.array([1]))
    >>> reach.accessible.tolist(), reach.n_consistent
    ([True, True, False], 1)
    >>> reach.insert("w", np.array([1]))
    >>> reach.accessible.tolist(), reach.n_consistent
    ([True, True, True], 2)
    """

    def __init__(self, graph: NetGraph, *, mode: str = "auto") -> None:
        if mode not in ("auto", "count", "recompute"):
            raise ValueError(f"mode: expected 'auto', 'count' or 'recompute', got {mode!r}")
        self._exact = native.kernels is not None and not graph.is_cyclic and _factors_stay_nonzero(graph)
        if mode == "count" and not self._exact:
            reason = "needs compiled kernels, no cycle, and products whose factors cannot become zero"
            raise ValueError(f"mode: got 'count', but counting {reason}; use 'auto'")
        self._mode = mode
        self._bits = graph.bits.copy()
        self._graph = graph.with_bits(self._bits)
        self._uses: dict[str, list[_Use]] = {}
        for position, c in enumerate(graph.weighted):
            self._uses.setdefault(c.parameter, []).append(_Use(graph, position))
        self._counters: _native.Counters | None = None
        self._found: reach.Sweep | None = None
        self._set_up_ns = COUNT_NS * int(np.bitwise_count(graph.bits).sum())
        self._lost_ns = 0.0

    def delete(self, parameter: str, elements: np.ndarray) -> None:
        """Remove elements of `parameter`: ndarray of int64, flat indexes; those removed already are left alone.

        Raises
        ------
        KeyError
            The graph has no connection of that parameter.
        IndexError
            An element lies outside of the parameter.
        """
        self._change(parameter, elements, keep=False)

    def insert(self, parameter: str, elements: np.ndarray) -> None:
        """Keep elements of `parameter`: ndarray of int64, flat indexes; those kept already are left alone.

        Raises
        ------
        KeyError
            The graph has no connection of that parameter.
        IndexError
            An element lies outside of the parameter.
        """
        self._change(parameter, elements, keep=True)

    @property
    def accessible(self) -> np.ndarray:
        """Which units are live: ndarray of bool, shape (n_units,)."""
        return self._units()[0]

    @property
    def co_accessible(self) -> np.ndarray:
        """Which units some output depends on: ndarray of bool, shape (n_units,)."""
        return self._units()[1]

    @property
    def n_consistent(self) -> int:
        """Number of consistent elements of all connections."""
        return int(self._swept().consistent.sum()) if self._counters is None else self._counters.consistent

    def graph(self) -> NetGraph:
        """Return the graph as it is now; later changes do not reach it."""
        return self._graph.with_bits(self._bits.copy())

    def _units(self) -> np.ndarray:
        if self._counters is None:
            return np.stack([self._swept().accessible, self._swept().co_accessible])
        flags = np.empty((2, self._graph.n_units), dtype=bool)
        self._counters.write(flags)
        return flags

    def _swept(self) -> reach.Sweep:
        if self._found is None:
            self._found = reach.sweep(self._graph)
        return self._found

    def _change(self, parameter: str, elements: np.ndarray, *, keep: bool) -> None:
        elements = self._checked(parameter, elements)
        counters = self._counters_for(elements.size)
        for use in self._uses[parameter]:
            places = use.places(elements)
            if counters is None:
                use.assign(self._bits, places, keep)
            else:
                counters.change(use.position, places, keep)
        self._found = None

    def _checked(self, parameter: str, elements: np.ndarray) -> np.ndarray:
        if parameter not in self._uses:
            raise KeyError(f"parameter {parameter!r}: no connection uses it; the graph has {some_names(self._uses)}")
        elements, size = np.asarray(elements), self._graph.parameters[parameter].size
        if elements.dtype.kind not in "iu":
            raise ValueError(f"elements of {parameter!r}: expected flat indexes, got dtype {elements.dtype}")
        elements = np.ascontiguousarray(elements, dtype=np.int64).reshape(-1)
        if elements.size and elements.view(np.uint64).max() >= size:  # a negative index is a large one there
            found = f"[{elements.min()}, {elements.max()}]"
            raise IndexError(f"elements of {parameter!r}: expected 0 <= index < {size}, got {found}")
        return elements

    def _counters_for(self, size: int) -> "_native.Counters | None":
        """Return the counters if a batch of that size is to be counted, or None: then they are dropped."""
        if self._worth_counting(size):
            self._counters = self._counters or self._set_up()
        else:
            self._counters = None
        return self._counters

    def _worth_counting(self, size: int) -> bool:
        if not self._exact or self._mode == "recompute":
            return False
        sweep_ns, change_ns = SWEEP_OVERHEAD_NS + SWEEP_NS * self._bits.size, CHANGE_NS * size
        if self._mode == "count" or change_ns > sweep_ns:
            return self._mode == "count"
        if self._counters is None:
            self._lost_ns += sweep_ns - change_ns
            return self._lost_ns >= self._set_up_ns
        return True

    def _set_up(self) -> "_native.Counters":
        found, self._lost_ns = self._swept(), 0.0
        plan = plan_of(self._graph).kernel_plan
        return _native.Counters(plan, self._bits, self._graph.gate, found.accessible, found.co_accessible)


class _Use:
    """One connection of a parameter: from elements of the parameter to places in the order of its bits."""

    def __init__(self, graph: NetGraph, position: int) -> None:
        self.position = position
        self.connection = graph.weighted[position]
        self.words = slice(*graph.word_starts[position : position + 2].tolist())
        self.offset = self.connection.contiguous_offset
        self.whole = self.offset == 0 and self.connection.size == graph.parameters[self.connection.parameter].size

    @cached_property
    def _ordered(self) -> tuple[np.ndarray, np.ndarray]:
        """The places in the order of their elements, and those elements."""
        elements = self.connection.elements().reshape(-1)
        order = np.argsort(elements, kind="stable")
        return order, elements[order]

    def places(self, elements: np.ndarray) -> np.ndarray:
        if self.whole:
            return elements
        if self.offset is not None:
            places = elements - self.offset
            inside = (places >= 0) & (places < self.connection.size)
            return places if inside.all() else places[inside]
        order, ordered = self._ordered
        first = np.searchsorted(ordered, elements, side="left")
        times = np.searchsorted(ordered, elements, side="right") - first
        nth = np.arange(times.sum()) - np.repeat(np.cumsum(times) - times, times)
        return order[np.repeat(first, times) + nth]

    def assign(self, bits: np.ndarray, places: np.ndarray, keep: bool) -> None:
        width = self.connection.width
        row_bits = width if width < PACKED_WIDTH else -(-width // 64) * 64
        place = places // width * row_bits + places % width
        masks = np.uint64(1) << (place % 64).astype(np.uint64)
        if keep:
            np.bitwise_or.at(bits[self.words], place // 64, masks)
        else:
            np.bitwise_and.at(bits[self.words], place // 64, ~masks)


def _factors_stay_nonzero(graph: NetGraph) -> bool:
    """Return whether no factor of a product can become zero: each is nonzero with every weight removed."""
    if not graph.products:
        return True
    nonzero = reach.sweep(graph.with_bits(np.zeros_like(graph.bits))).nonzero
    wired = (c for c in graph.wiring if c.target in graph.products)
    return all(nonzero[graph.slices[c.source].start + np.unique(c.edges()[0])].all() for c in wired)
