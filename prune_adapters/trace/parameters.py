"""Operators on parameters and constants alone.

A parameter whose elements are only moved or scaled is still that parameter, so its elements stay edges; anything else
becomes a constant, computed when a rule asks for its value.
"""

from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
import torch
from torch.utils._pytree import tree_leaves, tree_map

from prune_adapters.trace.derived import derived
from prune_adapters.trace.registry import Move, Operation, find_rule
from prune_adapters.trace.values import PRESENT, ZERO, Constant, Value, Weight

__all__ = ["without_units"]

KEEPS_ZEROS = frozenset(
    f"aten.{name}"
    for name in [
        "mul",
        "div",
        "neg",
        "abs",
        "to",
        "_to_copy",
        "type_as",
        "clone",
        "contiguous",
        "detach",
        "alias",
    ]
)
"""Operators that leave a removed (zero) parameter element zero, so that the result is still that parameter."""

PRODUCTS = frozenset(["mul", "matmul", "mm", "bmm", "mv", "dot", "outer"])
SUMS = frozenset(["add", "sub", "cat", "concat", "stack"])
LINEAR = frozenset(["div", "sum", "mean", "cumsum", "upsample_bicubic2d", "upsample_bilinear2d", "upsample_nearest2d"])

CONTRACTIONS = ("aten.linear", "aten.matmul", "aten.mm", "aten.addmm", "aten.bmm", "aten.mv")


def without_units(op: Operation, tensors: list[Value]) -> tuple[Value, ...]:
    """Return the outputs of a call that touches no unit: a moved parameter, or constants, computed when asked for."""
    weights = [t for t in tensors if isinstance(t, Weight)]
    if weights:
        kept = _written_over(op, tensors) or _still_a_weight(op, tensors)
        if kept is not None:
            return kept
    multiplied_out = derived(op, tensors)
    if multiplied_out is not None:
        return (multiplied_out,)
    product_of_zero = _times_zero(op, tensors)
    if product_of_zero is not None:
        return (product_of_zero,)
    sources = dict.fromkeys(s for t in tensors for s in t.sources)
    computed = cache(lambda: None if _is_arbitrary(op) else _computed(op))

    def nth(position: int) -> Callable[[], torch.Tensor | None]:
        def compute() -> torch.Tensor | None:
            outputs = computed()
            return None if outputs is None else outputs[position]

        return compute

    is_stored = any(isinstance(t, Constant) and (t.buffer or t.is_stored) for t in tensors)
    shapes = enumerate(op.shapes)
    vanishes = bool(sources) and _vanishes(op)
    return tuple(Constant(shape, nth(i), tuple(sources), None, is_stored, vanishes) for i, shape in shapes)


def _written_over(op: Operation, tensors: list[Value]) -> tuple[Value, ...] | None:
    """Return what takes the place of a parameter's elements, None if nothing does."""
    name = op.packet.rsplit(".", 1)[1].removesuffix("_")
    if name == "copy" and tensors[1].shape == op.shape:
        return (tensors[1],)
    if name == "fill" and op.args[1] != 0:
        return (Constant(op.shape),)
    return (Constant.zeros(op.shape),) if name in ("zero", "zeros_like", "new_zeros", "fill") else None


def _vanishes(op: Operation) -> bool:
    """Return whether the result is zero where the parameters among the operands are: a product if one side is."""
    name = op.packet.rsplit(".", 1)[1].removesuffix("_")
    first = op.args[0] if op.args else None
    zeros = [_is_zero_without(term) for term in (first if isinstance(first, (list, tuple)) else op.args[:2])]
    if name in PRODUCTS or name in SUMS:
        return (any if name in PRODUCTS else all)(zeros)
    entry = find_rule(op.target)
    moves = entry is not None and entry.move is not None
    return bool(zeros) and zeros[0] and (moves or name in LINEAR or op.packet in KEEPS_ZEROS)


def _is_zero_without(term: object) -> bool:
    if isinstance(term, Constant):
        return term.vanishes or term.is_zero
    return isinstance(term, Weight) or (isinstance(term, (int, float)) and term == 0)


def _times_zero(op: Operation, tensors: list[Value]) -> Value | None:
    """Return what parameters make of zeros (the first state of a recurrent network): zeros, or the bias alone."""
    if op.packet not in CONTRACTIONS:
        return None
    added = op.value("bias") if op.packet == "aten.linear" else tensors[0] if op.packet == "aten.addmm" else None
    factors = [t for t in tensors if t is not added]
    if not any(isinstance(t, Constant) and t.is_zero for t in factors) or isinstance(added, Constant):
        return None
    for source in (s for t in factors for s in t.sources):
        op.graph.note_role(source, "constant")
    if added is None:
        return Constant(op.shape, lambda: torch.zeros(op.shape))
    return added.stretched(op.shape) if isinstance(added, Weight) else None


def _is_arbitrary(op: Operation) -> bool:
    """Return whether another run gives other values: random numbers, memory that nothing was written to."""
    tags = getattr(op.target, "tags", ())
    return torch.Tag.nondeterministic_seeded in tags or "empty" in op.packet


def _computed(op: Operation) -> tuple | None:
    """Return the outputs of a call on constants, or None where one of them has no known value.

    What a model makes on the meta device, say ``arange(n, device=x.device)``, is made on the CPU: there it has values.
    """

    def known(item: object) -> object:
        if isinstance(item, torch.device) and item.type == "meta":
            return torch.device("cpu")
        return item.value() if isinstance(item, Constant) else item

    if any(not isinstance(t, Constant) or t.value() is None for t in op.tensors()):
        return None
    args: tuple = tree_map(known, op.args)
    kwargs: dict = tree_map(known, op.kwargs)
    with torch.no_grad():
        result = op.target(*args, **kwargs)
    return tuple(result) if isinstance(result, (list, tuple)) else (result,)


def _still_a_weight(op: Operation, tensors: list[Value]) -> tuple[Value, ...] | None:
    """Return the moved (or scaled) parameter, or None if it became something else."""
    if op.packet in ("aten._weight_norm", "aten._weight_norm_interface"):
        direction, length = tensors[:2]
        for source in length.sources:
            op.graph.note_role(source, "gate")
        return (direction, *(Constant(shape, sources=length.sources) for shape in op.shapes[1:]))
    if op.packet.removesuffix("_") in KEEPS_ZEROS:
        return _scaled(op, tensors)
    entry = find_rule(op.target)
    first = op.args[0] if op.args else None
    if entry and entry.on_parameters and isinstance(first, Weight):
        result = entry.on_parameters(op)
        return result if isinstance(result, tuple) else (result,)
    if entry and entry.move and isinstance(first, (Weight, list, tuple)) and not _moves_unknown(op):
        return _moved_weight(op, entry.move, first)
    return None


def _moves_unknown(op: Operation) -> bool:
    """Return whether the elements go by an index whose value is not known (a buffer on the meta device, say)."""
    others = tree_leaves((op.args[1:], op.kwargs), is_leaf=lambda item: isinstance(item, Constant))
    return any(isinstance(other, Constant) and other.value() is None for other in others)


def _scaled(op: Operation, tensors: list[Value]) -> tuple[Value, ...] | None:
    full = [t for t in tensors if isinstance(t, Weight) and t.shape == op.shape]
    if not full or (op.packet == "aten.div" and tensors[0] is not full[0]):
        return None
    for other in tensors:
        if other is not full[0]:
            for source in other.sources:
                op.graph.note_role(source, "gate")
    return (full[0],)


def _moved_weight(op: Operation, move: Move, first: Weight | list | tuple) -> tuple[Value, ...]:
    """Move a parameter: by its steps where the result is a view, else by its element numbers."""
    if isinstance(first, Weight) and first.index is None:
        stand_in = first.viewed()
        outputs = _listed(move(op, stand_in))
        if all(o.untyped_storage()._cdata == stand_in.untyped_storage()._cdata for o in outputs):
            return tuple(Weight(tuple(o.shape), first.name, int(o.storage_offset()), o.stride()) for o in outputs)
    whole = [first] if isinstance(first, Weight) else list(first)
    parts = [_numbered(op, part) for part in whole]
    outputs = _listed(move(op, parts[0] if isinstance(first, Weight) else parts))
    names = tuple(dict.fromkeys(source for part in whole for source in part.sources))
    return tuple(Weight(tuple(o.shape), None, index=np.ascontiguousarray(o.numpy()), names=names) for o in outputs)


def _listed(moved: torch.Tensor | Sequence[torch.Tensor]) -> list[torch.Tensor]:
    return [moved] if isinstance(moved, torch.Tensor) else list(moved)


def _numbered(op: Operation, part: Value) -> torch.Tensor:
    """Return the element numbers of a parameter; `ZERO` or `PRESENT` where a constant stands."""
    if isinstance(part, Weight):
        return torch.from_numpy(part.numbers(op.graph.element_starts))
    return torch.full(part.shape, ZERO if isinstance(part, Constant) and part.is_zero else PRESENT)
