"""Elements picked by position, and positions made from values: indexing, one-hot codes, sorting.

Fixed positions only move elements. Positions that depend on the input make the result depend on them wherever
something other than zero can be picked; what it is depends on all that could be picked.
"""

from collections.abc import Iterator
from dataclasses import replace

import torch

from prune_adapters.trace.acting import act, ids_of
from prune_adapters.trace.ids import compress
from prune_adapters.trace.meeting import meet, reduce
from prune_adapters.trace.registry import Operation, register_rule
from prune_adapters.trace.rules.elementwise import as_units
from prune_adapters.trace.rules.embedding import input_units, picked_rows, token_edges
from prune_adapters.trace.rules.views import known_arguments
from prune_adapters.trace.values import Constant, Tokens, Units, Value, Weight

__all__ = ["chosen_by", "one_hot", "ordered", "picked", "picked_from_list", "repeated"]


def _picked_by_known(op: Operation, tensor: torch.Tensor) -> torch.Tensor:
    args, kwargs = known_arguments(op)
    return op.target(tensor.contiguous(), *args, **kwargs)


@register_rule(
    *(f"aten.{name}" for name in ("index", "index_select", "gather", "take_along_dim", "take")), move=_picked_by_known
)
def picked(op: Operation) -> Value:
    """Fixed positions move elements; others choose among all elements along the dimension."""
    value, positions = op.args[0], _positions(op)
    if not positions and isinstance(value, Units) and _are_unknown(op):
        return op.units(_kept(op, value))
    if not positions:
        if isinstance(value, Tokens):
            return Tokens(value.name, op.shape)
        return op.units(compress(_picked_by_known(op, op.first.expanded())))
    if isinstance(value, Weight) and op.packet == "aten.index" and _is_lookup(op):
        return token_edges(_as_embedding(op))
    if isinstance(value, Weight) and op.packet == "aten.index" and op.args[1] == positions:
        units = as_units(op, positions[0]) if isinstance(positions[0], Tokens) else positions[0]
        return picked_rows(op, value, units)
    if isinstance(value, Tokens):
        return as_units(op, Tokens(value.name, op.shape))
    if not isinstance(value, Value):
        raise op.error("its operand is no tensor", "pass unknown='mix'")
    kept = _kept(op, Units(ids_of(op.graph, value, op.name), value.shape))
    return op.units(chosen_by(op, kept, positions))


def chosen_by(op: Operation, ids: torch.Tensor, positions: list[Units | Tokens]) -> torch.Tensor:
    """Return ids that also depend on positions computed from the input: nothing is picked out of zeros."""
    for value in positions:
        units = as_units(op, value) if isinstance(value, Tokens) else value
        one = reduce(op.graph, units.ids, range(units.ids.dim()), op.name + ".position").reshape([1] * ids.dim())
        present = act(op.graph, one, [(Constant(()), "shift")], op.name + ".position")
        ids = meet(op.graph, [ids, present.expand(ids.shape)], op.name, product=True)
    return ids


def _positions(op: Operation) -> list[Units | Tokens]:
    """Return the positions that depend on the input."""
    return [t for argument in op.args[1:] for t in _listed(argument) if isinstance(t, (Units, Tokens))]


def _are_unknown(op: Operation) -> bool:
    """Return whether a fixed position has no known value: a buffer on the meta device, or one that weights decide."""
    return any(isinstance(t, Constant) and t.value() is None for a in op.args[1:] for t in _listed(a))


def _listed(argument: object) -> Iterator[object]:
    yield from argument if isinstance(argument, (list, tuple)) else [argument]


def _is_lookup(op: Operation) -> bool:
    listed = list(_listed(op.args[1]))
    return len(listed) == 1 and isinstance(listed[0], Tokens) and len(op.shape) == len(listed[0].shape) + 1


def _as_embedding(op: Operation) -> Operation:
    """Return ``table[tokens]`` as the call of an embedding."""
    return replace(op, target=torch.ops.aten.embedding.default, args=(op.args[0], next(_listed(op.args[1]))), kwargs={})


def _kept(op: Operation, units: Units) -> torch.Tensor:
    """Return the ids at the rank of the output, with all that can be picked in one place."""
    rank = len(op.shape)
    if op.packet in ("aten.gather", "aten.take_along_dim", "aten.index_select"):
        dim = op.argument("dim")
        dims = [dim] if isinstance(dim, int) else list(range(units.ids.dim()))
        reduced = reduce(op.graph, units.ids, dims, op.name + ".all")
        return reduced if reduced.dim() == rank else reduced.reshape([1] * rank)
    listed = list(_listed(op.args[1])) if op.packet == "aten.index" else []
    dims = [d for d, item in enumerate(listed) if item is not None] or list(range(units.ids.dim()))
    ids = reduce(op.graph, units.ids, dims, op.name + ".all")
    if dims == list(range(dims[0], dims[0] + len(dims))):
        after = ids.shape[dims[-1] + 1 :]
        return ids.reshape([*ids.shape[: dims[0]], *[1] * (rank - dims[0] - len(after)), *after])
    return reduce(op.graph, ids, range(ids.dim()), op.name + ".any").reshape([1] * rank)


@register_rule("aten.one_hot")
def one_hot(op: Operation) -> Value:
    """An integer input becomes the layer of its tokens; anything else is coded as a constant that depends on it."""
    value, classes = op.args[0], op.shape[-1]
    if isinstance(value, Tokens):
        return op.units(input_units(op, value, classes).reshape([1] * (len(op.shape) - 1) + [-1]))
    return op.units(act(op.graph, op.first.ids.unsqueeze(-1), [(Constant(()), "shift")], op.name))


@register_rule("aten.searchsorted")
def picked_from_list(op: Operation) -> Value:
    """A position depends on the value and on the whole list."""
    ids = [
        reduce(op.graph, value.ids, [-1], op.name) if value is op.args[0] else value.ids
        for value in op.args[:2]
        if isinstance(value, Units)
    ]
    rank = len(op.shape)
    ids = [part.reshape([1] * (rank - part.dim()) + list(part.shape[-rank:] if rank else [])) for part in ids]
    return op.units(act(op.graph, meet(op.graph, ids, op.name), [(Constant(()), "shift")], op.name))


@register_rule("aten.topk", "aten.sort", "aten.argsort", "aten.msort", "aten.kthvalue", "aten.mode")
def ordered(op: Operation) -> Value | tuple[Value, ...]:
    """What comes first depends on all elements along the dimension; so does where it was, which is no zero."""
    value = op.args[0]
    if isinstance(value, Tokens):
        return tuple(Tokens(value.name, shape) for shape in op.shapes)
    dim = 0 if op.packet == "aten.msort" else (op.numbers("dim") or [-1])[0]
    ids = reduce(op.graph, op.first.ids, [dim], op.name, keepdim=len(op.shape) == op.first.ids.dim())
    places = act(op.graph, ids, [(Constant(()), "shift")], op.name + ".places")
    if op.packet == "aten.argsort":
        return op.units(places)
    return tuple(op.units(found, shape) for found, shape in zip((ids, places), op.shapes, strict=False))


def _repeated(op: Operation, tensor: torch.Tensor) -> torch.Tensor:
    args, kwargs = known_arguments(op)
    return op.target(tensor, *args, **kwargs)


@register_rule("aten.repeat_interleave", move=_repeated)
def repeated(op: Operation) -> Value:
    """Each element several times; as often as a fixed list says."""
    if op.target._overloadname == "Tensor":
        raise op.error("how often each position is repeated depends on the input", "pass unknown='mix'")
    value = op.args[0]
    if isinstance(value, Tokens):
        return Tokens(value.name, op.shape)
    return op.units(compress(_repeated(op, op.first.expanded())))
