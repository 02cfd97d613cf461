"""What one connection does to a value for each unit: the sum over its edges, forward and backward.

An edge has a factor: 1 to count paths, the sum of |w|^p over its kept weights for path norms. All in numpy, one table a
connection: the reference of `netgraph.flow.kernels`, and what runs without kernels and with other powers than 1 and 2.
"""

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np

from netgraph.connection import Connection, Wiring
from netgraph.errors import WeightValueError
from netgraph.graph import NetGraph

__all__ = [
    "TableFactors",
    "TableWeights",
    "against",
    "along",
    "edge_factors",
    "weight_factors",
    "weight_values",
]


class TableFactors:
    """Factors from one table a connection: ndarray of float64, shape (groups, rows a group, columns).

    Parameters
    ----------
    graph : NetGraph
    table : callable
        Gives the table of weighted connection number `position`.
    """

    def __init__(self, graph: NetGraph, table: Callable[[int], np.ndarray]) -> None:
        self._graph, self._table = graph, table

    def along(self, position: int, values: np.ndarray) -> np.ndarray:
        """Return, for each target of connection number `position`, the sum of factor times value of the source."""
        c = self._graph.weighted[position]
        return (self._table(position) @ values.reshape(c.groups, c.columns, 1)).reshape(-1)

    def against(self, position: int, values: np.ndarray) -> np.ndarray:
        """Return, for each source of connection number `position`, the sum of factor times value of the target."""
        c = self._graph.weighted[position]
        return (values.reshape(c.groups, 1, c.rows // c.groups) @ self._table(position)).reshape(-1)


class TableWeights(TableFactors):
    """Factors |w|^power in numpy.

    Parameters
    ----------
    graph : NetGraph
    weights : mapping of str to ndarray
    power : float
    """

    def __init__(self, graph: NetGraph, weights: Mapping[str, np.ndarray], power: float) -> None:
        super().__init__(graph, self._summed)
        self._weights, self._power = weights, power

    def shares(self, position: int, sources: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """Return, for each element, its size times the values of its source and its target: (rows, columns, taps)."""
        c = self._graph.weighted[position]
        near = sources.reshape(c.groups, 1, c.columns) * targets.reshape(c.groups, -1, 1)
        values = weight_values(self._graph, self._weights, position, self._power)
        values *= near.reshape(c.rows, c.columns, 1)
        narrow = self._weights[c.parameter].dtype.itemsize <= 4
        return values.astype(np.float32) if narrow else values

    def _summed(self, position: int) -> np.ndarray:
        c = self._graph.weighted[position]
        summed = weight_values(self._graph, self._weights, position, self._power).sum(axis=2)
        return summed.reshape(c.groups, c.rows // c.groups, c.columns)


def edge_factors(graph: NetGraph) -> TableFactors:
    """Return a factor of 1 for each pair of units that a kept weight joins.

    Parameters
    ----------
    graph : NetGraph

    Returns
    -------
    TableFactors
    """
    return TableFactors(graph, partial(_edge_table, graph))


def _edge_table(graph: NetGraph, position: int) -> np.ndarray:
    c = graph.weighted[position]
    return graph.kept(position).any(axis=2).reshape(c.groups, c.rows // c.groups, c.columns).astype(np.float64)


def weight_factors(graph: NetGraph, weights: Mapping[str, np.ndarray], power: float) -> TableWeights:
    """Return the sums of |w|^power over the kept weights between two units.

    Parameters
    ----------
    graph : NetGraph
    weights : mapping of str to ndarray
        Checked already.
    power : float

    Returns
    -------
    TableWeights
        Raise WeightValueError when they meet a kept weight that is not finite.
    """
    return TableWeights(graph, weights, power)


def weight_values(graph: NetGraph, weights: Mapping[str, np.ndarray], position: int, power: float) -> np.ndarray:
    """Return |w|^power of each element of a connection, 0 where it is not kept: float64, (rows, columns, taps).

    Parameters
    ----------
    graph : NetGraph
    weights : mapping of str to ndarray
    position : int
        Place in ``graph.weighted``.
    power : float

    Raises
    ------
    WeightValueError
        A kept weight is not finite, or its power is not.
    """
    c = graph.weighted[position]
    flat = weights[c.parameter].reshape(-1)
    first = c.contiguous_offset
    part = flat[c.elements()] if first is None else flat[first : first + c.size].reshape(c.rows, c.columns, c.taps)
    values = np.abs(part, dtype=np.float64, where=graph.kept(position), out=np.zeros(part.shape))
    if power != 1:
        values **= power
    if not np.isfinite(values).all():
        raise WeightValueError(f"weight {c.parameter!r}: a kept weight is not finite; expected numbers")
    return values


def along(c: Connection | Wiring, factors: TableFactors, position: int, size: int, values: np.ndarray) -> np.ndarray:
    """Return, for each unit of the target layer, the sum over its edges of factor times value of their sources.

    Parameters
    ----------
    c : Connection or Wiring
    factors : TableFactors
    position : int
        Place in ``graph.weighted``; not read for wiring, whose factors are 1.
    size : int
        Units of the target layer.
    values : ndarray of float64
        One for each unit of the source layer.

    Returns
    -------
    ndarray of float64, shape (size,)
    """
    result = np.zeros(size)
    if isinstance(c, Connection):
        own = values[c.source_start : c.source_start + c.groups * c.columns]
        result[c.target_start : c.target_start + c.rows] = factors.along(position, own)
    elif c.pairs is not None:
        result += np.bincount(c.pairs[1], weights=values[c.pairs[0]], minlength=size)
    else:
        own = values[c.source_start : c.source_start + c.groups * c.fan_in]
        result[c.target_start : c.target_start + c.groups * c.fan_out] = _blocks(own, c.groups, c.fan_out)
    return result


def against(c: Connection | Wiring, factors: TableFactors, position: int, size: int, values: np.ndarray) -> np.ndarray:
    """Return, for each unit of the source layer, the sum over its edges of factor times value of their targets.

    Parameters
    ----------
    c, factors, position
        As for `along`.
    size : int
        Units of the source layer.
    values : ndarray of float64
        One for each unit of the target layer.

    Returns
    -------
    ndarray of float64, shape (size,)
    """
    result = np.zeros(size)
    if isinstance(c, Connection):
        own = values[c.target_start : c.target_start + c.rows]
        result[c.source_start : c.source_start + c.groups * c.columns] = factors.against(position, own)
    elif c.pairs is not None:
        result += np.bincount(c.pairs[0], weights=values[c.pairs[1]], minlength=size)
    else:
        own = values[c.target_start : c.target_start + c.groups * c.fan_out]
        result[c.source_start : c.source_start + c.groups * c.fan_in] = _blocks(own, c.groups, c.fan_in)
    return result


def _blocks(values: np.ndarray, groups: int, fan: int) -> np.ndarray:
    """Return the sum of each group of values, `fan` times."""
    summed = values if values.size == groups else values.reshape(groups, -1).sum(axis=1)
    return summed if fan == 1 else np.repeat(summed, fan)
