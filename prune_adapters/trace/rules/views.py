"""Operators that only move elements: the same operator runs on the ids."""

from collections.abc import Callable, Sequence

import torch
from torch.utils._pytree import tree_map

from prune_adapters.trace.ids import compress
from prune_adapters.trace.registry import Move, Operation, register_rule
from prune_adapters.trace.values import Constant, Tokens, Units, Value

__all__ = ["expand", "filled", "known_arguments", "moves", "reshape", "roll", "same_operator", "unmoved"]

VIEWS = """permute transpose t numpy_T mT adjoint flatten unflatten squeeze unsqueeze select slice narrow flip unbind
split split_with_sizes chunk tensor_split hsplit vsplit repeat tile movedim moveaxis swapaxes swapdims pixel_shuffle
pixel_unshuffle channel_shuffle unfold diagonal rot90 select_copy slice_copy unsafe_split
unsafe_chunk fliplr flipud dsplit native_channel_shuffle unfold_copy diagonal_copy permute_copy transpose_copy t_copy
expand_copy squeeze_copy unsqueeze_copy ravel narrow_copy split_copy unbind_copy linalg_diagonal matrix_H mH"""

COPIES = "clone contiguous alias detach lift_fresh_copy positive to _to_copy type_as"


def moves(*operators: str) -> Callable[[Move], Move]:
    """Return a decorator that registers a movement of elements; it serves units, parameters and constants alike."""

    def register(move: Move) -> Move:
        def rule(op: Operation) -> Value | tuple[Value, ...]:
            return move_units(op, move)

        register_rule(*(f"aten.{name}" for name in operators), move=move)(rule)
        return move

    return register


def move_units(op: Operation, move: Move) -> tuple[Value, ...]:
    """Return the outputs of a movement of units."""
    value = op.args[0]
    if isinstance(value, Tokens):
        return tuple(Tokens(value.name, shape) for shape in op.shapes)
    if not isinstance(value, Units):
        return _constants(op)
    moved = move(op, value.expanded())
    outputs = moved if isinstance(moved, (list, tuple)) else (moved,)
    return tuple(op.units(compress(ids), shape) for ids, shape in zip(outputs, op.shapes, strict=True))


def _constants(op: Operation) -> tuple[Value, ...]:
    """Return a constant moved in a way that only the shape of a unit tensor decides (`expand_as`)."""
    if not op.packet.endswith("_as"):
        raise op.error("a constant is indexed by values that depend on the input", "pass unknown='mix'")
    return tuple(Constant(shape) for shape in op.shapes)


@moves("view", "reshape", "_unsafe_view", "view_as", "reshape_as")
def reshape(op: Operation, tensor: torch.Tensor) -> torch.Tensor:
    """Only the shape changes; ids are stretched, so a copy may be needed where the tensor needed none."""
    return tensor.reshape(op.shape)


@moves("expand", "expand_as", "broadcast_to")
def expand(op: Operation, tensor: torch.Tensor) -> torch.Tensor:
    """The unit of the one element goes to all."""
    return tensor.expand(op.shape)


@moves(*VIEWS.split())
def same_operator(op: Operation, tensor: torch.Tensor) -> torch.Tensor | Sequence[torch.Tensor]:
    """The operator itself, on the ids."""
    args, kwargs = known_arguments(op)
    return op.target(tensor, *args, **kwargs)


@moves("tril", "triu", "diag_embed", "diag")
def filled(op: Operation, tensor: torch.Tensor) -> torch.Tensor:
    """What is not moved is filled with zeros."""
    args, kwargs = known_arguments(op)
    return op.target(tensor + 1, *args, **kwargs) - 1


@moves(*COPIES.split())
def unmoved(op: Operation, tensor: torch.Tensor) -> torch.Tensor:
    """The elements stay where they are."""
    return tensor


@moves("roll")
def roll(op: Operation, tensor: torch.Tensor) -> torch.Tensor:
    """Rolling along positions keeps every unit in its place."""
    dims = op.numbers("dims")
    if dims and all(tensor.stride(d) == 0 for d in dims):
        return tensor
    return op.target(tensor, *op.args[1:], **op.kwargs)


def known_arguments(op: Operation) -> tuple[tuple, dict]:
    """Return the arguments after the first, with constants replaced by their values."""

    def value(item: object) -> object:
        if isinstance(item, Constant):
            known = item.value()
            if known is None:
                raise op.error("its index is computed from parameters", "pass unknown='mix', or make it a buffer")
            return known
        if isinstance(item, Value):
            raise op.error("its index depends on the input", "pass unknown='mix'")
        return item

    return tree_map(value, op.args[1:]), tree_map(value, op.kwargs)
