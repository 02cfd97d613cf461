"""Where the ways to or from a unit end, and which weights would open one."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from netgraph.connection import Connection, Wiring
from netgraph.graph import NetGraph
from netgraph.reach import Sweep
from netgraph.reference import unit_slices
from netgraph.walks import Walk, joined, passing_targets

__all__ = ["Cut", "cut_from_input", "cut_to_output"]


@dataclass(frozen=True, slots=True, eq=False)
class Cut:
    """What separates a unit from every input, or from every output.

    Parameters
    ----------
    units : tuple of int
        The side of the unit: the unit itself and all units that pass a change on to it (or get one from it). Not one
        of them is live (or co-accessible), and no edge that passes a change on leads into (or out of) the set.
    ends : mapping of int to str
        Those from which no edge leads on, and why: "masked scale", "zero factor", "no kept weight" or "nothing".
    weights : mapping of str to int
        Removed elements of each parameter, for each use, that join the set with a live unit (or with one that an
        output depends on). Any one of them alone, put back, joins the unit to an input (or to an output). In a graph
        without products no other single element does.

    Examples
    --------
    >>> import netgraph as ng
    >>> cut = ng.explain(ng.from_biadjacency([[[1, 0], [0, 0]], [[1, 1]]]), 3).cut_from_input
    >>> cut.units, dict(cut.ends), dict(cut.weights)
    ((3,), {3: 'no kept weight'}, {'weight1': 2})
    """

    units: tuple[int, ...]
    ends: Mapping[int, str]
    weights: Mapping[str, int]


def cut_from_input(graph: NetGraph, walk: Walk, found: Sweep) -> Cut:
    """Return the cut between the inputs and the units that a walk to the input met.

    Parameters
    ----------
    graph : NetGraph
    walk : Walk
        Without a path.
    found : Sweep

    Returns
    -------
    Cut

    Examples
    --------
    >>> import netgraph as ng
    >>> from netgraph.walks import walk_to_input
    >>> graph = ng.from_biadjacency([[[0, 0]], [[1]]])
    >>> found = ng.sweep(graph)
    >>> cut_from_input(graph, walk_to_input(graph, 3, found.nonzero), found).units
    (2, 3)
    """
    ends = _reasons(walk.ends, _no_way_in(graph))
    return Cut(_ids(walk.met), ends, _weights(graph, found.accessible, walk.met, found.nonzero))


def cut_to_output(graph: NetGraph, walk: Walk, found: Sweep) -> Cut:
    """Return the cut between the outputs and the units that a walk to the output met.

    Parameters
    ----------
    graph : NetGraph
    walk : Walk
        Without a path.
    found : Sweep

    Returns
    -------
    Cut

    Examples
    --------
    >>> import netgraph as ng
    >>> from netgraph.walks import walk_to_output
    >>> graph = ng.from_biadjacency([[[1, 0]], [[0]]])
    >>> found = ng.sweep(graph)
    >>> cut_to_output(graph, walk_to_output(graph, 0, found.nonzero), found).units
    (0, 2)
    """
    ends = _reasons(walk.ends, _no_way_out(graph, walk.ends))
    return Cut(_ids(walk.met), ends, _weights(graph, walk.met, found.co_accessible, found.nonzero))


def _ids(flags: np.ndarray) -> tuple[int, ...]:
    return tuple(np.flatnonzero(flags).tolist())


def _reasons(ends: np.ndarray, true: list[tuple[str, np.ndarray]]) -> dict[int, str]:
    """Return the first reason that is true for each end, "nothing" where none is."""
    names = np.select([flags[ends] for _, flags in true], [name for name, _ in true], "nothing")
    return dict(zip(np.flatnonzero(ends).tolist(), names.tolist(), strict=True))


def _no_way_in(graph: NetGraph) -> list[tuple[str, np.ndarray]]:
    multiplied = np.zeros(graph.n_units, dtype=bool)
    for c in graph.wiring:
        if c.target in graph.products:
            multiplied[c.edges()[1] + graph.slices[c.target].start] = True
    return [("masked scale", ~graph.gate), ("zero factor", multiplied), ("no kept weight", _with_weights(graph, 1))]


def _no_way_out(graph: NetGraph, ends: np.ndarray) -> list[tuple[str, np.ndarray]]:
    units, anywhere = np.flatnonzero(ends), np.ones(graph.n_units, dtype=bool)
    on, on_open = joined(graph, units, anywhere), joined(graph, units, graph.gate)
    return [("zero factor", on_open), ("masked scale", on), ("no kept weight", _with_weights(graph, 0))]


def _with_weights(graph: NetGraph, side: int) -> np.ndarray:
    """Return which units have weights, kept or not, out of (side 0) or into (side 1) them: ndarray of bool."""
    flags = np.zeros(graph.n_units, dtype=bool)
    for c in graph.weighted:
        flags[unit_slices(graph, c)[side]] |= c.size > 0
    return flags


def _weights(graph: NetGraph, sources: np.ndarray, targets: np.ndarray, nonzero: np.ndarray) -> dict[str, int]:
    """Return how many elements of each parameter lead from a flagged source to a flagged target with an open gate."""
    counts: dict[str, int] = {}
    for c, passing in passing_targets(graph, nonzero):
        if number := _elements(graph, c, sources, targets & passing):
            counts[c.parameter or ""] = counts.get(c.parameter or "", 0) + number
    return counts


def _elements(graph: NetGraph, c: Connection | Wiring, sources: np.ndarray, targets: np.ndarray) -> int:
    if not isinstance(c, Connection):
        return 0
    source, target = (flags[units] for flags, units in zip((sources, targets), unit_slices(graph, c), strict=True))
    before = source.reshape(c.groups, c.columns).sum(axis=1)
    after = target.reshape(c.groups, c.rows // c.groups).sum(axis=1)
    return int((before * after).sum()) * c.taps
