"""What one connection does to a value for each unit: the sum over its edges, forward and backward.

A table holds a number for each pair of units that a weighted connection may join: 1 for an edge to count paths, the
sum of |w|^p over its kept weights for path norms.
"""

from collections.abc import Callable, Mapping

import numpy as np

from netgraph.connection import Connection, Wiring
from netgraph.errors import WeightValueError
from netgraph.graph import NetGraph

__all__ = ["Table", "against", "along", "edge_table", "weight_table", "weight_values"]

Table = Callable[[int], np.ndarray]
"""Gives the table of weighted connection number `position`: ndarray, shape (groups, rows a group, columns)."""


def edge_table(graph: NetGraph) -> Table:
    """Return the table that has 1 where a kept weight joins two units.

    Parameters
    ----------
    graph : NetGraph
    """

    def table(position: int) -> np.ndarray:
        c = graph.weighted[position]
        return graph.kept(position).any(axis=2).reshape(c.groups, c.rows // c.groups, c.columns).astype(np.float64)

    return table


def weight_table(graph: NetGraph, weights: Mapping[str, np.ndarray], power: float) -> Table:
    """Return the table of the sums of |w|^power over the kept weights between two units.

    Parameters
    ----------
    graph : NetGraph
    weights : mapping of str to ndarray
        Checked already.
    power : float
    """

    def table(position: int) -> np.ndarray:
        c = graph.weighted[position]
        summed = weight_values(graph, weights, position, power).sum(axis=2)
        return summed.reshape(c.groups, c.rows // c.groups, c.columns)

    return table


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
        A kept weight is not finite.
    """
    c = graph.weighted[position]
    flat = weights[c.parameter].reshape(-1)
    if c.contiguous_offset is not None:
        part = flat[c.contiguous_offset : c.contiguous_offset + c.size].reshape(c.rows, c.columns, c.taps)
    else:
        part = flat[c.elements()]
    values = np.abs(part, dtype=np.float64, where=graph.kept(position), out=np.zeros(part.shape))
    if not np.isfinite(values).all():
        raise WeightValueError(f"weight {c.parameter!r}: a kept weight is not finite; expected numbers")
    return values if power == 1 else values**power


def along(c: Connection | Wiring, table: np.ndarray | None, sizes: tuple[int, int], values: np.ndarray) -> np.ndarray:
    """Return, for each unit of the target layer, the sum over its edges of the values of their sources.

    Parameters
    ----------
    c : Connection or Wiring
    table : ndarray or None
        For a Connection.
    sizes : tuple of 2 int
        Units of the source and of the target layer.
    values : ndarray of float64, shape (sizes[0],)
    """
    result = np.zeros(sizes[1])
    if isinstance(c, Connection):
        assert table is not None
        own = values[c.source_start : c.source_start + c.groups * c.columns]
        summed = table @ own.reshape(c.groups, c.columns, 1)
        result[c.target_start : c.target_start + c.rows] = summed.reshape(-1)
    elif c.pairs is not None:
        result += np.bincount(c.pairs[1], weights=values[c.pairs[0]], minlength=sizes[1])
    else:
        own = values[c.source_start : c.source_start + c.groups * c.fan_in]
        summed = own.reshape(c.groups, c.fan_in).sum(axis=1)
        result[c.target_start : c.target_start + c.groups * c.fan_out] = np.repeat(summed, c.fan_out)
    return result


def against(c: Connection | Wiring, table: np.ndarray | None, sizes: tuple[int, int], values: np.ndarray) -> np.ndarray:
    """Return, for each unit of the source layer, the sum over its edges of the values of their targets.

    Parameters
    ----------
    c : Connection or Wiring
    table : ndarray or None
        For a Connection.
    sizes : tuple of 2 int
        Units of the source and of the target layer.
    values : ndarray of float64, shape (sizes[1],)
    """
    result = np.zeros(sizes[0])
    if isinstance(c, Connection):
        assert table is not None
        own = values[c.target_start : c.target_start + c.rows]
        summed = own.reshape(c.groups, 1, c.rows // c.groups) @ table
        result[c.source_start : c.source_start + c.groups * c.columns] = summed.reshape(-1)
    elif c.pairs is not None:
        result += np.bincount(c.pairs[0], weights=values[c.pairs[1]], minlength=sizes[0])
    else:
        own = values[c.target_start : c.target_start + c.groups * c.fan_out]
        summed = own.reshape(c.groups, c.fan_out).sum(axis=1)
        result[c.source_start : c.source_start + c.groups * c.fan_in] = np.repeat(summed, c.fan_in)
    return result
