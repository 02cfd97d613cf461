"""Concatenation, stacking and padding.

Along channels the ids are concatenated. Along positions units are shared, so what meets there is joined channel by
channel (``positions="join"``); ``positions="split"`` keeps the parts apart at the price of more units.
"""

from collections.abc import Sequence

import torch

from prune_adapters.trace.acting import act, ids_of
from prune_adapters.trace.ids import compress
from prune_adapters.trace.meeting import meet
from prune_adapters.trace.registry import Operation, register_rule
from prune_adapters.trace.rules.elementwise import is_present
from prune_adapters.trace.values import PRESENT, ZERO, Constant, Tokens, Units, Value

__all__ = ["broadcast", "cat", "in_blocks", "lined_up", "pad", "stack"]

PADS = """constant_pad_nd pad reflection_pad1d reflection_pad2d reflection_pad3d replication_pad1d replication_pad2d
replication_pad3d _pad_circular _pad_enum"""


def _same_on_tensors(op: Operation, tensors: Sequence[torch.Tensor]) -> torch.Tensor:
    return op.target(list(tensors), *op.args[1:], **op.kwargs)


@register_rule("aten.cat", "aten.concat", "aten.concatenate", move=_same_on_tensors)
def cat(op: Operation) -> Value:
    """Concatenate units along channels, or join them along positions."""
    parts = [part for part in _parts(op) if len(part.shape) == len(op.shape)]
    if _are_tokens(parts):
        return _joined_tokens(op, parts)
    if op.options.positions == "join" and _along_positions(parts, op.dim()):
        return _joined(op, parts)
    return op.units(compress(torch.cat(_aligned(op, parts, op.dim()), op.dim())))


@register_rule("aten.stack", move=_same_on_tensors)
def stack(op: Operation) -> Value:
    """Stack units along a new dimension, which they are told apart by."""
    if _are_tokens(_parts(op)):
        return _joined_tokens(op, _parts(op))
    parts = [_ids(op, part).unsqueeze(op.dim()) for part in _parts(op)]
    return op.units(compress(torch.cat(_same_size(parts, op.dim()), op.dim())))


@register_rule("aten.hstack", "aten.vstack", "aten.dstack", "aten.column_stack", "aten.meshgrid", move=_same_on_tensors)
def lined_up(op: Operation) -> Value | tuple[Value, ...]:
    """The operator itself, on the ids."""
    outputs = _same_on_tensors(op, [_ids(op, part).expand(part.shape) for part in _parts(op)])
    listed = outputs if isinstance(outputs, (list, tuple)) else [outputs]
    return tuple(op.units(compress(ids), shape) for ids, shape in zip(listed, op.shapes, strict=True))


@register_rule("aten.broadcast_tensors")
def broadcast(op: Operation) -> tuple[Value, ...]:
    """Every tensor at the shape that all share; what was one element is the same unit everywhere."""
    rank = len(op.shape)
    results: list[Value] = []
    for part in _parts(op):
        if isinstance(part, Tokens):
            results.append(Tokens(part.name, op.shape))
        elif isinstance(part, Units):
            results.append(op.units(part.at_rank(rank).ids))
        else:
            results.append(part.at_rank(rank))
    return tuple(results)


@register_rule("aten.block_diag")
def in_blocks(op: Operation) -> Value:
    """Matrices along the diagonal, zeros beside them."""
    return op.units(_same_on_tensors(op, [_ids(op, part).expand(part.shape) + 1 for part in _parts(op)]) - 1)


def _are_tokens(parts: list[Value]) -> bool:
    return any(isinstance(p, Tokens) for p in parts) and all(isinstance(p, (Tokens, Constant)) for p in parts)


def _joined_tokens(op: Operation, parts: list[Value]) -> Tokens:
    """Integer inputs in one tensor are one input, with the tokens of all."""
    names = dict.fromkeys(p.name for p in parts if isinstance(p, Tokens))
    return Tokens("+".join(names), op.shape)


def _parts(op: Operation) -> list[Value]:
    listed = op.args[0]
    return [part for part in listed if isinstance(part, Value)] if isinstance(listed, (list, tuple)) else []


def _along_positions(parts: list[Value], dim: int) -> bool:
    units = [p for p in parts if isinstance(p, Units)]
    shared = all(p.ids.shape[dim] == 1 for p in units)
    return shared and any(p.shape[dim] > 1 for p in units)


def _joined(op: Operation, parts: list[Value]) -> Value:
    ids = meet(op.graph, [p.ids for p in parts if isinstance(p, Units)], op.name)
    constants = [(p, "shift") for p in parts if is_present(p)]
    return op.units(act(op.graph, ids, constants, op.name) if constants else ids)


def _ids(op: Operation, part: Value) -> torch.Tensor:
    return ids_of(op.graph, part, op.name)


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


@register_rule(*(f"aten.{name}" for name in PADS.split()))
def pad(op: Operation) -> Value:
    """Pad positions (units stay) or channels (the new ones are zero, or a constant)."""
    units, value = op.first, op.argument("value")
    widths = op.numbers("pad") or op.numbers("padding")
    padded = [d for d in range(len(widths) // 2) if widths[2 * d] or widths[2 * d + 1]]
    if not any(units.ids.shape[-1 - d] > 1 for d in padded):
        return op.units(act(op.graph, units.ids, [(Constant(()), "shift")], op.name) if value else units.ids)
    if op.argument("mode") not in (None, "constant"):
        raise op.error("padding of channels that is not constant", "pad positions only, or pass unknown='mix'")
    rank = units.ids.dim()
    sizes = [units.shape[d] if rank - 1 - d in padded else size for d, size in enumerate(units.ids.shape)]
    fill = PRESENT if value else ZERO
    return op.units(compress(torch.constant_pad_nd(units.ids.expand(sizes), widths, fill)))
