"""The passes of `netgraph.reach` on the compiled kernels; same functions as `netgraph.reference`, same answers.

The structure of a graph is compiled into a plan at the first pass. Graphs that differ only in kept elements share it,
so that a whole sweep is one call.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.lib.stride_tricks import as_strided

from netgraph import native, reference
from netgraph.connection import Connection, ElementIndex, Wiring
from netgraph.graph import NetGraph

if TYPE_CHECKING:
    from netgraph import _native
else:
    _native = native.kernels

__all__ = ["CompiledPlan", "plan_of", "restrict", "sweep", "sweep_weights"]

READABLE = tuple(np.dtype(name) for name in ("float64", "float32", "float16", "uint16", "uint8", "bool"))
"""Dtypes that the kernels read; uint16 holds bfloat16."""

PLAN = "_compiled_plan"
"""Where a graph keeps its plan: among the derived values, which a graph with other bits takes over."""


@dataclass(frozen=True, slots=True, eq=False)
class CompiledPlan:
    """What the kernels know about the structure of a graph.

    Parameters
    ----------
    kernel_plan : netgraph._native.Plan
    parts : tuple of slice or None
        Where the elements of each weighted connection lie in the flat parameter; None if they have another order.
    """

    kernel_plan: "_native.Plan"
    parts: tuple[slice | None, ...]


def plan_of(graph: NetGraph) -> CompiledPlan:
    """Return the plan of `graph`, compiled at the first call."""
    plan = graph.__dict__.get(PLAN)
    if plan is None:
        plan = graph.__dict__[PLAN] = _compile(graph)
    return plan


def _compile(graph: NetGraph) -> CompiledPlan:
    number = {name: i for i, name in enumerate(graph.layers)}
    pairs = [np.zeros((2, 0), dtype=np.int32), *(w.pairs for w in graph.wiring if w.pairs is not None)]
    kernel_plan = _native.Plan(
        np.array(list(graph.layers.values()), dtype=np.int64),
        np.array([name in graph.products for name in graph.layers], dtype=bool),
        np.array([_weighted_row(c, number) for c in graph.weighted], dtype=np.int64).reshape(-1, 8),
        np.array(_wiring_rows(graph.wiring, number), dtype=np.int64).reshape(-1, 10),
        np.ascontiguousarray(np.concatenate(pairs, axis=1), dtype=np.int32),
        graph.inputs,
        graph.outputs,
        graph.is_cyclic,
    )
    return CompiledPlan(kernel_plan, tuple(_part(c) for c in graph.weighted))


def _weighted_row(c: Connection, number: Mapping[str, int]) -> tuple[int, ...]:
    """Return the columns of ``WeightedColumn`` in native/plan.hpp."""
    ends = (number[c.source], number[c.target], c.source_start, c.target_start)
    return (*ends, c.rows, c.columns, c.taps, c.groups)


def _wiring_rows(wiring: tuple[Wiring, ...], number: Mapping[str, int]) -> list[tuple[int, ...]]:
    """Return the columns of ``WireColumn`` in native/plan.hpp."""
    rows: list[tuple[int, ...]] = []
    first_pair = 0
    for c in wiring:
        pairs = (-1, 0) if c.pairs is None else (first_pair, c.n_edges)
        start = (c.source_start, c.target_start) if c.pairs is None else (0, 0)
        rows.append((number[c.source], number[c.target], *start, c.groups, c.fan_in, c.fan_out, c.factor, *pairs))
        first_pair += pairs[1]
    return rows


def _part(c: Connection) -> slice | None:
    offset = c.contiguous_offset
    return None if offset is None else slice(offset, offset + c.size)


def sweep(graph: NetGraph) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return live, nonzero, co-accessible units and consistent counts; see `netgraph.reference.sweep`."""
    flags, consistent = _results(graph)
    _native.sweep(plan_of(graph).kernel_plan, graph.bits, graph.gate, graph.shift, flags, consistent)
    return flags[0], flags[1], flags[2], consistent


def sweep_weights(
    graph: NetGraph, weights: Mapping[str, np.ndarray]
) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
    """Return the bits of `weights` and the sweep over them; see `netgraph.reference.sweep_weights`."""
    plan = plan_of(graph)
    readable = {name: _readable(array) for name, array in weights.items()}
    values = [_values(c, part, readable) for c, part in zip(graph.weighted, plan.parts, strict=True)]
    bits = graph.bits.copy() if any(v is None for v in values) else np.empty_like(graph.bits)
    flags, consistent = _results(graph)
    nan = _native.sweep_values(plan.kernel_plan, bits, values, graph.gate, graph.shift, flags, consistent)
    if nan >= 0:
        reference.raise_nan(graph.weighted[nan], weights)
    return bits, (flags[0], flags[1], flags[2], consistent)


def _results(graph: NetGraph) -> tuple[np.ndarray, np.ndarray]:
    return np.empty((3, graph.n_units), dtype=bool), np.empty(len(graph.weighted), dtype=np.int64)


def _readable(array: np.ndarray) -> np.ndarray:
    """Return the array flat, contiguous and of a dtype that the kernels read."""
    if array.dtype not in READABLE:
        array = array.astype(array.dtype.newbyteorder("="), copy=False)
        array = array if array.dtype in READABLE or array.dtype.kind == "f" else array != 0
    if array.dtype not in READABLE:  # a float format of its own: only whether a value is zero or NaN matters
        array = np.where(np.isnan(array), np.nan, array != 0)
    return np.ascontiguousarray(array).reshape(-1)


def _values(c: Connection, part: slice | None, weights: Mapping[str, np.ndarray]) -> np.ndarray | None:
    """Return the values of one connection in the order of its bits, or None if it keeps the bits it has."""
    flat = weights.get(c.parameter)
    if flat is None:
        return None
    if part is not None:
        return flat[part]
    return flat[c.elements().reshape(-1)] if isinstance(c.index, np.ndarray) else _strided(c, c.index, flat)


def _strided(c: Connection, index: ElementIndex, flat: np.ndarray) -> np.ndarray:
    """Return the values of a part whose elements lie in another order, such as a weight stored (in, out)."""
    shape = (c.groups, c.rows // c.groups, c.columns, c.taps)
    last = index.offset + sum((n - 1) * stride for n, stride in zip(shape, index.strides, strict=True))
    if c.size == 0 or min(index.offset, *index.strides) < 0 or last >= flat.size:
        return flat[c.elements().reshape(-1)]  # raises IndexError where an element lies outside
    strides = [stride * flat.itemsize for stride in index.strides]
    return np.ascontiguousarray(as_strided(flat[index.offset :], shape, strides)).reshape(-1)


def restrict(graph: NetGraph, sources: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Return the bits without the elements whose source or target is not flagged; see `netgraph.reference.restrict`."""
    bits = np.empty_like(graph.bits)
    _native.restrict(plan_of(graph).kernel_plan, graph.bits, sources, targets, bits)
    return bits
