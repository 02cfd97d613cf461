"""The edges that pass a change on, one by one, wiring included, and units given by name or number."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike

from netgraph.connection import Connection, Wiring
from netgraph.convert.explode import exploded
from netgraph.describe import some_names
from netgraph.graph import NetGraph
from netgraph.reach import sweep
from netgraph.walks import passing_targets

__all__ = ["Units", "passing_edges", "unit_ids"]

Units = str | ArrayLike | None
"""The name of a layer, unit ids, or None for a default."""


def passing_edges(graph: NetGraph) -> Iterator[tuple[Connection | Wiring, np.ndarray, np.ndarray, np.ndarray]]:
    """Yield each connection with the ends of all its edges, and which of them pass a change on.

    Parameters
    ----------
    graph : NetGraph

    Examples
    --------
    >>> import netgraph as ng
    >>> [(s.tolist(), t.tolist(), p.tolist()) for _, s, t, p in passing_edges(ng.from_biadjacency([[[1, 1]]]))]
    [([0, 1], [2, 2], [True, True])]
    """
    flags = passing_targets(graph, sweep(graph).nonzero)
    for (c, sources, targets, _), (_, passing) in zip(exploded(graph), flags, strict=True):
        yield c, sources, targets, passing[targets]


def unit_ids(graph: NetGraph, label: str, units: Units, default: np.ndarray) -> np.ndarray:
    """Return the units of a layer, the given ones, or the default ones, without repeats.

    Parameters
    ----------
    graph : NetGraph
    label : str
        For the error.
    units : str, array_like of int, or None
    default : ndarray of int64

    Returns
    -------
    ndarray of int64
        Rising.

    Raises
    ------
    KeyError
        There is no such layer.
    ValueError
        A number is not a unit.

    Examples
    --------
    >>> import netgraph as ng
    >>> unit_ids(ng.from_biadjacency([[[1, 1]]]), "sources", "layer0", np.zeros(0, int)).tolist()
    [0, 1]
    """
    if units is None:
        return np.unique(default)
    if isinstance(units, str):
        if units not in graph.layers:
            raise KeyError(f"{label}: no layer {units!r}; the graph has {some_names(graph.layers)}")
        return np.arange(graph.n_units)[graph.slices[units]]
    chosen = np.unique(np.asarray(units, dtype=np.int64))
    if chosen.size and not 0 <= chosen[0] <= chosen[-1] < graph.n_units:
        raise ValueError(f"{label}: expected unit ids in [0, {graph.n_units}), got {chosen[0]} to {chosen[-1]}")
    return chosen
