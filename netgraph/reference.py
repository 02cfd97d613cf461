"""The passes of `netgraph.reach` in plain numpy: fallback without a compiler, and oracle of the native kernels.

A pass goes over the connections in the order of their target layers and keeps one flag a unit. All functions take the
graph and arrays over units and return arrays; `netgraph.reach` gives them names and meaning.
"""

from collections.abc import Mapping
from typing import NoReturn

import numpy as np

from netgraph.bits import pack_rows
from netgraph.connection import Connection, Wiring
from netgraph.errors import WeightValueError
from netgraph.graph import NetGraph

__all__ = [
    "consistent_counts",
    "forward",
    "passing_factors",
    "raise_nan",
    "restrict",
    "sweep",
    "sweep_weights",
    "unit_slices",
]

Incoming = list[tuple[Connection | Wiring, np.ndarray]]
"""Connections into a layer, each with the pairs of units it joins (empty for wiring)."""

BFLOAT16_MAGNITUDE, BFLOAT16_INFINITY = 0x7FFF, 0x7F80
"""The bits of a bfloat16 but its sign; above infinity they are a NaN."""


def sweep(graph: NetGraph) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return live, nonzero and co-accessible units and the consistent elements of each weighted connection.

    Parameters
    ----------
    graph : NetGraph

    Returns
    -------
    live, nonzero, co : ndarray of bool, shape (n_units,)
    consistent : ndarray of int64, shape (n_weighted,)

    Examples
    --------
    >>> import netgraph as ng
    >>> connections = [ng.Connection("w", "x", "h", 2, 1), ng.Connection("v", "h", "y", 1, 2)]
    >>> graph = ng.NetGraph({"x": 1, "h": 2, "y": 1}, connections, np.array([1, 3]), [0], [3])
    >>> live, nonzero, co, consistent = sweep(graph)
    >>> live.tolist(), co.tolist(), consistent.tolist()
    ([True, True, False, True], [True, True, True, True], [1, 1])
    """
    pairs = [np.logical_or.reduce(graph.kept(i), axis=2) for i in range(len(graph.weighted))]
    live, nonzero = forward(graph, pairs)
    co = _backward(graph, pairs, nonzero)
    return live, nonzero, co, consistent_counts(graph, live, co & graph.gate)


def unit_slices(graph: NetGraph, c: Connection | Wiring) -> tuple[slice, slice]:
    """Return the ids of the source and of the target units that a connection spans, as two slices."""
    source, target = graph.slices[c.source].start, graph.slices[c.target].start
    if isinstance(c, Wiring) and c.pairs is not None:
        return graph.slices[c.source], graph.slices[c.target]
    source, target = source + c.source_start, target + c.target_start
    if isinstance(c, Connection):
        return slice(source, source + c.groups * c.columns), slice(target, target + c.rows)
    return slice(source, source + c.groups * c.fan_in), slice(target, target + c.groups * c.fan_out)


def forward(graph: NetGraph, pairs: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return live and nonzero units: two ndarrays of bool, shape (n_units,).

    `pairs` holds, for each weighted connection, which pairs of units it joins: bool, shape (rows, columns).
    """
    live, nonzero = np.zeros(graph.n_units, dtype=bool), np.zeros(graph.n_units, dtype=bool)
    incoming = _by_target(graph, pairs)
    while True:
        before = np.count_nonzero(live) + np.count_nonzero(nonzero)
        for name in graph.layers:
            _enter(graph, name, incoming[name], live, nonzero)
        if not graph.is_cyclic or before == np.count_nonzero(live) + np.count_nonzero(nonzero):
            return live, nonzero


def _by_target(graph: NetGraph, pairs: list[np.ndarray]) -> dict[str, Incoming]:
    incoming: dict[str, Incoming] = {name: [] for name in graph.layers}
    weighted = iter(pairs)
    for c in graph.connections:
        incoming[c.target].append((c, next(weighted) if isinstance(c, Connection) else np.zeros((0, 0), bool)))
    return incoming


def _enter(graph: NetGraph, name: str, incoming: Incoming, live: np.ndarray, nonzero: np.ndarray) -> None:
    """Set the class of the units of one layer from the units that feed it, itself included in a cycle."""
    units = graph.slices[name]
    if name in graph.products:
        factors = _factors(graph, name, live, nonzero)
        present = np.logical_and.reduce([present for _, present in factors.values()], axis=0)
        alive = present & np.logical_or.reduce([alive for alive, _ in factors.values()], axis=0)
    else:
        alive, present = (_joined(graph, name, incoming, flags) for flags in (live, nonzero))
    live[units] = alive & graph.gate[units]
    nonzero[units] = (present & graph.gate[units]) | graph.shift[units]
    inputs = graph.inputs[(graph.inputs >= units.start) & (graph.inputs < units.stop)]
    live[inputs] = nonzero[inputs] = True


def _joined(graph: NetGraph, name: str, incoming: Incoming, flags: np.ndarray) -> np.ndarray:
    """Return which units of a layer some edge joins to a flagged unit: ndarray of bool, shape (size of the layer,)."""
    joined, start = np.zeros(graph.layers[name], dtype=bool), graph.slices[name].start
    for c, pair in incoming:
        sources, targets = unit_slices(graph, c)
        joined[targets.start - start : targets.stop - start] |= _or_forward(c, pair, flags[sources], targets)
    return joined


def _or_forward(c: Connection | Wiring, pair: np.ndarray, flags: np.ndarray, targets: slice) -> np.ndarray:
    """Return which of the spanned target units an edge joins to a flagged unit of the spanned source units."""
    if isinstance(c, Connection):
        return (_grouped(c, pair) & flags.reshape(c.groups, 1, c.columns)).any(axis=2).reshape(-1)
    if c.pairs is not None:
        reached = np.zeros(targets.stop - targets.start, dtype=bool)
        reached[c.pairs[1][flags[c.pairs[0]]]] = True
        return reached
    return np.repeat(flags.reshape(c.groups, c.fan_in).any(axis=1), c.fan_out)


def _grouped(c: Connection, pair: np.ndarray) -> np.ndarray:
    return pair.reshape(c.groups, c.rows // c.groups, c.columns)


def _or_backward(c: Connection | Wiring, pair: np.ndarray, passing: np.ndarray, sources: slice) -> np.ndarray:
    """Return which of the spanned source units an edge joins to a `passing` unit of the spanned target units."""
    if isinstance(c, Connection):
        grouped = _grouped(c, pair) & passing.reshape(c.groups, -1, 1)
        return grouped.any(axis=1).reshape(-1)
    if c.pairs is not None:
        reached = np.zeros(sources.stop - sources.start, dtype=bool)
        reached[c.pairs[0][passing[c.pairs[1]]]] = True
        return reached
    return np.repeat(passing.reshape(c.groups, c.fan_out).any(axis=1), c.fan_in)


def _factors(
    graph: NetGraph, name: str, live: np.ndarray, nonzero: np.ndarray
) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    """Return live and nonzero flags of each factor of a product layer; a factor without a source is a constant."""
    size = graph.layers[name]
    factors: dict[int, tuple[np.ndarray, np.ndarray]] = {}
    for c in graph.wiring:
        if c.target == name:
            alive, present = factors.setdefault(c.factor, (np.zeros(size, bool), np.ones(size, bool)))
            source, target = c.edges()
            source = source + graph.slices[c.source].start
            alive[target], present[target] = live[source], nonzero[source]
    return factors


def passing_factors(graph: NetGraph, name: str, nonzero: np.ndarray) -> dict[int, np.ndarray]:
    """Return, for each factor of a product layer, the units whose other factors are all nonzero: ndarray of bool."""
    present = {number: flags for number, (_, flags) in _factors(graph, name, nonzero, nonzero).items()}
    every = np.ones(graph.layers[name], dtype=bool)
    return {
        number: np.logical_and.reduce([every, *(f for n, f in present.items() if n != number)]) for number in present
    }


def _backward(graph: NetGraph, pairs: list[np.ndarray], nonzero: np.ndarray) -> np.ndarray:
    """Return the co-accessible units: ndarray of bool, shape (n_units,)."""
    co = np.zeros(graph.n_units, dtype=bool)
    co[graph.outputs] = True
    incoming = _by_target(graph, pairs)
    factors = {name: passing_factors(graph, name, nonzero) for name in graph.products}
    while True:
        before = np.count_nonzero(co)
        for name in reversed(list(graph.layers)):
            for c, pair in incoming[name]:
                _leave(graph, c, pair, co, factors.get(name, {}))
        if not graph.is_cyclic or before == np.count_nonzero(co):
            return co


def _leave(
    graph: NetGraph, c: Connection | Wiring, pair: np.ndarray, co: np.ndarray, factors: Mapping[int, np.ndarray]
) -> None:
    """Make the sources of one connection co-accessible where a target passes their change on."""
    sources, targets = unit_slices(graph, c)
    passing = co[targets] & graph.gate[targets]
    if isinstance(c, Wiring) and c.factor in factors:
        start = graph.slices[c.target].start
        passing &= factors[c.factor][targets.start - start : targets.stop - start]
    co[sources] |= _or_backward(c, pair, passing, sources)


def consistent_counts(graph: NetGraph, sources: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Return how many kept elements of each weighted connection join a flagged source to a flagged target unit."""
    counts = (np.count_nonzero(_restricted(graph, i, sources, targets)) for i in range(len(graph.weighted)))
    return np.fromiter(counts, dtype=np.int64, count=len(graph.weighted))


def restrict(graph: NetGraph, sources: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Return the bits of `graph` without the elements whose source or target unit is not flagged.

    Parameters
    ----------
    graph : NetGraph
    sources, targets : ndarray of bool, shape (n_units,)

    Returns
    -------
    ndarray of uint64, shape of ``graph.bits``
    """
    words = [np.zeros(0, dtype=np.uint64)]
    for position, c in enumerate(graph.weighted):
        words.append(pack_rows(_restricted(graph, position, sources, targets).reshape(c.rows, c.width)))
    return np.concatenate(words)


def _restricted(graph: NetGraph, position: int, sources: np.ndarray, targets: np.ndarray) -> np.ndarray:
    c = graph.weighted[position]
    source_units, target_units = unit_slices(graph, c)
    kept = graph.kept(position).reshape(c.groups, c.rows // c.groups, c.columns, c.taps)
    kept = kept & sources[source_units].reshape(c.groups, 1, c.columns, 1)
    return kept & targets[target_units].reshape(c.groups, -1, 1, 1)


def sweep_weights(
    graph: NetGraph, weights: Mapping[str, np.ndarray]
) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
    """Return the bits with those of each parameter in `weights` set where its value is not 0, and their `sweep`.

    Parameters
    ----------
    graph : NetGraph
    weights : mapping of str to ndarray
        Already checked; uint16 holds bfloat16.

    Returns
    -------
    bits : ndarray of uint64, shape of ``graph.bits``
    live, nonzero, co, consistent : as `sweep` returns them

    Raises
    ------
    WeightValueError
        A weight is NaN.
    """
    bits = graph.bits.copy()
    for position, c in enumerate(graph.weighted):
        if c.parameter in weights:
            values = _values(c, weights)
            if _is_nan(values).any():
                raise_nan(c, weights)
            kept = (values & BFLOAT16_MAGNITUDE if values.dtype == np.uint16 else values) != 0
            bits[graph.word_starts[position] : graph.word_starts[position + 1]] = pack_rows(kept)
    return bits, sweep(graph.with_bits(bits))


def raise_nan(c: Connection, weights: Mapping[str, np.ndarray]) -> NoReturn:
    """Raise WeightValueError that names the first NaN among the elements of a connection."""
    elements = c.elements().reshape(c.rows, c.width)
    first = int(elements[_is_nan(_values(c, weights))].min())
    raise WeightValueError(f"weight {c.parameter!r}: element {first} is NaN; expected numbers")


def _values(c: Connection, weights: Mapping[str, np.ndarray]) -> np.ndarray:
    return weights[c.parameter].reshape(-1)[c.elements().reshape(c.rows, c.width)]


def _is_nan(values: np.ndarray) -> np.ndarray:
    if values.dtype == np.uint16:
        return (values & BFLOAT16_MAGNITUDE) > BFLOAT16_INFINITY
    return np.isnan(values)
