"""Reach: which units matter, which weights are consistent, and the same graph without the rest.

A unit's value is zero (identically 0), constant (it does not depend on the input) or live. A layer that adds makes a
unit live if any term is live, else constant if any term is. A layer that multiplies makes it zero if any factor is
zero, else live if any factor is. A gate that is masked away makes the unit zero, a shift makes it at least constant.

    accessible      live: the value changes with the input
    co-accessible   some output changes with the value
    consistent      a kept weight from an accessible to a co-accessible unit
    dead            not co-accessible: the unit has no effect
    constant        co-accessible, not accessible: the unit emits a constant, which must be folded and not dropped

Without products, gates and shifts this is plain reachability. All functions read the graph once, in time linear in
its bits; nothing is changed in place.
"""

from dataclasses import dataclass

import numpy as np

from netgraph import compiled, native, reference
from netgraph.graph import NetGraph

__all__ = [
    "Sweep",
    "accessible",
    "co_accessible",
    "consistent_edges",
    "constant_units",
    "dead_units",
    "drop_dead",
    "passes",
    "sweep",
    "trim",
    "unit_classes",
]


passes = reference if native.kernels is None else compiled
"""Where the passes run."""


@dataclass(frozen=True, slots=True, eq=False)
class Sweep:
    """What one forward and one backward pass find out.

    Parameters
    ----------
    accessible, nonzero, co_accessible : ndarray of bool, shape (n_units,)
        Live units, units whose value is not identically 0, units that some output depends on.
    consistent : ndarray of int64, shape (n_weighted,)
        Number of consistent elements of each weighted connection.
    """

    accessible: np.ndarray
    nonzero: np.ndarray
    co_accessible: np.ndarray
    consistent: np.ndarray


def sweep(graph: NetGraph) -> Sweep:
    """Return live, nonzero and co-accessible units and the number of consistent elements of each connection.

    Parameters
    ----------
    graph : NetGraph

    Returns
    -------
    Sweep

    Examples
    --------
    Unit 1 is reached but leads nowhere, unit 2 is not reached:

    >>> import netgraph as ng
    >>> connections = [ng.Connection("w", "x", "h", 2, 1), ng.Connection("v", "h", "y", 1, 2)]
    >>> graph = ng.NetGraph({"x": 1, "h": 2, "y": 1}, connections, np.array([0b01, 0b10]), [0], [3])
    >>> found = sweep(graph)
    >>> found.accessible.tolist(), found.co_accessible.tolist(), found.consistent.tolist()
    ([True, True, False, False], [False, False, True, True], [0, 0])
    """
    return Sweep(*passes.sweep(graph))


def accessible(graph: NetGraph) -> np.ndarray:
    """Return which units are accessible (live): their value changes with the input.

    Parameters
    ----------
    graph : NetGraph

    Returns
    -------
    ndarray of bool, shape (n_units,)

    Examples
    --------
    >>> import netgraph as ng
    >>> graph = ng.NetGraph({"x": 1, "h": 2}, [ng.Connection("w", "x", "h", 2, 1)], np.array([0b01]), [0], [1, 2])
    >>> accessible(graph).tolist()
    [True, True, False]
    """
    return sweep(graph).accessible


def co_accessible(graph: NetGraph) -> np.ndarray:
    """Return which units are co-accessible: some output depends on them.

    Parameters
    ----------
    graph : NetGraph

    Returns
    -------
    ndarray of bool, shape (n_units,)

    Examples
    --------
    >>> import netgraph as ng
    >>> graph = ng.NetGraph({"x": 2, "y": 1}, [ng.Connection("w", "x", "y", 1, 2)], np.array([0b10]), [0, 1], [2])
    >>> co_accessible(graph).tolist()
    [False, True, True]
    """
    return sweep(graph).co_accessible


def unit_classes(graph: NetGraph) -> np.ndarray:
    """Return the value class of each unit.

    Parameters
    ----------
    graph : NetGraph

    Returns
    -------
    ndarray of uint8, shape (n_units,)
        0 zero, 1 constant, 2 live.

    Examples
    --------
    >>> import netgraph as ng
    >>> connections, shift = [ng.Connection("w", "x", "h", 3, 1)], [False, False, True, False]
    >>> graph = ng.NetGraph({"x": 1, "h": 3}, connections, np.array([0b001]), [0], [1, 2, 3], shift=shift)
    >>> unit_classes(graph).tolist()
    [2, 2, 1, 0]
    """
    found = sweep(graph)
    return found.nonzero.astype(np.uint8) + found.accessible


def dead_units(graph: NetGraph) -> np.ndarray:
    """Return the ids of the units that no output depends on.

    Parameters
    ----------
    graph : NetGraph

    Returns
    -------
    ndarray of int64
        Rising.

    Examples
    --------
    >>> import netgraph as ng
    >>> graph = ng.NetGraph({"x": 2, "y": 1}, [ng.Connection("w", "x", "y", 1, 2)], np.array([0b10]), [0, 1], [2])
    >>> dead_units(graph).tolist()
    [0]
    """
    return np.flatnonzero(~sweep(graph).co_accessible)


def constant_units(graph: NetGraph) -> np.ndarray:
    """Return the ids of the co-accessible units that are not accessible.

    Their value does not depend on the input, but an output depends on it: fold it into the next bias. A unit whose
    constant is 0 is listed too; there is nothing to fold then.

    Parameters
    ----------
    graph : NetGraph

    Returns
    -------
    ndarray of int64
        Rising.

    Examples
    --------
    >>> import netgraph as ng
    >>> connections = [ng.Connection("w", "x", "h", 2, 1), ng.Connection("v", "h", "y", 1, 2)]
    >>> graph = ng.NetGraph({"x": 1, "h": 2, "y": 1}, connections, np.array([0b01, 0b11]), [0], [3])
    >>> constant_units(graph).tolist()
    [2]
    """
    found = sweep(graph)
    return np.flatnonzero(found.co_accessible & ~found.accessible)


def consistent_edges(graph: NetGraph) -> tuple[np.ndarray, np.ndarray]:
    """Return source and target unit of every edge with a consistent weight.

    An edge is listed once for each connection that carries it, however many taps are consistent.

    Parameters
    ----------
    graph : NetGraph

    Returns
    -------
    sources, targets : ndarray of int64

    Examples
    --------
    >>> import netgraph as ng
    >>> connections = [ng.Connection("w", "x", "h", 2, 1), ng.Connection("v", "h", "y", 1, 2)]
    >>> graph = ng.NetGraph({"x": 1, "h": 2, "y": 1}, connections, np.array([0b11, 0b10]), [0], [3])
    >>> [ids.tolist() for ids in consistent_edges(graph)]
    [[0, 2], [2, 3]]
    """
    return trim(graph).edges()


def trim(graph: NetGraph) -> NetGraph:
    """Return the same graph with only the consistent elements kept; layers, units and ids stay.

    Trimming twice is trimming once. The function of the network changes exactly where a constant unit feeds a
    co-accessible one; `drop_dead` never changes it.

    Parameters
    ----------
    graph : NetGraph

    Returns
    -------
    NetGraph

    Examples
    --------
    >>> import netgraph as ng
    >>> connections = [ng.Connection("w", "x", "h", 2, 1), ng.Connection("v", "h", "y", 1, 2)]
    >>> graph = ng.NetGraph({"x": 1, "h": 2, "y": 1}, connections, np.array([0b11, 0b10]), [0], [3])
    >>> trim(graph).bits.tolist()
    [2, 2]
    """
    found = sweep(graph)
    return graph.with_bits(passes.restrict(graph, found.accessible, found.co_accessible & graph.gate))


def drop_dead(graph: NetGraph) -> NetGraph:
    """Return the same graph without the elements that cannot change the function.

    These are the elements into units that are not co-accessible (or whose gate is masked away) and those out of units
    that are identically 0. Weights of constant units stay.

    Parameters
    ----------
    graph : NetGraph

    Returns
    -------
    NetGraph

    Examples
    --------
    Unit 1 emits its bias: `trim` removes its edge, `drop_dead` keeps it.

    >>> import netgraph as ng
    >>> connections = [ng.Connection("w", "x", "h", 2, 1), ng.Connection("v", "h", "y", 1, 2)]
    >>> shift = [False, True, False, False]
    >>> graph = ng.NetGraph({"x": 1, "h": 2, "y": 1}, connections, np.array([0b10, 0b11]), [0], [3], shift=shift)
    >>> drop_dead(graph).bits.tolist(), trim(graph).bits.tolist()
    ([2, 3], [2, 2])
    """
    found = sweep(graph)
    return graph.with_bits(passes.restrict(graph, found.nonzero, found.co_accessible & graph.gate))
