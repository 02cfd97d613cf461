"""What must fit together in a graph: order, sizes and reach of its connections, bits, units and flags.

Kernels rely on it: nothing that passes here makes them read outside an array.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from netgraph.connection import Connection, Wiring
from netgraph.describe import some_names
from netgraph.errors import GraphStructureError

if TYPE_CHECKING:
    from netgraph.graph import NetGraph

__all__ = ["check_structure"]


def check_structure(graph: "NetGraph") -> None:
    """Raise `GraphStructureError` where the fields of a graph do not fit together."""
    _check_layers(graph)
    order = {name: i for i, name in enumerate(graph.layers)}
    for c in graph.connections:
        _check_connection(c, order, graph.layers)
        _check_factor(c, graph.products)
    _check_units(graph)


def _check_layers(graph: "NetGraph") -> None:
    for name, size in graph.layers.items():
        if size < 0:
            raise GraphStructureError(f"layer {name!r}: expected a size of at least 0, got {size}")
    for name in graph.products - set(graph.layers):
        raise GraphStructureError(f"product {name!r}: no such layer")
    for u in graph.unit_parameters:
        if u.layer not in graph.layers or u.role not in ("gate", "shift"):
            raise GraphStructureError(f"unit parameter {u.parameter!r}: layer {u.layer!r} or role {u.role!r} unknown")


def _check_units(graph: "NetGraph") -> None:
    if graph.bits.shape != (graph.word_starts[-1],):
        raise GraphStructureError(f"bits: expected shape ({graph.word_starts[-1]},), got {graph.bits.shape}")
    for label, units in (("inputs", graph.inputs), ("outputs", graph.outputs)):
        if units.ndim != 1 or (units.size and not 0 <= units.min() <= units.max() < graph.n_units):
            raise GraphStructureError(f"{label}: expected unit ids in [0, {graph.n_units}), got {units}")
    for label, flags in (("gate", graph.gate), ("shift", graph.shift)):
        if flags.shape != (graph.n_units,):
            raise GraphStructureError(f"{label}: expected shape ({graph.n_units},), got {flags.shape}")


def _check_connection(c: Connection | Wiring, order: Mapping[str, int], layers: Mapping[str, int]) -> None:
    label = f"connection {c.source!r} -> {c.target!r}"
    for name in (c.source, c.target):
        if name not in order:
            raise GraphStructureError(f"{label}: no layer {name!r}; the graph has {some_names(layers)}")
    if not c.feedback and order[c.source] >= order[c.target]:
        raise GraphStructureError(f"{label}: the source must stand before the target; mark cycles with feedback=True")
    if min(_numbers(c)) < 0:
        raise GraphStructureError(f"{label}: expected sizes, starts and units of at least 0, got {min(_numbers(c))}")
    if isinstance(c, Connection):
        if c.groups < 1 or c.rows % c.groups:
            raise GraphStructureError(f"{label}: expected rows divisible by groups, got {c.rows} and {c.groups}")
        last_source, last_target = c.source_start + c.groups * c.columns, c.target_start + c.rows
    elif c.pairs is not None:
        last_source, last_target = ((int(side.max()) + 1 if side.size else 0) for side in c.pairs)
    else:
        last_source, last_target = c.source_start + c.groups * c.fan_in, c.target_start + c.groups * c.fan_out
    if last_source > layers[c.source] or last_target > layers[c.target]:
        raise GraphStructureError(
            f"{label}: reaches source unit {last_source - 1} and target unit {last_target - 1}; "
            f"the layers have {layers[c.source]} and {layers[c.target]} units"
        )


def _check_factor(c: Connection | Wiring, products: frozenset[str]) -> None:
    if c.target in products and (isinstance(c, Connection) or (c.pairs is None and c.fan_in != 1)):
        raise GraphStructureError(
            f"connection {c.source!r} -> {c.target!r}: into a product layer expected wiring with one source for each "
            f"unit, got {'weights' if isinstance(c, Connection) else c.kind}; add a layer in between"
        )


def _numbers(c: Connection | Wiring) -> tuple[int, ...]:
    if isinstance(c, Connection):
        return c.rows, c.columns, c.taps, c.groups, c.source_start, c.target_start
    lowest = int(c.pairs.min()) if c.pairs is not None and c.pairs.size else 0
    return c.groups, c.fan_in, c.fan_out, c.source_start, c.target_start, lowest
