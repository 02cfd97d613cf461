"""Walks along the edges that pass a change on: shortest ways from a unit to an input or an output, or where they end.

An edge passes a change of its source on if it is wired or carries a kept weight, the gate of its target is open and,
where the target multiplies, no other factor is zero. A unit is live exactly if such edges lead to it from an input
unit, and co-accessible exactly if they lead from it to an output unit.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from netgraph.connection import Connection, Wiring
from netgraph.graph import NetGraph
from netgraph.reference import passing_factors

__all__ = ["Walk", "joined", "neighbours", "passing_targets", "walk_to_input", "walk_to_output"]


@dataclass(frozen=True, slots=True, eq=False)
class Walk:
    """What a walk from one unit finds.

    Parameters
    ----------
    path : tuple of int or None
        Units of a way with the fewest edges, in the direction of the edges; None if the walk comes to an end before.
    met : ndarray of bool, shape (n_units,)
        Units that the walk met, its start included; without a path these are all that can be met.
    ends : ndarray of bool, shape (n_units,)
        Those from which no edge leads on.
    """

    path: tuple[int, ...] | None
    met: np.ndarray
    ends: np.ndarray


def walk_to_input(graph: NetGraph, unit: int, nonzero: np.ndarray) -> Walk:
    """Return the walk from a unit against the edges that pass a change on, up to the nearest input unit.

    Parameters
    ----------
    graph : NetGraph
    unit : int
    nonzero : ndarray of bool, shape (n_units,)
        As in `netgraph.Sweep`.

    Returns
    -------
    Walk

    Examples
    --------
    >>> import netgraph as ng
    >>> graph = ng.from_biadjacency([[[1, 0], [0, 0]], [[1, 1]]])
    >>> nonzero = ng.sweep(graph).nonzero
    >>> walk_to_input(graph, 4, nonzero).path, walk_to_input(graph, 3, nonzero).path
    ((0, 2, 4), None)
    """
    return _walk(_Steps(graph, passing_targets(graph, nonzero), backward=True), unit, graph.inputs)


def walk_to_output(graph: NetGraph, unit: int, nonzero: np.ndarray) -> Walk:
    """Return the walk from a unit along the edges that pass a change on, up to the nearest output unit.

    Parameters
    ----------
    graph : NetGraph
    unit : int
    nonzero : ndarray of bool, shape (n_units,)
        As in `netgraph.Sweep`.

    Returns
    -------
    Walk

    Examples
    --------
    >>> import netgraph as ng
    >>> graph = ng.from_biadjacency([[[1, 0], [0, 1]], [[1, 0]]])
    >>> nonzero = ng.sweep(graph).nonzero
    >>> walk_to_output(graph, 0, nonzero).path, walk_to_output(graph, 1, nonzero).path
    ((0, 2, 4), None)
    """
    return _walk(_Steps(graph, passing_targets(graph, nonzero), backward=False), unit, graph.outputs)


def neighbours(graph: NetGraph, unit: int, *, backward: bool) -> np.ndarray:
    """Return the units that kept weights and wiring join to a unit, whether they pass a change on or not.

    Parameters
    ----------
    graph : NetGraph
    unit : int
    backward : bool
        True for the sources of edges into the unit, False for the targets of those out of it.

    Returns
    -------
    ndarray of int64
        Rising.

    Examples
    --------
    >>> import netgraph as ng
    >>> neighbours(ng.from_biadjacency([[[1, 1], [0, 1]]]), 1, backward=False).tolist()
    [2, 3]
    """
    every = np.ones(graph.n_units, dtype=bool)
    steps = _Steps(graph, ((c, every) for c in graph.connections), backward=backward)
    return np.unique(np.concatenate([NO_UNITS, *(found for found, _, _ in steps.from_units(np.array([unit])))]))


def joined(graph: NetGraph, units: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Return which units a kept weight or wiring joins to one of some targets.

    Parameters
    ----------
    graph : NetGraph
    units : ndarray of int64
    targets : ndarray of bool, shape (n_units,)

    Returns
    -------
    ndarray of bool, shape (n_units,)
        False for all others than `units`.

    Examples
    --------
    >>> import netgraph as ng
    >>> graph = ng.from_biadjacency([[[1, 0], [0, 0]]])
    >>> joined(graph, np.array([0, 1]), np.ones(4, dtype=bool)).tolist()
    [True, False, False, False]
    """
    found = np.zeros(graph.n_units, dtype=bool)
    for _, _, moved in _Steps(graph, ((c, targets) for c in graph.connections), backward=False).from_units(units):
        found[moved] = True
    return found


def passing_targets(graph: NetGraph, nonzero: np.ndarray) -> Iterator[tuple[Connection | Wiring, np.ndarray]]:
    """Yield each connection with the units that it can pass a change on to: ndarray of bool, shape (n_units,).

    Parameters
    ----------
    graph : NetGraph
    nonzero : ndarray of bool, shape (n_units,)

    Examples
    --------
    >>> import netgraph as ng
    >>> graph = ng.from_biadjacency([[[1, 1]]])
    >>> [passing.tolist() for _, passing in passing_targets(graph, ng.sweep(graph).nonzero)]
    [[True, True, True]]
    """
    factors = {name: passing_factors(graph, name, nonzero) for name in graph.products}
    for c in graph.connections:
        passing = graph.gate
        if isinstance(c, Wiring) and c.target in factors:
            passing = passing.copy()
            passing[graph.slices[c.target]] &= factors[c.target][c.factor]
        yield c, passing


NO_UNITS = np.zeros(0, dtype=np.int64)
Step = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Units that were found, for each the unit it was found from, and all units from which something was found."""


class _Steps:
    """Edges from a set of units to the next, in one direction; each bit is read once in a whole walk."""

    def __init__(
        self, graph: NetGraph, passing: Iterable[tuple[Connection | Wiring, np.ndarray]], *, backward: bool
    ) -> None:
        self.graph, self.backward = graph, backward
        self.leaving: dict[str, list[_Block]] = {name: [] for name in graph.layers}
        position = {id(c): i for i, c in enumerate(graph.weighted)}
        for c, flags in passing:
            block = _Block(graph, c, position.get(id(c), -1), flags, backward)
            self.leaving[c.target if backward else c.source].append(block)

    def from_units(self, units: np.ndarray) -> Iterator[Step]:
        for name, own in self.graph.slices.items():
            here = units[(units >= own.start) & (units < own.stop)]
            if here.size:
                yield from (block.step(here) for block in self.leaving[name])


class _Block:
    """The edges of one connection as groups of near units, each joined to the far units of the same group.

    A step lists one edge for each unit on either side, which says all that a walk asks; a dense layer has millions.
    """

    def __init__(
        self, graph: NetGraph, c: Connection | Wiring, position: int, passing: np.ndarray, backward: bool
    ) -> None:
        starts = [graph.slices[c.target].start + c.target_start, graph.slices[c.source].start + c.source_start]
        sizes = [c.rows // c.groups, c.columns] if isinstance(c, Connection) else [c.fan_out, c.fan_in]
        order = 1 if backward else -1
        self.near_start, self.far_start = starts[::order]
        self.near_size, self.far_size = sizes[::order]
        self.groups, self.passing, self.backward = c.groups, passing, backward
        self.graph, self.position = graph, position
        self.pairs = None if isinstance(c, Connection) or c.pairs is None else c.pairs.astype(np.int64)[::-order]
        self._table: np.ndarray | None = None

    def step(self, units: np.ndarray) -> Step:
        near = units[self.passing[units]] if self.backward else units
        local = near - self.near_start
        if self.pairs is not None:
            far, via = self._along_pairs(local)
        else:
            local = local[(local >= 0) & (local < self.groups * self.near_size)]
            far, via = self._along_wires(local) if self.position < 0 else self._along_weights(local)
        far, via = far + self.far_start, via + self.near_start
        if not self.backward:
            open_ = self.passing[far]
            far, via = far[open_], via[open_]
        found, place = np.unique(far, return_index=True)
        return found, via[place], np.unique(via)

    def _along_pairs(self, local: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        assert self.pairs is not None
        near, far = self.pairs
        chosen = np.isin(near, local)
        return far[chosen], near[chosen]

    def _along_wires(self, local: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        group, first, own = np.unique(local // max(self.near_size, 1), return_index=True, return_inverse=True)
        far = group[:, None] * self.far_size + np.arange(self.far_size)
        if not far.size:
            return NO_UNITS, NO_UNITS
        some = (
            far[:, 0]
            if self.backward
            else far[np.arange(group.size), self.passing[far + self.far_start].argmax(axis=1)]
        )
        return np.concatenate([far.reshape(-1), some[own]]), np.concatenate(
            [np.repeat(local[first], self.far_size), local]
        )

    def _along_weights(self, local: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        rows = self._kept()[local]
        if self.groups > 1 or not rows.size:
            row, column = np.nonzero(rows)
            return local[row] // max(self.near_size, 1) * self.far_size + column, local[row]
        if not self.backward:
            rows &= self.passing[self.far_start : self.far_start + self.far_size]
        row, column = np.flatnonzero(rows.any(axis=1)), np.flatnonzero(rows.any(axis=0))
        return (
            np.concatenate([column, rows[row].argmax(axis=1)]),
            local[np.concatenate([rows[:, column].argmax(axis=0), row])],
        )

    def _kept(self) -> np.ndarray:
        """Return which far units of its group each near unit is joined to, shape (near units, far units a group)."""
        if self._table is None:
            c = self.graph.weighted[self.position]
            pairs = self.graph.kept(self.position).any(axis=2).reshape(c.groups, c.rows // c.groups, c.columns)
            table = pairs if self.backward else pairs.transpose(0, 2, 1)
            self._table = table.reshape(self.groups * self.near_size, self.far_size)
        return self._table


def _walk(steps: _Steps, unit: int, goals: np.ndarray) -> Walk:
    came_from = np.full(steps.graph.n_units, -1)
    met, ends, is_goal = np.zeros((3, came_from.size), dtype=bool)
    is_goal[goals] = met[unit] = True
    frontier = np.array([unit])
    while frontier.size:
        if is_goal[frontier].any():
            return Walk(_path(came_from, int(frontier[is_goal[frontier]][0]), steps.backward), met, ends)
        ends[frontier] = True
        reached = [NO_UNITS]
        for found, via, moved in steps.from_units(frontier):
            ends[moved] = False
            new = ~met[found]
            came_from[found[new]], met[found[new]] = via[new], True
            reached.append(found[new])
        frontier = np.concatenate(reached)
    return Walk(None, met, ends)


def _path(came_from: np.ndarray, unit: int, backward: bool) -> tuple[int, ...]:
    path = [unit]
    while came_from[path[-1]] >= 0:
        path.append(int(came_from[path[-1]]))
    return tuple(path if backward else reversed(path))
