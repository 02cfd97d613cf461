"""Picking elements by index: at known positions elements move, at computed ones any of them may come.

What a computed index picks depends on every element along the indexed dimensions, and on the index itself. So does an
index whose value is not known, a buffer on the meta device.
"""

from collections.abc import Sequence

import torch

from prune_adapters.trace.acting import act
from prune_adapters.trace.meeting import meet, reduce
from prune_adapters.trace.registry import Operation, register_rule
from prune_adapters.trace.rules.elementwise import as_units
from prune_adapters.trace.rules.embedding import embedding, picked_rows
from prune_adapters.trace.rules.views import known_arguments, move_units
from prune_adapters.trace.values import Constant, Tokens, Units, Value, Weight

__all__ = ["index", "indexed", "pick_along"]


def indexed(op: Operation, tensor: torch.Tensor) -> torch.Tensor:
    """Picked by constant positions, which must be known."""
    args, kwargs = known_arguments(op)
    return op.target(tensor.contiguous(), *args, **kwargs)


@register_rule("aten.index", move=indexed)
def index(op: Operation) -> Value | tuple[Value, ...]:
    """``x[i, :, j]``: indices of one or several dimensions."""
    source, listed = op.args[:2]
    given: list[Value | None] = list(listed) if isinstance(listed, (list, tuple)) else []
    indices = [each for each in given if each is not None]
    if not _is_computed(indices):
        return move_units(op, indexed)
    if isinstance(source, Weight) and given == indices[:1]:
        return _looked_up(op, source, indices[0])
    if isinstance(source, Tokens):
        return Tokens(source.name, op.shape)
    dims, rank, front = _index_layout(op, given)
    return _picked(op, source, indices, dims, [1] * rank, front)


@register_rule("aten.index_select", "aten.gather", "aten.take_along_dim", move=indexed)
def pick_along(op: Operation) -> Value | tuple[Value, ...]:
    """An index along one dimension."""
    source, chosen = op.args[0], op.value("indices" if op.packet == "aten.take_along_dim" else "index")
    indices = [] if chosen is None else [chosen]
    if not _is_computed(indices):
        return move_units(op, indexed)
    if isinstance(source, Tokens):
        return Tokens(source.name, op.shape)
    dim = op.dim()
    if op.packet == "aten.index_select":
        return _picked(op, source, indices, [dim], [1], dim)
    found = _same_everywhere(op, source)
    if found is not None:
        return found
    terms = [as_units(op, i) if isinstance(i, Tokens) else i for i in indices]
    ids = [reduce(op.graph, i.ids, [], op.name) for i in terms if isinstance(i, Units)]
    if isinstance(source, Units):
        reduced = reduce(op.graph, source.ids, [dim], op.name)
        ids.append(reduced[tuple(slice(0, size) for size in op.shape)])
    return op.units(_or_constant(op, source, meet(op.graph, ids, op.name)))


def _is_computed(indices: Sequence[Value]) -> bool:
    return any(isinstance(i, (Units, Tokens)) or (isinstance(i, Constant) and i.value() is None) for i in indices)


def _index_layout(op: Operation, given: Sequence[Value | None]) -> tuple[list[int], int, int]:
    """Return the indexed dimensions, the rank of what the indices span, and where that is put."""
    source = op.args[0]
    ranks = [len(i.shape) for i in given if i is not None]
    before = len(source.shape) if isinstance(source, Value) else 0
    if len(ranks) == 1 and ranks[0] > 1 and len(op.shape) == before - ranks[0] + 1:
        first = next(d for d, i in enumerate(given) if i is not None)
        return list(range(first, first + ranks[0])), 1, first
    dims = [d for d, i in enumerate(given) if i is not None]
    together = dims == list(range(dims[0], dims[0] + len(dims)))
    return dims, max(ranks), dims[0] if together else 0


def _picked(
    op: Operation, source: object, indices: Sequence[Value], dims: list[int], spans: list[int], front: int
) -> Value:
    """Return what is picked: any element along `dims`, at the place where the indices put it."""
    found = _same_everywhere(op, source)
    if found is not None:
        return found
    rank = len(op.shape)
    terms = [as_units(op, i) if isinstance(i, Tokens) else i for i in indices]
    each = [reduce(op.graph, i.ids, range(i.ids.dim()), op.name) for i in terms if isinstance(i, Units)]
    ids = [one.reshape([1] * rank) for one in each]
    if isinstance(source, Units):
        reduced = reduce(op.graph, source.ids, dims, op.name, keepdim=False)
        ids.append(reduced.reshape([*reduced.shape[:front], *spans, *reduced.shape[front:]]))
    return op.units(_or_constant(op, source, meet(op.graph, ids, op.name)))


def _same_everywhere(op: Operation, source: object) -> Constant | None:
    """Return the output if it is the same whatever the index: a known source with one value."""
    known = source.value() if isinstance(source, Constant) else None
    if known is None or not known.numel() or bool((known != known.reshape(-1)[0]).any()):
        return None
    if known.is_floating_point() and not (isinstance(source, Constant) and source.literal):
        return None
    return Constant(op.shape, lambda: known.reshape(-1)[0].expand(op.shape))


def _or_constant(op: Operation, source: object, ids: torch.Tensor) -> torch.Tensor:
    """Return the ids, with zeros turned into constants where the source is no unit tensor."""
    if isinstance(source, Units):
        return ids
    for name in source.sources if isinstance(source, Value) else ():
        op.graph.note_role(name, "constant")
    return act(op.graph, ids, [(Constant(()), "shift")], op.name)


def _looked_up(op: Operation, table: Weight, chosen: Value) -> Value:
    """Return the rows of a table at tokens, or at computed positions."""
    if isinstance(chosen, Tokens) and len(table.shape) == 2:
        found = embedding(op)
        return found[0] if isinstance(found, tuple) else found
    units = as_units(op, chosen) if isinstance(chosen, Tokens) else chosen
    return picked_rows(op, table, units) if isinstance(units, Units) else Constant(op.shape, sources=table.sources)
