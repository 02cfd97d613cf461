"""Writing at positions: scatter, index assignment and assignment to slices.

At fixed positions along channels the written elements replace what was there, or are added to it. Along positions units
are shared, so what is written joins what is left channel by channel. Positions that depend on the input make every
element along the dimension depend on them and on all that may be written there.
"""

from collections.abc import Callable, Sequence

import torch

from prune_adapters.trace.acting import act, ids_of
from prune_adapters.trace.ids import compress
from prune_adapters.trace.meeting import meet, reduce
from prune_adapters.trace.registry import Operation, register_rule
from prune_adapters.trace.rules.picking import chosen_by
from prune_adapters.trace.values import PRESENT, ZERO, Constant, Tokens, Units, Value

__all__ = ["filled_at", "masked_scatter", "scattered", "scattered_part", "written_at"]

MOST_ROUNDS = 512
"""Positions along a dimension up to which sums at repeated positions are followed one by one."""


@register_rule("aten.slice_scatter", "aten.select_scatter", "aten.diagonal_scatter")
def scattered_part(op: Operation) -> Value:
    """The source replaces a part, as an assignment to a slice does."""
    base, source = (_ids(op, value).contiguous() for value in op.args[:2])
    return op.units(compress(op.target(base, source, *op.args[2:], **op.kwargs)))


@register_rule("aten.scatter", "aten.scatter_add", "aten.scatter_reduce")
@register_rule("aten.index_add", "aten.index_copy", "aten.index_reduce")
def scattered(op: Operation) -> Value:
    """Written along one dimension; whatever reduces several elements at one position is taken as their sum."""
    dim = op.number("dim") % max(len(op.shape), 1)
    base, index, source = _operands(op)
    replaces = op.packet == "aten.index_copy" or op.target._overloadname in ("src", "value")
    if not isinstance(index, Constant):
        return _anywhere(op, [base, source], [dim], [index])
    if base.ids.shape[dim] == 1 and source.ids.shape[dim] == 1:
        whole = replaces and source.shape[dim] == op.shape[dim] and op.packet == "aten.index_copy"
        return op.units(source.ids if whole else meet(op.graph, [base.ids, source.ids], op.name))
    known = _value_of(op, index)
    by_line = op.packet.startswith("aten.index_")
    write = _line_writer(dim) if by_line else _element_writer(dim)
    return op.units(compress(_written(op, base, source, known, dim, write, replaces)))


def _operands(op: Operation) -> tuple[Units, Value, Units]:
    """Return what is written to, where, and what is written."""
    base, index = op.args[0], op.args[2]
    written = op.args[3] if len(op.args) > 3 else op.kwargs.get("src", op.kwargs.get("value"))
    if not isinstance(base, Value) or not isinstance(index, Value):
        raise op.error("its operands are no tensors", "pass unknown='mix'")
    if isinstance(written, Value):
        return Units(_ids(op, base), base.shape), index, Units(_ids(op, written), written.shape)
    number = torch.full([1] * len(index.shape), PRESENT if written else ZERO)
    return Units(_ids(op, base), base.shape), index, Units(number, index.shape)


def _written(
    op: Operation, base: Units, source: Units, index: torch.Tensor, dim: int, write: Callable, replaces: bool
) -> torch.Tensor:
    """Write one position of the source after the other; what is added meets what was there."""
    written, count = base.expanded().clone(), index.shape[dim] if index.dim() == len(base.shape) else index.numel()
    full = source.expanded()
    if replaces:
        for position in range(count):
            write(written, index, full, position)
        return written
    if count > MOST_ROUNDS:
        together = [reduce(op.graph, side, [dim], op.name + ".all") for side in (base.ids, source.ids)]
        return meet(op.graph, torch.broadcast_tensors(*together), op.name)
    rounds = [write(torch.full(base.shape, ZERO), index, full, position) for position in range(count)]
    return meet(op.graph, [written, *rounds], op.name)


def _element_writer(dim: int) -> Callable:
    """Return how scatter writes: an index for each element."""

    def write(target: torch.Tensor, index: torch.Tensor, source: torch.Tensor, position: int) -> torch.Tensor:
        where = index.narrow(dim, position, 1)
        part = source[tuple(slice(size) for size in index.shape)].narrow(dim, position, 1)
        return target.scatter_(dim, where, part.contiguous())

    return write


def _line_writer(dim: int) -> Callable:
    """Return how index_add and index_copy write: an index for each slice along the dimension."""

    def write(target: torch.Tensor, index: torch.Tensor, source: torch.Tensor, position: int) -> torch.Tensor:
        where = index.reshape(-1)[position : position + 1]
        return target.index_copy_(dim, where, source.narrow(dim, position, 1).contiguous())

    return write


@register_rule("aten.index_put", "aten._index_put_impl", "aten._unsafe_index_put")
def written_at(op: Operation) -> Value:
    """``x[i, j] = y`` or, accumulating, ``x[i, j] += y``."""
    base, listed, source = op.args[:3]
    if not isinstance(base, Value) or not isinstance(listed, (list, tuple)) or not isinstance(source, Value):
        raise op.error("its operands are no tensors", "pass unknown='mix'")
    positions = [item for item in listed if isinstance(item, Value)]
    dims = [d for d, item in enumerate(listed) if item is not None]
    ids = Units(_ids(op, base), base.shape)
    if not all(isinstance(item, Constant) for item in positions):
        own = _ids(op, source)
        one = reduce(op.graph, own, range(own.dim()), op.name + ".written").reshape([1] * len(base.shape))
        return _anywhere(op, [ids, Units(one, (1,) * len(base.shape))], dims, positions)
    known = [_value_of(op, item) if isinstance(item, Constant) else item for item in listed]
    if op.argument("accumulate"):
        parts = torch.full(base.shape, ZERO).index_put(known, _ids(op, source))
        whole = _as_many(op, base, source, known)
        return op.units(compress(meet(op.graph, [ids.expanded(), parts if whole is None else whole], op.name)))
    return op.units(compress(ids.expanded().index_put(known, _ids(op, source))))


def _as_many(op: Operation, base: Value, source: Value, known: list) -> torch.Tensor | None:
    """Return one unit for all that is added if a position is written twice, else None."""
    counts = torch.zeros(base.shape, dtype=torch.int64).index_put(known, torch.ones((), dtype=torch.int64), True)
    if int(counts.max()) <= 1:
        return None
    ids = _ids(op, source)
    one = reduce(op.graph, ids, range(ids.dim()), op.name + ".written").reshape([1] * len(base.shape))
    return torch.where(counts > 0, one, ZERO)


@register_rule("aten.index_fill")
def filled_at(op: Operation) -> Value:
    """A number at fixed positions."""
    dim, index, number = op.number("dim") % len(op.shape), op.args[2], op.args[3]
    base = op.first
    if isinstance(number, (Units, Tokens)):
        raise op.error("its value depends on the input", "use torch.where")
    fill = PRESENT if isinstance(number, Value) or number else ZERO
    if not isinstance(index, Constant):
        return _anywhere(op, [base, Units(torch.full_like(base.ids[:1], fill), base.shape)], [dim], [index])
    if base.ids.shape[dim] == 1:
        ids = base.ids if fill == ZERO else act(op.graph, base.ids, [(Constant(()), "shift")], op.name)
        return op.units(ids)
    return op.units(compress(base.expanded().index_fill(dim, _value_of(op, index), fill)))


@register_rule("aten.masked_scatter")
def masked_scatter(op: Operation) -> Value:
    """Elements of the source, in their order, where a mask says so: any of them may come anywhere."""
    base, mask, source = op.args[:3]
    operands = []
    for value in (base, source):
        if not isinstance(value, Value):
            raise op.error("its operands are no tensors", "pass unknown='mix'")
        operands.append(_ids(op, value))
    one = reduce(op.graph, operands[1], range(operands[1].dim()), op.name + ".written").reshape([1] * len(op.shape))
    ids = meet(op.graph, [operands[0], one.expand(operands[0].shape)], op.name)
    return op.units(chosen_by(op, ids, [mask] if isinstance(mask, (Units, Tokens)) else []))


@register_rule("aten.masked_select", "aten.nonzero", "aten.unique_consecutive", "aten._unique2", "aten.unique_dim")
def of_unknown_size(op: Operation) -> Value:
    """Refused: no unit can be told from another."""
    raise op.error("how many elements are left depends on values", "multiply by the mask, or use torch.where")


def _anywhere(op: Operation, written: Sequence[Units], dims: Sequence[int], index: Sequence[object]) -> Value:
    """Return a result in which any element along `dims` may be anything that was there or is written."""
    parts = [reduce(op.graph, units.ids, dims, op.name + ".all") for units in written]
    ids = meet(op.graph, parts, op.name + ".any")
    return op.units(chosen_by(op, ids, [item for item in index if isinstance(item, (Units, Tokens))]))


def _ids(op: Operation, value: object) -> torch.Tensor:
    if not isinstance(value, Value):
        raise op.error("its operands are no tensors", "pass unknown='mix'")
    if isinstance(value, Tokens):
        raise op.error("it moves an integer input", "embed it first")
    ids = ids_of(op.graph, value, op.name + ".held")
    return ids.expand(value.shape) if op.packet.endswith("_scatter") or op.packet.endswith("put") else ids


def _value_of(op: Operation, index: Constant) -> torch.Tensor:
    known = index.value()
    if known is None:
        raise op.error("its positions are computed from parameters", "make them a buffer")
    return known.cpu()
