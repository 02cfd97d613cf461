"""The factors of edges on the compiled kernels: bits and weights are read in place, nothing is unpacked."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from netgraph import native
from netgraph.bits import n_words
from netgraph.connection import Connection
from netgraph.errors import WeightValueError
from netgraph.graph import NetGraph

if TYPE_CHECKING:
    from netgraph import _native
else:
    _native = native.kernels

__all__ = ["KernelFactors"]

NO_VALUES = np.zeros(0, dtype=np.float32)


class KernelFactors:
    """Factors of 1, or |w|^power with power 1 or 2, without a table.

    Parameters
    ----------
    graph : NetGraph
    weights : mapping of str to ndarray, or None
        None for factors of 1.
    power : int
    """

    def __init__(self, graph: NetGraph, weights: Mapping[str, np.ndarray] | None, power: int) -> None:
        self._graph, self._weights, self._power = graph, weights, power
        self._pairs: dict[int, np.ndarray] = {}

    def along(self, position: int, values: np.ndarray) -> np.ndarray:
        """Return, for each target of connection number `position`, the sum of factor times value of the source."""
        c, own = self._graph.weighted[position], self._values(position)
        result = np.zeros(c.rows)
        _native.sum_along(*self._bits(position), own, self._power, values, result)
        return self._checked(c, result)

    def against(self, position: int, values: np.ndarray) -> np.ndarray:
        """Return, for each source of connection number `position`, the sum of factor times value of the target."""
        c, own = self._graph.weighted[position], self._values(position)
        result = np.zeros(c.groups * c.columns)
        _native.sum_against(*self._bits(position), own, self._power, values, result)
        return self._checked(c, result)

    def shares(self, position: int, sources: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """Return factor times value of the source times value of the target of each element, 0 where it is not kept.

        Parameters
        ----------
        position : int
        sources, targets : ndarray of float64
            One value for each unit that the connection spans.

        Returns
        -------
        ndarray, dtype of the weights, shape (rows, columns, taps)
        """
        c, own = self._graph.weighted[position], self._values(position)
        result = np.empty((c.rows, c.columns, c.taps), dtype=own.dtype)
        flat = result.reshape(-1)
        _native.weight_shares(*self._bits(position), own, self._power, sources, targets, flat)
        return result

    def _values(self, position: int) -> np.ndarray:
        if self._weights is None:
            return NO_VALUES
        c = self._graph.weighted[position]
        flat = self._weights[c.parameter].reshape(-1)
        first = c.contiguous_offset
        own = flat[c.elements().reshape(-1)] if first is None else flat[first : first + c.size]
        return np.ascontiguousarray(own, dtype=np.float32 if own.dtype.itemsize <= 4 else np.float64)

    def _bits(self, position: int) -> tuple[np.ndarray, tuple[int, int, int, int]]:
        """Return the words and the shape of a connection; without weights its taps are folded, once for both passes."""
        c, words = self._graph.weighted[position], self._graph.words(position)
        if self._weights is not None or c.taps <= 1:
            return words, (c.rows, c.columns, c.taps, c.groups)
        if position not in self._pairs:
            self._pairs[position] = np.empty(n_words(c.rows, c.columns), dtype=np.uint64)
            _native.fold_taps(words, (c.rows, c.columns, c.taps, c.groups), self._pairs[position])
        return self._pairs[position], (c.rows, c.columns, 1, c.groups)

    def _checked(self, c: Connection, result: np.ndarray) -> np.ndarray:
        if self._weights is not None and not np.isfinite(result).all():
            raise WeightValueError(f"weight {c.parameter!r}: a kept weight is not finite; expected numbers")
        return result
