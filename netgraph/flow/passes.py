"""A forward and a backward pass that add up over all paths without overflow.

The values of a layer are float64 numbers under one power of two for the whole layer, so that counts like 2^2000 do no
harm. Within a layer numbers range over 2^1000; what is smaller beside the largest of its layer becomes 0.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from math import inf, log2

import numpy as np

from netgraph.connection import Connection, Wiring
from netgraph.errors import GraphStructureError
from netgraph.flow.operators import TableFactors, against, along
from netgraph.graph import NetGraph
from netgraph.reach import sweep
from netgraph.walks import passing_targets

__all__ = ["PathSums", "check_acyclic", "output_total", "run"]

Move = Callable[[np.ndarray], np.ndarray]
LOWEST = -2000
"""A difference of exponents below this is as good as this."""


@dataclass(frozen=True, slots=True, eq=False)
class PathSums:
    """Sums over paths: from the inputs to each unit, and from each unit to the outputs.

    The sum to unit u is ``forward[u] * 2.0 ** forward_exponents[u]``, likewise backward; exponents are equal within a
    layer. `log2_forward`, `log2_backward` and `shares` are what is mostly wanted.

    Parameters
    ----------
    forward, backward : ndarray of float64, shape (n_units,)
        In [0, 1).
    forward_exponents, backward_exponents : ndarray of int64, shape (n_units,)
    total : float
    total_exponent : int
        The sum over all paths from an input to an output is ``total * 2.0 ** total_exponent``.
    """

    forward: np.ndarray
    backward: np.ndarray
    forward_exponents: np.ndarray
    backward_exponents: np.ndarray
    total: float
    total_exponent: int

    @property
    def log2_total(self) -> float:
        """log2 of the sum over all paths from an input to an output; -inf if there is none."""
        return log2(self.total) + self.total_exponent if self.total else -inf

    @property
    def log2_forward(self) -> np.ndarray:
        """log2 of the sum over the paths from the inputs: ndarray of float64, shape (n_units,), -inf for none."""
        return _log2(self.forward, self.forward_exponents)

    @property
    def log2_backward(self) -> np.ndarray:
        """log2 of the sum over the paths to the outputs: ndarray of float64, shape (n_units,), -inf for none."""
        return _log2(self.backward, self.backward_exponents)

    @property
    def shares(self) -> np.ndarray:
        """Share of each unit in the sum over all input-output paths: fractions, shape (n_units,); 0 without paths."""
        return self.product(np.arange(self.forward.size), np.arange(self.forward.size))

    def product(self, sources: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """Return forward of each source times backward of its target, divided by the sum over all paths.

        Parameters
        ----------
        sources, targets : ndarray of int64, shape (n,)
            The ends of edges, say: then the result is the share of each edge, if its own factor is 1.

        Returns
        -------
        ndarray of float64, shape (n,)
            0 where there is no path at all.
        """
        if not self.total:
            return np.zeros(np.shape(sources))
        exponents = self.forward_exponents[sources] + self.backward_exponents[targets] - self.total_exponent
        return np.ldexp(self.forward[sources] * self.backward[targets] / self.total, np.maximum(exponents, LOWEST))

    def scaled(self, sources: slice, targets: slice) -> tuple[np.ndarray, np.ndarray]:
        """Return forward of some units of one layer and backward of some of another, divided by the sum of all paths.

        Parameters
        ----------
        sources, targets : slice
            Unit ids, each within one layer.

        Returns
        -------
        forward, backward : ndarray of float64
            The product of a number of each is what `product` gives for the two units.
        """
        near, far = self.forward[sources], self.backward[targets]
        if not self.total or not near.size or not far.size:
            return np.zeros_like(near), np.zeros_like(far)
        exponents = self.forward_exponents[sources][0] + self.backward_exponents[targets][0] - self.total_exponent
        return near, np.ldexp(far / self.total, int(np.clip(exponents, LOWEST, -LOWEST // 2)))


def run(graph: NetGraph, factors: TableFactors) -> PathSums:
    """Return the sums over all paths, each the product of the factors of its edges, in numpy.

    Paths run along kept weights and wiring that pass a change on (`netgraph.walks`): not into a unit whose gate is
    closed, nor into a product with another factor that is zero. Wiring has the factor 1. Edges of different connections
    between the same two units are different paths.

    Parameters
    ----------
    graph : NetGraph
    factors : TableFactors

    Returns
    -------
    PathSums

    Raises
    ------
    GraphStructureError
        The graph has cycles.
    """
    check_acyclic(graph)
    into: dict[str, list[tuple[str, Move]]] = {name: [] for name in graph.layers}
    out_of: dict[str, list[tuple[str, Move]]] = {name: [] for name in graph.layers}
    position = 0
    for c, passing in passing_targets(graph, sweep(graph).nonzero):
        own = position if isinstance(c, Connection) else -1
        position += isinstance(c, Connection)
        forward, backward = _moves(graph, c, own, factors, passing[graph.slices[c.target]])
        into[c.target].append((c.source, forward))
        out_of[c.source].append((c.target, backward))
    forward_values, forward_exponents = _pass(graph, graph.layers, into, graph.inputs)
    backward_values, backward_exponents = _pass(graph, reversed(list(graph.layers)), out_of, graph.outputs)
    total = output_total(graph, forward_values, forward_exponents)
    return PathSums(forward_values, backward_values, forward_exponents, backward_exponents, *total)


def output_total(graph: NetGraph, values: np.ndarray, exponents: np.ndarray) -> tuple[float, int]:
    """Return the sum over all paths from an input to an output.

    Parameters
    ----------
    graph : NetGraph
    values, exponents : ndarray, shape (n_units,)
        The sums over the paths to each unit, as in `PathSums`.

    Returns
    -------
    total : float
    total_exponent : int
    """
    outputs = np.unique(graph.outputs)
    values, exponents = values[outputs], exponents[outputs]
    if not values.any():
        return 0.0, 0
    largest = int(exponents[values > 0].max())
    return float(np.ldexp(values, np.maximum(exponents - largest, LOWEST)).sum()), largest


def check_acyclic(graph: NetGraph) -> None:
    """Raise GraphStructureError if the graph has feedback connections.

    Parameters
    ----------
    graph : NetGraph
    """
    if graph.is_cyclic:
        raise GraphStructureError("the graph has cycles, so paths have no end; leave its feedback connections out")


def _moves(
    graph: NetGraph, c: Connection | Wiring, position: int, factors: TableFactors, passing: np.ndarray
) -> tuple[Move, Move]:
    def forward(values: np.ndarray) -> np.ndarray:
        return along(c, factors, position, graph.layers[c.target], values) * passing

    def backward(values: np.ndarray) -> np.ndarray:
        return against(c, factors, position, graph.layers[c.source], values * passing)

    return forward, backward


def _pass(
    graph: NetGraph, order: Iterable[str], moves: Mapping[str, list[tuple[str, Move]]], starts: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    values, exponents = np.zeros(graph.n_units), np.zeros(graph.n_units, dtype=np.int64)
    values[starts] = 1.0
    scale: dict[str, int] = {}
    for name in order:
        own = graph.slices[name]
        terms = [(values[own], 0)]
        for other, move in moves[name]:
            far = values[graph.slices[other]]
            if far.any():
                terms.append((move(far), scale[other]))
        total, exponent = _sum([term for term in terms if term[0].any()] or terms[:1])
        shift = int(np.frexp(total.max(initial=0.0))[1])
        values[own] = _shifted(total, -shift)
        exponents[own] = scale[name] = exponent + shift
    return values, exponents


def _sum(terms: list[tuple[np.ndarray, int]]) -> tuple[np.ndarray, int]:
    """Return the sum of some values, each under an exponent of its own, under the largest of these."""
    largest = max(exponent for _, exponent in terms)
    total = _shifted(terms[0][0], terms[0][1] - largest)
    for values, exponent in terms[1:]:
        total = total + _shifted(values, exponent - largest)
    return total, largest


def _shifted(values: np.ndarray, exponent: int) -> np.ndarray:
    """Return ``values * 2.0 ** exponent``."""
    if exponent == 0:
        return values
    # A product is faster than ldexp, but its factor must be a number.
    return values * 2.0**exponent if abs(exponent) < 1000 else np.ldexp(values, max(exponent, LOWEST))


def _log2(values: np.ndarray, exponents: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore"):
        return np.log2(values) + exponents
