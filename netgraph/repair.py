"""The least change that joins an input to an output again: the fewest removed weights, by shortest paths.

A way from an input to an output may use a kept weight or wiring at no cost, and a removed weight at the cost of one.
Like a change it does not pass a masked gate, nor a product of which another factor is zero. Of the ways that cost least
the one is taken whose lowest score of a returned weight is highest.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from netgraph.connection import Connection, Wiring
from netgraph.describe import some_names
from netgraph.graph import NetGraph
from netgraph.reach import sweep
from netgraph.walks import passing_targets

__all__ = ["Repair", "least_repair"]

FAR = np.iinfo(np.int32).max // 2
"""More weights than any way needs: not reached."""


@dataclass(frozen=True, slots=True, eq=False)
class Repair:
    """Which removed weights to put back, so that some output changes with some input.

    Parameters
    ----------
    elements : mapping of str to ndarray of int64
        Flat indexes of the elements to put back, by parameter; empty where a way exists already.
    path : tuple of int
        Units of the way, from an input to an output.
    lowest : float or None
        Lowest score of an element to put back; None if there is none or there were no scores.
    """

    elements: Mapping[str, np.ndarray]
    path: tuple[int, ...]
    lowest: float | None = None

    @property
    def size(self) -> int:
        """Number of elements to put back."""
        return sum(flat.size for flat in self.elements.values())


def least_repair(graph: NetGraph, scores: Mapping[str, np.ndarray] | None = None) -> Repair | None:
    """Return the fewest removed weights whose return joins an input to an output; of equally few the best scored.

    Everything else stays as it is: masked gates stay closed, and a product with another factor that is zero is not
    passed, even where weights could make that factor nonzero. So in a graph with such products there may be a smaller
    change than the one found, or one where none is found.

    Parameters
    ----------
    graph : NetGraph
    scores : mapping of str to ndarray, optional
        Shape of the parameter, higher = rather put back; without NaN. Only elements of these parameters can be put
        back. All elements alike if not given.

    Returns
    -------
    Repair or None
        None if no removed weights open a way.

    Raises
    ------
    KeyError
        A name has no connection in the graph.
    ValueError
        Scores have another shape than their parameter.

    Notes
    -----
    A way that uses one element of a shared parameter twice counts it twice. Time is linear in the number of weights,
    kept or not, times the number of rounds that a cyclic graph needs.

    Examples
    --------
    Unit 3 has a way to the output, unit 2 has none:

    >>> import netgraph as ng
    >>> graph = ng.from_biadjacency([[[0, 0], [0, 0]], [[0, 1]]])
    >>> found = least_repair(graph, {"weight1": np.array([[9.0, 9.0], [1.0, 2.0]]), "weight2": np.ones((1, 2))})
    >>> {name: flat.tolist() for name, flat in found.elements.items()}, found.path, found.lowest
    ({'weight1': [3]}, (1, 3, 4), 2.0)
    """
    chosen, ways = _checked(graph, scores), _Ways.from_inputs(graph)
    steps: dict[str, list[_Step]] = {name: [] for name in graph.layers}
    position = {id(c): i for i, c in enumerate(graph.weighted)}
    for c, passing in passing_targets(graph, sweep(graph).nonzero):
        steps[c.target].append(_Step(graph, c, position.get(id(c), -1), passing, chosen.get(c.parameter or "")))
    in_order = [step for name in graph.layers for step in steps[name]]
    while sum(ways.take(step) for step in in_order) and graph.is_cyclic:
        pass
    return ways.best(scores or {})


def _checked(graph: NetGraph, scores: Mapping[str, np.ndarray] | None) -> dict[str, np.ndarray]:
    """Return finite scores of every element that can be put back, flat."""
    if scores is None:
        return {name: np.zeros(graph.parameters[name].size, np.float32) for name in graph.edge_parameters}
    for name, score in scores.items():
        if not graph.uses(name):
            raise KeyError(f"scores for {name!r}: no connection uses it; the graph has {some_names(graph.parameters)}")
        if np.shape(score) != graph.parameters[name].shape:
            raise ValueError(
                f"scores for {name!r}: expected shape {graph.parameters[name].shape}, got {np.shape(score)}"
            )
        if np.isnan(score).any():
            raise ValueError(f"scores for {name!r}: {np.isnan(score).sum()} are NaN, so they have no order")
    return {name: np.nan_to_num(score, posinf=None, neginf=None).reshape(-1) for name, score in scores.items()}


@dataclass(frozen=True, slots=True, eq=False)
class _Offers:
    """Ways that go on from some units to others by one edge."""

    sources: np.ndarray
    targets: np.ndarray
    lowest: np.ndarray
    elements: np.ndarray | None = None


@dataclass(frozen=True, slots=True, eq=False)
class _Step:
    """The edges of one connection that a way may take."""

    graph: NetGraph
    c: Connection | Wiring
    position: int
    passing: np.ndarray
    scores: np.ndarray | None

    def offers(self, count: np.ndarray, lowest: np.ndarray) -> Iterator[_Offers]:
        """Yield the best way to each target by a kept weight (or wiring), and by one that is put back."""
        if isinstance(self.c, Wiring):
            yield self._by_wire(self.c, count, lowest)
        elif self.c.size:
            shape = (self.c.groups, 1, self.c.columns)
            first, n = self._starts[0], self.c.groups * self.c.columns
            counts, lows = (values[first : first + n].reshape(shape) for values in (count, lowest))
            yield self._by_kept(self.c, counts, lows)
            if self.scores is not None:
                yield self._by_returned(self.c, counts, lows, self.scores)

    @property
    def _starts(self) -> tuple[int, int]:
        slices, c = self.graph.slices, self.c
        return slices[c.source].start + c.source_start, slices[c.target].start + c.target_start

    def _by_wire(self, c: Wiring, count: np.ndarray, lowest: np.ndarray) -> _Offers:
        first, shape = self.graph.slices[c.source].start, (c.groups, c.fan_in)
        if c.pairs is not None or 0 in shape:
            sources, targets = c.edges()
            return _Offers(sources + first, targets + self.graph.slices[c.target].start, lowest[sources + first])
        units = first + c.source_start + np.arange(c.groups * c.fan_in).reshape(shape)
        fewest = count[units] == count[units].min(axis=1, keepdims=True)
        best = np.where(fewest, lowest[units], -np.inf).argmax(axis=1)
        sources = np.repeat(units[np.arange(c.groups), best], c.fan_out)
        start = self.graph.slices[c.target].start + c.target_start
        return _Offers(sources, start + np.arange(sources.size), lowest[sources])

    def _by_kept(self, c: Connection, counts: np.ndarray, lows: np.ndarray) -> _Offers:
        joined = self.graph.kept(self.position).any(axis=2).reshape(c.groups, c.rows // c.groups, c.columns)
        fewest = np.where(joined, counts, FAR).min(axis=2, keepdims=True)
        low = np.where(joined & (counts == fewest), lows, -np.inf)
        column = low.argmax(axis=2).reshape(-1)
        reached = np.flatnonzero(fewest.reshape(-1) < FAR)
        return self._offer(c, reached, column[reached], low.max(axis=2).reshape(-1)[reached])

    def _by_returned(self, c: Connection, counts: np.ndarray, lows: np.ndarray, scores: np.ndarray) -> _Offers:
        """One more weight from the sources that need fewest; where one of its taps is kept, `_by_kept` needs less."""
        offset = c.contiguous_offset
        own = scores[c.elements()] if offset is None else scores[offset : offset + c.size]
        own = own.reshape(c.groups, c.rows // c.groups, c.columns, c.taps)
        low = np.where(counts == counts.min(axis=2, keepdims=True), np.minimum(own.max(axis=3), lows), -np.inf)
        column = low.argmax(axis=2).reshape(-1)
        row = np.arange(c.rows)
        tap = own.reshape(c.rows, c.columns, c.taps)[row, column].argmax(axis=1)
        return self._offer(c, row, column, low.max(axis=2).reshape(-1), _element(c, row, column, tap))

    def _offer(
        self, c: Connection, row: np.ndarray, column: np.ndarray, low: np.ndarray, elements: np.ndarray | None = None
    ) -> _Offers:
        source = row // max(c.rows // c.groups, 1) * c.columns + column
        return _Offers(source + self._starts[0], row + self._starts[1], low, elements)


def _element(c: Connection, row: np.ndarray, column: np.ndarray, tap: np.ndarray) -> np.ndarray:
    """Return the flat index of single elements of the parameter."""
    if isinstance(c.index, np.ndarray):
        return c.index[row, column, tap].astype(np.int64)
    per_group, (group, local, step, last) = max(c.rows // c.groups, 1), c.index.strides
    return c.index.offset + row // per_group * group + row % per_group * local + column * step + tap * last


@dataclass(frozen=True, slots=True, eq=False)
class _Ways:
    """The best way from an input to each unit that is known so far.

    `count` elements are put back on it, the worst of them scored `lowest`; the last edge comes from unit `before` and
    puts back `element` of weighted connection `used`, or nothing (-1).
    """

    graph: NetGraph
    count: np.ndarray
    lowest: np.ndarray
    before: np.ndarray
    used: np.ndarray
    element: np.ndarray

    @classmethod
    def from_inputs(cls, graph: NetGraph) -> "_Ways":
        n = graph.n_units
        count, lowest = np.full(n, FAR, dtype=np.int32), np.full(n, -np.inf)
        count[graph.inputs], lowest[graph.inputs] = 0, np.inf
        return cls(graph, count, lowest, *(np.full(n, -1, dtype=np.int64) for _ in range(3)))

    def take(self, step: _Step) -> bool:
        """Take over the ways that one connection offers where they are better; return whether any is."""
        return sum(self._take(step, offers) for offers in step.offers(self.count, self.lowest)) > 0

    def _take(self, step: _Step, offers: _Offers) -> bool:
        more = 0 if offers.elements is None else 1
        count = self.count[offers.sources] + more
        old, old_low = self.count[offers.targets], self.lowest[offers.targets]
        better = (count < old) | ((count == old) & (offers.lowest > old_low))
        chosen = np.flatnonzero(better & step.passing[offers.targets] & (count < FAR))
        order = chosen[np.lexsort((-offers.lowest[chosen], count[chosen]))]
        targets, first = np.unique(offers.targets[order], return_index=True)
        place = order[first]
        self.count[targets], self.lowest[targets] = count[place], offers.lowest[place]
        self.before[targets], self.used[targets] = offers.sources[place], step.position if more else -1
        self.element[targets] = -1 if offers.elements is None else offers.elements[place]
        return targets.size > 0

    def best(self, scores: Mapping[str, np.ndarray]) -> Repair | None:
        """Return the repair by the best way to an output."""
        outputs = self.graph.outputs[self.count[self.graph.outputs] < FAR]
        if not outputs.size:
            return None
        path = [int(outputs[np.lexsort((-self.lowest[outputs], self.count[outputs]))[0]])]
        elements: dict[str, list[int]] = {}
        while (unit := path[-1]) >= 0:
            if self.used[unit] >= 0:
                name = self.graph.weighted[self.used[unit]].parameter
                elements.setdefault(name, []).append(int(self.element[unit]))
            path.append(int(self.before[unit]))
        returned = {name: np.unique(elements[name]) for name in reversed(elements)}
        worst = [float(np.ravel(scores[name])[flat].min()) for name, flat in returned.items() if name in scores]
        return Repair(returned, tuple(path[-2::-1]), min(worst, default=None))
