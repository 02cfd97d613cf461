"""Sums over paths on the compiled kernels: one call a graph, bits and weights are read in place, nothing is unpacked.

Same answers as `netgraph.flow.passes.run` with the tables of `netgraph.flow.operators`.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from netgraph import native
from netgraph.compiled import plan_of
from netgraph.errors import WeightValueError
from netgraph.flow.passes import PathSums, output_total
from netgraph.graph import NetGraph

if TYPE_CHECKING:
    from netgraph import _native
else:
    _native = native.kernels

__all__ = ["sums", "write_shares"]


def sums(graph: NetGraph, weights: Mapping[str, np.ndarray] | None, power: int) -> PathSums:
    """Return the sums over all paths; see `netgraph.flow.path_sums`.

    Parameters
    ----------
    graph : NetGraph
        Without cycles.
    weights : mapping of str to ndarray, or None
        None for factors of 1.
    power : int
        1 or 2.

    Returns
    -------
    PathSums

    Raises
    ------
    WeightValueError
        A kept weight is not finite.
    """
    values = [] if weights is None else _values(graph, weights)
    forward, backward = np.empty((2, graph.n_units))
    exponents = np.empty((2, graph.n_units), dtype=np.int64)
    plan = plan_of(graph).kernel_plan
    found = (forward, exponents[0], backward, exponents[1])
    broken = _native.path_sums(plan, graph.bits, values, power, graph.gate, graph.shift, *found)
    if broken >= 0:
        name = graph.weighted[broken].parameter
        raise WeightValueError(f"weight {name!r}: a kept weight is not finite; expected numbers")
    return PathSums(forward, backward, exponents[0], exponents[1], *output_total(graph, forward, exponents[0]))


def write_shares(
    graph: NetGraph,
    weights: Mapping[str, np.ndarray],
    power: int,
    sums: PathSums,
    found: Mapping[str, np.ndarray],
    *,
    fresh: bool,
) -> None:
    """Write the share of each weight in the sum over all paths; see `netgraph.flow.weight_shares`.

    Parameters
    ----------
    graph : NetGraph
    weights : mapping of str to ndarray
    power : int
        1 or 2.
    sums : PathSums
    found : mapping of str to ndarray
        One array without gaps for each edge parameter, in its shape. Changed in place.
    fresh : bool
        Whether these hold zeros.
    """
    values, plan = _values(graph, weights), plan_of(graph)
    flat = {name: array.reshape(-1) for name, array in found.items()}
    written: dict[str, list[slice]] = {name: [] for name in flat}
    shares, apart = [], []
    for number, (c, part) in enumerate(zip(graph.weighted, plan.parts, strict=True)):
        if part is not None and all(part.stop <= s.start or s.stop <= part.start for s in written[c.parameter]):
            written[c.parameter].append(part)
            shares.append(flat[c.parameter][part])
        else:
            apart.append(number)
            shares.append(np.zeros(c.size, dtype=values[number].dtype))
    for name, own in written.items():
        if not fresh and sum(part.stop - part.start for part in own) < flat[name].size:
            flat[name].fill(0)
    parts = (sums.forward, sums.forward_exponents, sums.backward, sums.backward_exponents)
    total = (sums.total, sums.total_exponent)
    _native.path_shares(plan.kernel_plan, graph.bits, values, power, graph.gate, *parts, *total, fresh, shares)
    for number in apart:
        c = graph.weighted[number]
        np.add.at(flat[c.parameter], c.elements().reshape(-1), shares[number])


def _values(graph: NetGraph, weights: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    """Return the values of each weighted connection in the order of its bits, float32 or float64."""
    flat = {name: _flat(weights[name]) for name in graph.edge_parameters}
    return [
        np.ascontiguousarray(flat[c.parameter][c.elements().reshape(-1) if part is None else part])
        for c, part in zip(graph.weighted, plan_of(graph).parts, strict=True)
    ]


def _flat(array: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(array.reshape(-1), dtype=np.float32 if array.dtype.itemsize <= 4 else np.float64)
