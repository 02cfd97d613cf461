"""How many edges enter and leave each unit, and whether a layer is regular.

An edge is an ordered pair of units, counted once however many weights it carries and however many connections carry
it. Fixed wiring is counted on request only.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from netgraph.connection import Connection
from netgraph.convert import to_biadjacency
from netgraph.graph import NetGraph

__all__ = ["DegreeRow", "in_degrees", "is_biregular", "is_regular", "layer_degrees", "out_degrees"]


@dataclass(frozen=True, slots=True)
class DegreeRow:
    """Degrees of the units of one layer.

    Parameters
    ----------
    name : str
    units : int
    in_min, in_max, out_min, out_max : int
        0 for a layer without units.
    in_mean, out_mean : float

    Examples
    --------
    >>> DegreeRow("fc1", 2, in_min=1, in_mean=1.5, in_max=2, out_min=0, out_mean=0.5, out_max=1).in_mean
    1.5
    """

    name: str
    units: int
    in_min: int
    in_mean: float
    in_max: int
    out_min: int
    out_mean: float
    out_max: int


def in_degrees(graph: NetGraph, *, fixed: bool = False) -> np.ndarray:
    """Return the number of edges into each unit.

    Parameters
    ----------
    graph : NetGraph
    fixed : bool
        True to count wiring too.

    Returns
    -------
    ndarray of int64, shape (n_units,)

    Examples
    --------
    >>> import netgraph as ng
    >>> in_degrees(ng.from_biadjacency([[[1, 0], [1, 1]]])).tolist()
    [0, 0, 1, 2]
    """
    return _degrees(graph, fixed)[0]


def out_degrees(graph: NetGraph, *, fixed: bool = False) -> np.ndarray:
    """Return the number of edges out of each unit.

    Parameters
    ----------
    graph : NetGraph
    fixed : bool
        True to count wiring too.

    Returns
    -------
    ndarray of int64, shape (n_units,)

    Examples
    --------
    >>> import netgraph as ng
    >>> out_degrees(ng.from_biadjacency([[[1, 0], [1, 1]]])).tolist()
    [2, 1, 0, 0]
    """
    return _degrees(graph, fixed)[1]


def layer_degrees(graph: NetGraph, *, fixed: bool = False) -> tuple[DegreeRow, ...]:
    """Return the smallest, mean and largest degrees of each layer, in the order of ``graph.layers``.

    Parameters
    ----------
    graph : NetGraph
    fixed : bool
        True to count wiring too.

    Returns
    -------
    tuple of DegreeRow

    Examples
    --------
    >>> import netgraph as ng
    >>> layer_degrees(ng.from_biadjacency([[[1, 0], [1, 1]]]))[1]
    DegreeRow(name='layer1', units=2, in_min=1, in_mean=1.5, in_max=2, out_min=0, out_mean=0.0, out_max=0)
    """
    entering, leaving = _degrees(graph, fixed)
    return tuple(
        DegreeRow(name, size, *_spread(entering[units]), *_spread(leaving[units]))
        for (name, size), units in zip(graph.layers.items(), graph.slices.values(), strict=True)
    )


def is_biregular(graph: NetGraph, source: str, target: str) -> bool:
    """Tell whether the edges between two layers are spread evenly over the units of both.

    That is: all in-degrees of the targets are equal, or, where the number of edges is not divisible by the number of
    targets, differ by one at most; and the same for the out-degrees of the sources. Only edges between these two
    layers count, wiring among them.

    Parameters
    ----------
    graph : NetGraph
    source, target : str

    Returns
    -------
    bool

    Raises
    ------
    KeyError
        A layer is unknown.
    ValueError
        No connection leads from `source` to `target`.

    Examples
    --------
    >>> import netgraph as ng
    >>> is_biregular(ng.from_biadjacency([[[1, 0, 0], [0, 1, 1]]]), "layer0", "layer1")
    True
    >>> is_biregular(ng.from_biadjacency([[[0, 0, 0], [0, 1, 1]]]), "layer0", "layer1")
    False
    """
    joined = to_biadjacency(graph, source, target)
    return all(_is_even(joined.sum(axis=axis)) for axis in (0, 1))


def is_regular(graph: NetGraph) -> bool:
    """Tell whether `is_biregular` holds between any two layers that weights join.

    Parameters
    ----------
    graph : NetGraph

    Returns
    -------
    bool
        True for a graph without weights.

    Examples
    --------
    >>> import netgraph as ng
    >>> is_regular(ng.from_biadjacency([[[1, 0], [0, 1]], [[1, 1]]]))
    True
    """
    return all(is_biregular(graph, *pair) for pair in {(c.source, c.target): None for c in graph.weighted})


def _degrees(graph: NetGraph, fixed: bool) -> tuple[np.ndarray, np.ndarray]:
    entering, leaving = np.zeros((2, graph.n_units), dtype=np.int64)
    for sources, targets, rows, columns in _layer_pairs(graph, fixed):
        entering[targets] += rows
        leaving[sources] += columns
    return entering, leaving


def _layer_pairs(graph: NetGraph, fixed: bool) -> Iterator[tuple[slice, slice, np.ndarray, np.ndarray]]:
    """Yield, for each two joined layers, their units and the degrees of these that come from edges between the two."""
    between: dict[tuple[str, str], list[int]] = {}
    position = 0
    for c in graph.connections:
        weighted = isinstance(c, Connection)
        if weighted or fixed:
            between.setdefault((c.source, c.target), []).append(position if weighted else -1)
        position += weighted
    for (source, target), positions in between.items():
        if len(positions) == 1 and positions[0] >= 0:
            yield _weighted_degrees(graph, positions[0])
        else:
            joined = _joined(graph, source, target, fixed)
            yield graph.slices[source], graph.slices[target], joined.sum(axis=1), joined.sum(axis=0)


def _weighted_degrees(graph: NetGraph, position: int) -> tuple[slice, slice, np.ndarray, np.ndarray]:
    c = graph.weighted[position]
    pairs = graph.kept(position).any(axis=2).reshape(c.groups, c.rows // c.groups, c.columns)
    first = graph.slices[c.source].start + c.source_start, graph.slices[c.target].start + c.target_start
    sources, targets = slice(first[0], first[0] + c.groups * c.columns), slice(first[1], first[1] + c.rows)
    return sources, targets, pairs.sum(axis=2).reshape(-1), pairs.sum(axis=1).reshape(-1)


def _joined(graph: NetGraph, source: str, target: str, fixed: bool) -> np.ndarray:
    if fixed:
        return to_biadjacency(graph, source, target)
    joined = np.zeros((graph.layers[target], graph.layers[source]), dtype=bool)
    for position, c in enumerate(graph.weighted):
        if (c.source, c.target) == (source, target):
            per_group = max(c.rows // c.groups, 1)
            row, column = np.nonzero(graph.kept(position).any(axis=2))
            joined[c.target_start + row, c.source_start + row // per_group * c.columns + column] = True
    return joined


def _spread(degrees: np.ndarray) -> tuple[int, float, int]:
    if not degrees.size:
        return 0, 0.0, 0
    return int(degrees.min()), float(degrees.mean()), int(degrees.max())


def _is_even(degrees: np.ndarray) -> bool:
    return not degrees.size or int(degrees.max() - degrees.min()) <= 1
