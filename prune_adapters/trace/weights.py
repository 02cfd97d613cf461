"""Weighted connections: where the elements of a parameter sit, and which units its input slots are."""

from collections.abc import Sequence

import numpy as np
import torch

from netgraph import Connection, ElementIndex
from prune_adapters.errors import TraceError
from prune_adapters.trace.builder import GraphBuilder
from prune_adapters.trace.meeting import combine, reduce
from prune_adapters.trace.values import Weight

__all__ = ["connect", "connect_all", "slots_of"]


def slots_of(graph: GraphBuilder, ids: torch.Tensor, dim: int, size: int, name: str) -> torch.Tensor:
    """Return one unit id for each of the `size` slots along `dim`; units that share a slot meet in a new unit."""
    others = [d for d in range(ids.dim()) if d != dim % ids.dim()]
    single = reduce(graph, ids, others, name + ".slots") if others else ids
    return single.reshape(-1).expand(size) if single.numel() == 1 else single.reshape(-1)


def connect(
    graph: GraphBuilder, weight: Weight, slots: torch.Tensor, name: str, order: str, groups: int = 1
) -> torch.Tensor:
    """Add a layer of weighted sums over `slots`; return its ids.

    Parameters
    ----------
    weight : Weight
        Axes target, source, then kernel positions with ``order="oi"``; source, target, ... with ``order="io"``.
    slots : Tensor of int64, shape (n_slots,)
        Unit id of each input slot.
    name : str
        Name of the layer.
    groups : int
        Groups of a convolution.
    """
    place = _gathered(graph, slots, name)
    if groups > 1 and place[2] % groups:
        combine(graph, slots.reshape(-1, 1), name + ".input")
        place = (len(graph.layers) - 1, 0, len(slots), 1)
    ids = graph.new_layer(name, _arranged(weight, order, groups)[0])
    _feed(graph, weight, place, order, groups)
    return ids


def connect_all(
    graph: GraphBuilder, terms: Sequence[tuple[Weight, torch.Tensor]], name: str, owner: str
) -> torch.Tensor:
    """Add a layer of sums of several weighted sums; return its ids.

    Parameters
    ----------
    terms : sequence of (Weight, Tensor)
        Weights with axes target, source, and the unit id of each of their input slots.
    name, owner : str
        Name of the layer; beginning of the names of layers that gather the slots.
    """
    places = [_gathered(graph, slots, owner) for _, slots in terms]
    ids = graph.new_layer(name, terms[0][0].shape[0])
    for (weight, _), place in zip(terms, places, strict=True):
        _feed(graph, weight, place, "oi", 1)
    return ids


def _feed(graph: GraphBuilder, weight: Weight, place: tuple[int, int, int, int], order: str, groups: int) -> None:
    """Join the units at `place` to the newest layer by a weight."""
    rows, kernel, strides = _arranged(weight, order, groups)
    layer, first, columns, taps = place
    target = str(len(graph.layers) - 1)
    for part in _parts(graph, weight, rows, (columns // groups, taps, kernel), groups, strides, order):
        graph.layers[-1].incoming.append(Connection(source=str(layer), target=target, **_shifted(part, first)))
        graph.note_role(part["parameter"], "edge")


def _gathered(graph: GraphBuilder, slots: torch.Tensor, name: str) -> tuple[int, int, int, int]:
    """Return where the units of input slots lie: (layer, first unit, columns, taps), gathering them if need be."""
    units = slots.numpy()
    taps = int(np.argmax(units != units[0])) if len(units) and (units != units[0]).any() else max(len(units), 1)
    columns = len(units) // taps
    start = int(units[0]) if len(units) else 0
    if start >= 0 and columns * taps == len(units):
        run = np.repeat(np.arange(start, start + columns), taps)
        if np.array_equal(run, units) and (not columns or graph.layer_at(start) == graph.layer_at(start + columns - 1)):
            layer = graph.layer_at(start)
            return layer, start - graph.layers[layer].start, columns, taps
    key = units.tobytes()
    if key not in graph.gathered:
        combine(graph, slots.reshape(-1, 1), name + ".input")
        graph.gathered[key] = len(graph.layers) - 1
    return graph.gathered[key], 0, len(units), 1


def _arranged(weight: Weight, order: str, groups: int) -> tuple[int, int, tuple[int, int, int, int]]:
    """Return rows, kernel positions and the strides of group, row, source slot and kernel position."""
    target_axis, source_axis = (0, 1) if order == "oi" else (1, 0)
    kernel = int(np.prod(weight.shape[2:], dtype=np.int64))
    outer = groups if order == "io" else 1
    rows = weight.shape[target_axis] * outer
    if weight.index is not None or not _even_steps(weight):
        return rows, kernel, (0, 0, 0, 0)
    row, column = weight.strides[target_axis], weight.strides[source_axis]
    per_group = weight.shape[source_axis] // groups * column if order == "io" else rows // groups * row
    return rows, kernel, (per_group, row, column, weight.strides[-1] if len(weight.shape) > 2 else 1)


def _parts(
    graph: GraphBuilder, weight: Weight, rows: int, sizes: tuple[int, int, int], groups: int, strides: tuple, order: str
) -> list[dict]:
    """Return the fields of the connections that hold a weight: one, or one for each parameter it is made of."""
    columns, taps, kernel = sizes
    common = {"columns": columns, "taps": taps * kernel, "groups": groups}
    group, row, column, tap = strides
    if weight.index is None and _even_steps(weight) and (taps == 1 or kernel == 1):
        step = (group, row, column * taps, column if kernel == 1 else tap)
        index = ElementIndex(weight.offset, step)
        return [{"parameter": weight.name, "rows": rows, "index": index, **common}]
    numbers = weight.numbers(graph.element_starts)
    if order == "io":
        per_source = numbers.reshape(groups, -1, *numbers.shape[1:])
        numbers = np.swapaxes(per_source, 1, 2).reshape(rows, -1, *numbers.shape[2:])
    return _split_by_parameter(graph, numbers.reshape(rows, columns, taps * kernel), common)


def _split_by_parameter(graph: GraphBuilder, numbers: np.ndarray, common: dict) -> list[dict]:
    starts = np.array([*graph.element_starts.values()])
    names = list(graph.element_starts)
    owner = np.searchsorted(starts, numbers, side="right") - 1
    parts = []
    for number in dict.fromkeys(owner.reshape(-1).tolist()):
        here = owner == number
        r, c = here.any(axis=(1, 2)).nonzero()[0], here.any(axis=(0, 2)).nonzero()[0]
        block = here[r[0] : r[-1] + 1, c[0] : c[-1] + 1]
        split_groups = common["groups"] > 1 and block.shape != here.shape
        if number < 0 or (numbers < 0).any() or not block.all() or split_groups:
            raise TraceError(
                f"weight of {names[max(number, 0)]!r}: put together from several parameters, or padded, in an "
                "irregular way; concatenate whole rows or whole columns, or pass unknown='mix'"
            )
        index = numbers[r[0] : r[-1] + 1, c[0] : c[-1] + 1] - starts[number]
        sizes = {"rows": len(r), "columns": len(c), "taps": common["taps"], "groups": common["groups"]}
        place = {"target_start": int(r[0]), "source_start": int(c[0])}
        parts.append({"parameter": names[number], "index": np.ascontiguousarray(index), **sizes, **place})
    return parts


def _shifted(part: dict, first: int) -> dict:
    return {**part, "source_start": part.get("source_start", 0) + first}


def _even_steps(weight: Weight) -> bool:
    """Return whether the kernel positions lie at one step from each other."""
    sizes, strides = weight.shape[2:], weight.strides[2:]
    expected = strides[-1] if strides else 1
    for size, stride in zip(reversed(sizes), reversed(strides), strict=True):
        if size > 1 and stride != expected:
            return False
        expected *= size
    return True
