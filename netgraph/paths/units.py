"""Path lengths of a network: weighted edges from unit to unit, fixed wiring for free."""

from typing import TYPE_CHECKING

import numpy as np

from netgraph import native
from netgraph.compiled import plan_of
from netgraph.graph import NetGraph
from netgraph.paths import unit_reference
from netgraph.paths.measures import total_hops

if TYPE_CHECKING:
    from netgraph import _native
else:
    _native = native.kernels

__all__ = [
    "input_output_path_length",
    "input_output_reachable_fraction",
    "unit_distance_histogram",
    "unit_hops_and_pairs",
    "unit_path_length",
    "unit_reachable_fraction",
]


def unit_distance_histogram(
    graph: NetGraph,
    *,
    sources: np.ndarray | None = None,
    targets: np.ndarray | None = None,
    undirected: bool = False,
) -> np.ndarray:
    """Return the number of pairs of a source and another, target unit that are k hops apart, for each k.

    A hop is an edge that carries a kept weight; fixed wiring (skips, pooling, flatten, normalisation over channels)
    joins units without one, so that entry 0 counts the pairs that wiring alone joins. Products are wiring like any
    other: a path through one factor counts, whatever the other is. Pairs that no path joins are in no entry.

    Parameters
    ----------
    graph : NetGraph
    sources, targets : ndarray of int or None
        Unit ids; None: all units. Repeated ids count once.
    undirected : bool
        Whether edges and wiring are walked both ways.

    Returns
    -------
    ndarray of int64, shape (largest distance + 1,)

    Raises
    ------
    IndexError
        An id is no unit of the graph.

    Examples
    --------
    Two inputs, two hidden units, one output; the first hidden unit leads on:

    >>> import netgraph as ng
    >>> graph = ng.from_biadjacency([[[1, 0], [1, 1]], [[1, 0]]])
    >>> unit_distance_histogram(graph).tolist()
    [0, 4, 1]
    >>> unit_distance_histogram(graph, sources=graph.inputs, targets=graph.outputs).tolist()
    [0, 0, 1]
    """
    starts = _units(graph, "sources", sources)
    wanted = np.zeros(graph.n_units, dtype=bool)
    wanted[_units(graph, "targets", targets)] = True
    if native.kernels is None:
        return unit_reference.count_unit_hops(graph, starts, wanted, undirected=undirected)
    counts = np.zeros(graph.n_units + 1, dtype=np.int64)
    _native.count_unit_hops(plan_of(graph).kernel_plan, graph.bits, starts, wanted, undirected, counts)
    return counts[: int(counts.nonzero()[0].max(initial=0)) + 1]


def unit_hops_and_pairs(
    graph: NetGraph, sources: np.ndarray, *, targets: np.ndarray | None = None, undirected: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Return for each source the hops to the target units that it reaches, in all, and how many these are.

    Parameters
    ----------
    graph : NetGraph
    sources : ndarray of int, shape (n_sources,)
        Unit ids, each once.
    targets : ndarray of int or None
        Unit ids; None: all units.
    undirected : bool
        Whether edges and wiring are walked both ways.

    Returns
    -------
    hops, pairs : ndarray of int64, shape (n_sources,)

    Raises
    ------
    IndexError
        An id is no unit of the graph.

    Examples
    --------
    >>> import netgraph as ng
    >>> hops, pairs = unit_hops_and_pairs(ng.from_biadjacency([[[1, 0], [1, 1]], [[1, 0]]]), np.array([0, 1]))
    >>> hops.tolist(), pairs.tolist()
    ([4, 1], [3, 1])
    """
    wanted = np.zeros(graph.n_units, dtype=bool)
    wanted[_units(graph, "targets", targets)] = True
    _units(graph, "sources", sources)
    if native.kernels is None:
        return unit_reference.count_each_unit_hops(graph, sources, wanted, undirected=undirected)
    hops, pairs = (np.zeros(len(sources), dtype=np.int64) for _ in range(2))
    plan = plan_of(graph).kernel_plan
    _native.count_each_unit_hops(plan, graph.bits, sources.astype(np.int64), wanted, undirected, hops, pairs)
    return hops, pairs


def unit_path_length(graph: NetGraph, *, undirected: bool = False) -> float:
    """Return the mean number of weighted edges between ordered pairs of units that a path joins; nan without a pair.

    Hops are those of `unit_distance_histogram`, which says what is free; look at `unit_reachable_fraction` beside it.

    Parameters
    ----------
    graph : NetGraph
    undirected : bool
        Whether edges and wiring are walked both ways.

    Returns
    -------
    float

    Examples
    --------
    >>> import netgraph as ng
    >>> unit_path_length(ng.from_biadjacency([[[1, 0], [1, 1]], [[1, 0]]]))
    1.2
    """
    return _mean(unit_distance_histogram(graph, undirected=undirected))


def unit_reachable_fraction(graph: NetGraph, *, undirected: bool = False) -> float:
    """Return the share of ordered pairs of different units that a path joins: in [0, 1].

    Parameters
    ----------
    graph : NetGraph
    undirected : bool
        Whether edges and wiring are walked both ways.

    Returns
    -------
    float
        1.0 for a graph of fewer than two units. Walked one way at most about 1 / 2.

    Examples
    --------
    >>> import netgraph as ng
    >>> unit_reachable_fraction(ng.from_biadjacency([[[1, 0], [1, 1]], [[1, 0]]]))
    0.25
    """
    pairs = graph.n_units * (graph.n_units - 1)
    return int(unit_distance_histogram(graph, undirected=undirected).sum()) / pairs if pairs else 1.0


def input_output_path_length(graph: NetGraph) -> float:
    """Return the mean number of weighted edges over pairs of an input and an output unit that a path joins.

    Parameters
    ----------
    graph : NetGraph

    Returns
    -------
    float
        nan if no path joins any; look at `input_output_reachable_fraction` beside it.

    Examples
    --------
    >>> import netgraph as ng
    >>> input_output_path_length(ng.from_biadjacency([[[1, 0], [1, 1]], [[1, 0]]]))
    2.0
    """
    return _mean(unit_distance_histogram(graph, sources=graph.inputs, targets=graph.outputs))


def input_output_reachable_fraction(graph: NetGraph) -> float:
    """Return the share of pairs of an input and another, output unit that a path joins: in [0, 1], 1.0 without pairs.

    Parameters
    ----------
    graph : NetGraph

    Returns
    -------
    float

    Examples
    --------
    >>> import netgraph as ng
    >>> input_output_reachable_fraction(ng.from_biadjacency([[[1, 0], [1, 1]], [[1, 0]]]))
    0.5
    """
    pairs = len(graph.inputs) * len(graph.outputs) - len(np.intersect1d(graph.inputs, graph.outputs))
    joined = unit_distance_histogram(graph, sources=graph.inputs, targets=graph.outputs).sum()
    return int(joined) / pairs if pairs else 1.0


def _mean(counts: np.ndarray) -> float:
    pairs = int(counts.sum())
    return total_hops(counts) / pairs if pairs else float("nan")


def _units(graph: NetGraph, name: str, units: np.ndarray | None) -> np.ndarray:
    """Return the ids, rising and each once."""
    if units is None:
        return np.arange(graph.n_units)
    ids = np.unique(np.asarray(units, dtype=np.int64))
    if ids.size and (ids[0] < 0 or ids[-1] >= graph.n_units):
        raise IndexError(f"{name}: expected units 0 to {graph.n_units - 1}, got {ids[0]} to {ids[-1]}")
    return ids
