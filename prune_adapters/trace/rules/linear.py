"""Contractions: linear layers, matrix products with parameters, and matrix products of activations."""

from collections.abc import Sequence

import numpy as np
import torch

from netgraph import Wiring
from prune_adapters.trace.acting import act
from prune_adapters.trace.ids import unique_rows
from prune_adapters.trace.meeting import combine, meet, reduce
from prune_adapters.trace.registry import Operation, register_rule
from prune_adapters.trace.values import PRESENT, Constant, Units, Value, Weight
from prune_adapters.trace.weights import connect

__all__ = ["contract", "einsum", "layer_name", "matrix_multiply", "matrix_product"]

MOST_PRODUCTS = 4_000_000
"""Pairs of units up to which a product of activations is followed pair by pair."""


def contract(op: Operation, units: Units, weight: Weight, dims: Sequence[int], name: str) -> torch.Tensor:
    """Return the ids of weighted sums over dimensions `dims` of the units.

    Parameters
    ----------
    op : Operation
    units : Units
    weight : Weight, shape (target units, source slots)
        Slots in the order of `dims`.
    dims : sequence of int
        Contracted dimensions.
    name : str
        Name of the new layer.

    Returns
    -------
    Tensor of int64, shape (target units,) or of the rank of ``units.ids``
        The latter where the contraction mixes positions only, and the units go on, or where positions are split.
    """
    others = [d for d in range(units.ids.dim()) if d not in dims]
    on_positions = all(units.ids.shape[d] == 1 for d in dims) and any(units.ids.shape[d] > 1 for d in others)
    if on_positions and weight.shape[1] > 1:
        return _mixed_positions(op, units.ids, weight, name)
    if (
        op.options.positions == "split"
        and dims == [units.ids.dim() - 1]
        and any(units.ids.shape[d] > 1 for d in others)
    ):
        return _split_positions(op, units, weight, name)
    rows = units.ids.permute(*dims, *others)
    sizes = [units.shape[d] for d in dims]
    slots = reduce(op.graph, rows, range(len(dims), rows.dim()), name + ".slots", keepdim=False) if others else rows
    return connect(op.graph, weight, slots.expand(sizes).reshape(-1), name, "oi")


def _split_positions(op: Operation, units: Units, weight: Weight, name: str) -> torch.Tensor:
    """Use the weights once for each kind of position: positions at which the same units lie are of one kind."""
    sizes = units.ids.shape[:-1]
    kinds, which = unique_rows(units.ids.reshape(sizes.numel(), -1))
    slots = kinds.expand(len(kinds), units.shape[-1])
    targets = torch.stack([connect(op.graph, weight, kind, name, "oi") for kind in slots])
    return targets[which].reshape(*sizes, -1)


def _mixed_positions(op: Operation, ids: torch.Tensor, weight: Weight, name: str) -> torch.Tensor:
    """Weights between positions: all units share them, so each unit is gated by whether any of them is left.

    The weights join a layer of source positions, fed by every unit, to a layer of target positions.
    """
    graph = op.graph
    distinct = torch.unique(ids[ids >= 0])
    positions = combine(graph, distinct.reshape(1, -1), name + ".source") if len(distinct) > 1 else distinct
    slots = graph.new_layer(name + ".positions", weight.shape[1])
    source = graph.layer_at(int(positions[0]))
    start = int(positions[0]) - graph.layers[source].start
    graph.layers[-1].incoming.append(Wiring(str(source), str(len(graph.layers) - 1), 1, 1, weight.shape[1], start))
    mixed = connect(graph, weight, slots, name, "oi")
    anywhere = reduce(graph, mixed.reshape(1, -1), [1], name + ".any").reshape([1] * ids.dim())
    return meet(graph, [ids, anywhere.expand(ids.shape)], name + ".mixed", product=True)


def _bias(op: Operation, ids: torch.Tensor, bias: object) -> torch.Tensor:
    """Return the ids after a bias over the last dimension."""
    if not isinstance(bias, (Weight, Constant)):
        return ids
    shape = [1] * (ids.dim() - len(bias.shape)) + list(bias.shape)
    at_rank = (
        bias if isinstance(bias, Constant) else bias.rearranged(range(len(bias.shape)), shape, op.graph.element_starts)
    )
    return act(op.graph, ids, [(at_rank, "shift")], op.name)


def layer_name(op: Operation, weight: Weight) -> str:
    """Return the name of the layer that a parameter feeds: its module, or the parameter if there are several."""
    parameter = weight.sources[0] if weight.sources else op.name
    owner, _, leaf = parameter.rpartition(".")
    return owner if leaf == "weight" and owner else parameter.removesuffix("_weight").removesuffix(".weight")


@register_rule("aten.linear", "aten.addmm", "aten.mm", "aten.matmul", "aten.bmm", "aten.mv", "aten.baddbmm", "aten.dot")
def matrix_multiply(op: Operation) -> Value:
    """y = x W^T + b, x W + b, W x, or a product of two activations."""
    bias = None
    if op.packet == "aten.linear":
        left, right, bias = op["input"], op["weight"], op["bias"]
        if isinstance(right, Weight):
            right = right.rearranged([1, 0], right.shape[::-1], op.graph.element_starts)
        elif isinstance(right, Units):
            right = Units(right.ids.transpose(-1, -2), (right.shape[1], right.shape[0]))
    elif op.packet in ("aten.addmm", "aten.baddbmm"):
        bias, left, right = op.args[:3]
    else:
        left, right = op.args[:2]
    ids = matrix_product(op, left, right)
    if isinstance(bias, Units):
        return op.units(
            meet(op.graph, [ids, bias.ids.reshape([1] * (ids.dim() - bias.ids.dim()) + list(bias.ids.shape))], op.name)
        )
    return op.units(_bias(op, ids, bias))


def matrix_product(op: Operation, left: Value, right: Value) -> torch.Tensor:
    """Return the ids of ``left @ right`` at the rank of the output."""
    if isinstance(left, Units) and isinstance(right, Weight):
        return _times_weight(op, left, right)
    if isinstance(left, Weight) and isinstance(right, Units):
        flipped = Units(_matrix(right.ids).transpose(-1, -2), _swapped(right.shape))
        turned = left.rearranged(_swap_last(len(left.shape)), _swapped(left.shape), op.graph.element_starts)
        ids = _times_weight(op, flipped, turned, rank=max(len(op.shape), 2))
        return (
            ids.transpose(-1, -2)
            if len(op.shape) > 1 and len(right.shape) > 1
            else ids.reshape([1] * (len(op.shape) - 1) + [-1])
        )
    if isinstance(left, Units) and isinstance(right, Units):
        return _product_of_units(op, left, right)
    units, dim = (left, -1) if isinstance(left, Units) else (right, -2 if len(right.shape) > 1 else -1)
    other = right if isinstance(left, Units) else left
    for source in other.sources:
        op.graph.note_role(source, "gate")
    reduced = reduce(op.graph, units.ids, [dim], op.name, keepdim=True)
    rank = len(op.shape)
    flat = reduced if reduced.dim() <= rank else reduced.squeeze(dim)
    return flat.reshape([1] * (rank - flat.dim()) + list(flat.shape))


def _times_weight(op: Operation, units: Units, weight: Weight, rank: int | None = None) -> torch.Tensor:
    rank = len(op.shape) if rank is None else rank
    if len(weight.shape) > 2:
        return _times_batched_weight(op, units, weight, rank)
    name = layer_name(op, weight)
    columns = weight.shape[1] if len(weight.shape) == 2 else 1
    turned = weight.rearranged(
        [1, 0] if len(weight.shape) == 2 else [0], [columns, weight.shape[0]], op.graph.element_starts
    )
    ids = contract(op, units, turned, [units.ids.dim() - 1], name)
    if ids.dim() == 1:
        return ids.reshape([1] * (rank - 1) + [-1]) if len(weight.shape) == 2 else ids.reshape([1] * rank)
    return ids


def _times_batched_weight(op: Operation, units: Units, weight: Weight, rank: int) -> torch.Tensor:
    """A different matrix for each batch position (heads, experts): a grouped contraction."""
    batch, (sources, targets) = list(weight.shape[:-2]), weight.shape[-2:]
    groups = int(np.prod(batch))
    axes = range(len(batch))
    turned = weight.rearranged(
        [*axes, len(batch) + 1, len(batch)], [groups * targets, sources], op.graph.element_starts
    )
    lead = units.ids.dim() - 2
    ids = units.ids.reshape([1] * max(len(batch) - lead, 0) + list(units.ids.shape))
    keep = [ids.dim() - 2 - len(batch) + i for i in axes] + [ids.dim() - 1]
    others = [d for d in range(ids.dim()) if d not in keep]
    slots = reduce(
        op.graph, ids.permute(*keep, *others), range(len(keep), ids.dim()), op.name + ".slots", keepdim=False
    )
    new = connect(op.graph, turned, slots.expand([*batch, sources]).reshape(-1), layer_name(op, weight), "oi", groups)
    return new.reshape([1] * (rank - len(batch) - 2) + [*batch, 1, targets])


def _product_of_units(op: Operation, left: Units, right: Units) -> torch.Tensor:
    """Sum over k of a[i, k] * b[k, j]: products of units, then their sum."""
    a, b = left.ids, right.ids
    a = a.reshape(1, -1) if a.dim() == 1 else a
    b = b.reshape(-1, 1) if b.dim() == 1 else b
    a, b = a.unsqueeze(-1), b.unsqueeze(-3)
    size = int(np.prod(torch.broadcast_shapes(a.shape, b.shape), dtype=np.int64))
    if size > MOST_PRODUCTS:
        a, b = reduce(op.graph, a, [-2], op.name + ".left"), reduce(op.graph, b, [-2], op.name + ".right")
    products = meet(op.graph, [a, b], op.name + ".product", product=True)
    ids = reduce(op.graph, products, [-2], op.name, keepdim=False)
    if len(left.shape) == 1:
        ids = ids.squeeze(-2)
    if len(right.shape) == 1:
        ids = ids.squeeze(-1)
    return ids


def _matrix(ids: torch.Tensor) -> torch.Tensor:
    return ids.reshape(-1, 1) if ids.dim() == 1 else ids


def _swap_last(rank: int) -> list[int]:
    return [*range(rank - 2), rank - 1, rank - 2] if rank > 1 else [0]


def _swapped(shape: tuple[int, ...]) -> tuple[int, ...]:
    if len(shape) == 1:
        return (1, shape[0])
    return (*shape[:-2], shape[-1], shape[-2])


@register_rule("aten.einsum")
def einsum(op: Operation) -> Value:
    """One or two operands; contracted labels are summed, a parameter operand gives weights."""
    equation, operands = op.args[0].replace(" ", ""), list(op.args[1])
    inputs, _, result = equation.partition("->")
    labels = inputs.split(",")
    if "." in equation or len(operands) > 2 or (not result and "->" not in equation):
        raise op.error(f"equation {equation!r} is not followed", "write it as matmul with explicit output labels")
    if len(operands) == 2 and isinstance(operands[0], Weight):
        operands, labels = operands[::-1], labels[::-1]
    if len(operands) == 2 and isinstance(operands[1], Weight):
        return _einsum_weight(op, operands, labels, result)
    spread = [
        _spread(u.ids if isinstance(u, Units) else torch.full([1] * len(u.shape), PRESENT), own, labels)
        for u, own in zip(operands, labels, strict=True)
    ]
    every = _all_labels(labels)
    ids = meet(op.graph, spread, op.name + ".product", product=True) if len(spread) > 1 else spread[0]
    summed = [i for i, label in enumerate(every) if label not in result]
    ids = reduce(op.graph, ids, summed, op.name, keepdim=False) if summed else ids
    left = [label for label in every if label in result]
    return op.units(ids.permute([left.index(label) for label in result]))


def _all_labels(labels: list[str]) -> list[str]:
    return list(dict.fromkeys("".join(labels)))


def _spread(ids: torch.Tensor, own: str, labels: list[str]) -> torch.Tensor:
    """Return the ids with one axis for each label of the equation."""
    every = _all_labels(labels)
    order = [label for label in every if label in own]
    shape = iter(ids.permute([own.index(label) for label in order]).shape)
    moved = ids.permute([own.index(label) for label in order])
    return moved.reshape([next(shape) if label in own else 1 for label in every])


def _einsum_weight(op: Operation, operands: list, labels: list[str], result: str) -> Value:
    units, weight = operands
    own, theirs = labels
    summed = [label for label in own if label in theirs and label not in result]
    made = [label for label in theirs if label not in own]
    if set(theirs) - set(summed) - set(made):
        raise op.error("a parameter shares kept labels with the activation", "write it as a batched matmul")
    size = dict(zip(theirs, weight.shape, strict=True))
    order = [theirs.index(label) for label in (*made, *summed)]
    rows = int(np.prod([size[label] for label in made], dtype=np.int64))
    turned = weight.rearranged(order, [rows, -1], op.graph.element_starts)
    ids = contract(op, units, turned, [own.index(label) for label in summed], layer_name(op, weight))
    if ids.dim() == units.ids.dim():
        raise op.error("a parameter mixes positions", "write it as matmul")
    return op.units(_placed(ids, made, size, result))


def _placed(ids: torch.Tensor, made: list[str], size: dict[str, int], result: str) -> torch.Tensor:
    shaped = ids.reshape([size[label] for label in made])
    order = [label for label in result if label in made]
    shaped = shaped.permute([made.index(label) for label in order])
    return shaped.reshape([size[label] if label in made else 1 for label in result])
