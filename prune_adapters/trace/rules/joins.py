"""Concatenation, stacking and padding.

Along channels the ids are concatenated. Along positions units are shared, so what meets there is joined channel by
channel (``positions="join"``); ``positions="split"`` keeps the parts apart at the price of more units.
"""

from collections.abc import Sequence

import torch

from prune_adapters.trace.acting import act, held
from prune_adapters.trace.ids import compress
from prune_adapters.trace.meeting import meet
from prune_adapters.trace.registry import Operation, register_rule
from prune_adapters.trace.values import PRESENT, ZERO, Constant, Units, Value, Weight

__all__ = ["cat", "pad", "stack"]


def cat(op: Operation) -> Value:
    """Concatenate units along channels, or join them along positions."""
    parts, dim = list(op["tensors"]), op["dim"] % len(op.shape)
    parts = [p for p in parts if len(p.shape) == len(op.shape)]
    if op.options.positions == "join" and _along_positions(parts, dim):
        return _joined(op, parts)
    for part in parts:
        for source in () if isinstance(part, Units) else part.sources:
            op.graph.note_role(source, "constant")
    return op.units(compress(torch.cat(_aligned(op, parts, dim), dim)))


def stack(op: Operation) -> Value:
    """Stack units along a new dimension, which they are told apart by."""
    dim = op["dim"] % len(op.shape)
    parts = [_ids(op, p).unsqueeze(dim) for p in op["tensors"]]
    for part in op["tensors"]:
        for source in () if isinstance(part, Units) else part.sources:
            op.graph.note_role(source, "constant")
    return op.units(compress(torch.cat(_same_size(parts, dim), dim)))


def _moved_cat(op: Operation, tensors: Sequence[torch.Tensor]) -> torch.Tensor:
    return op.target(list(tensors), *op.args[1:], **op.kwargs)


cat.moves_elements = stack.moves_elements = _moved_cat
register_rule("aten.cat", "aten.concat", "aten.concatenate")(cat)
register_rule("aten.stack")(stack)


def _along_positions(parts: list[Value], dim: int) -> bool:
    units = [p for p in parts if isinstance(p, Units)]
    shared = all(p.ids.shape[dim] == 1 for p in units)
    return shared and any(p.shape[dim] > 1 for p in units)


def _joined(op: Operation, parts: list[Value]) -> Value:
    ids = meet(op.graph, [p.ids for p in parts if isinstance(p, Units)], op.name)
    constants = [(p, "shift") for p in parts if isinstance(p, (Weight, Constant))]
    return op.units(act(op.graph, ids, constants, op.name) if constants else ids)


def _ids(op: Operation, part: Value) -> torch.Tensor:
    if isinstance(part, Weight):
        return held(op.graph, part, op.name)
    return part.ids if isinstance(part, Units) else torch.full([1] * len(part.shape), PRESENT)


def _aligned(op: Operation, parts: list[Value], dim: int) -> list[torch.Tensor]:
    """Return the ids of the parts, full along `dim` and of one size along the others."""
    full = []
    for part in parts:
        ids = _ids(op, part)
        full.append(ids.expand([part.shape[d] if d == dim else ids.shape[d] for d in range(ids.dim())]))
    return _same_size(full, dim)


def _same_size(parts: list[torch.Tensor], dim: int) -> list[torch.Tensor]:
    sizes = [max(p.shape[d] for p in parts) for d in range(parts[0].dim())]
    return [p.expand([p.shape[d] if d == dim else sizes[d] for d in range(p.dim())]) for p in parts]


@register_rule(
    "aten.constant_pad_nd", "aten.pad", "aten.reflection_pad1d", "aten.reflection_pad2d", "aten.replication_pad2d"
)
def pad(op: Operation) -> Value:
    """Pad positions (units stay) or channels (the new ones are zero, or a constant)."""
    units, widths = op.args[0], op["pad"] if op.has("pad") else op["padding"]
    value = op["value"] if op.has("value") else None
    dims = [d for d in range(len(widths) // 2) if widths[2 * d] or widths[2 * d + 1]]
    on_channels = [d for d in dims if units.ids.shape[-1 - d] > 1]
    if on_channels or op.options.positions == "split":
        fill = PRESENT if value else ZERO
        sizes = [units.shape[d] if len(units.shape) - 1 - d in dims else s for d, s in enumerate(units.ids.shape)]
        if op.has("mode") and op["mode"] != "constant":
            raise op.error("padding of channels that is not constant", "pad positions only, or pass unknown='mix'")
        return op.units(compress(torch.constant_pad_nd(units.ids.expand(sizes), widths, fill)))
    return op.units(act(op.graph, units.ids, [(Constant(()), "shift")], op.name) if value else units.ids)
