"""Contractions: linear layers, matrix products with parameters, and matrix products of activations."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from netgraph import Wiring
from prune_adapters.trace.acting import act
from prune_adapters.trace.derived import WeightSum
from prune_adapters.trace.ids import unique_rows
from prune_adapters.trace.meeting import combine, meet, reduce
from prune_adapters.trace.registry import Operation, register_rule
from prune_adapters.trace.rules.elementwise import as_units
from prune_adapters.trace.values import Constant, Tokens, Units, Value, Weight
from prune_adapters.trace.weights import connect

__all__ = [
    "batched_contraction",
    "contract",
    "layer_name",
    "matrix_chain",
    "matrix_multiply",
    "matrix_product",
    "note_computed",
]

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
    if (
        op.options.positions == "split"
        and dims == [units.ids.dim() - 1]
        and any(units.ids.shape[d] > 1 for d in others)
    ):
        return _split_positions(op, units, weight, name)
    on_positions = all(units.ids.shape[d] == 1 for d in dims) and any(units.ids.shape[d] > 1 for d in others)
    if on_positions and weight.shape[1] > 1:
        return _mixed_positions(op, units.ids, weight, name)
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


def layer_name(op: Operation, weight: Weight) -> str:
    """Return the name of the layer that a parameter feeds: its module, or the parameter if there are several."""
    parameter = weight.sources[0] if weight.sources else op.name
    owner, _, leaf = parameter.rpartition(".")
    return owner if leaf == "weight" and owner else parameter.removesuffix("_weight").removesuffix(".weight")


@register_rule("aten.linalg_multi_dot", "aten.chain_matmul")
def matrix_chain(op: Operation) -> Value:
    """A product of several matrices, from left to right."""
    first, *others = op.tensors()
    total = _as_matrix(op, first, row=True)
    for factor in others:
        right = _as_matrix(op, factor, row=False)
        shape = (total.shape[0], right.shape[1])
        if not isinstance(total, Units) and not isinstance(right, Units):
            raise op.error("two of its factors in a row have no units", "multiply by one parameter after the other")
        total = Units(matrix_product(replace(op, shapes=(shape,)), total, right), shape)
    if not isinstance(total, Units):
        raise op.error("no factor has units", "pass unknown='mix'")
    sides = [d for d, factor in ((0, first), (1, others[-1])) if len(factor.shape) == 1]
    return op.units(total.ids.squeeze(sides))


def _as_matrix(op: Operation, value: Value, *, row: bool) -> Value:
    """Return a vector as a matrix of one row or one column."""
    if len(value.shape) == 2:
        return value
    if not isinstance(value, Units):
        raise op.error("a vector of parameters among its factors", "give it two dimensions")
    return Units(value.ids.reshape((1, -1) if row else (-1, 1)), (1, value.shape[0]) if row else (value.shape[0], 1))


@register_rule("aten.linear", "aten.addmm", "aten.mm", "aten.matmul", "aten.bmm", "aten.mv", "aten.baddbmm", "aten.dot")
def matrix_multiply(op: Operation) -> Value:
    """y = x W^T + b, x W + b, W x, or a product of two activations."""
    left, right, bias = _operands(op)
    ids = matrix_product(op, left, right)
    if isinstance(bias, Units):
        return op.units(meet(op.graph, [ids, bias.at_rank(ids.dim()).ids], op.name))
    if isinstance(bias, (Weight, Constant)):
        ids = act(op.graph, ids, [(bias.at_rank(ids.dim()), "shift")], op.name)
    return op.units(ids)


def _operands(op: Operation) -> tuple[Value, Value, Value | None]:
    """Return both factors as a plain matrix product takes them, and what is added."""
    operands = [as_units(op, t) if isinstance(t, Tokens) else t for t in op.tensors()]
    if op.packet == "aten.linear":
        left, right = operands[:2]
        if isinstance(right, Weight):
            right = right.transposed(op.graph.element_starts)
        elif isinstance(right, WeightSum):
            right = right.turned(op.graph.element_starts)
        elif isinstance(right, Units):
            right = right.transposed()
        return left, right, op.value("bias")
    if op.packet in ("aten.addmm", "aten.baddbmm"):
        return operands[1], operands[2], operands[0]
    return operands[0], operands[1], None


def matrix_product(op: Operation, left: Value, right: Value) -> torch.Tensor:
    """Return the ids of ``left @ right`` at the rank of the output."""
    if isinstance(left, Units) and isinstance(right, Weight):
        return _times_weight(op, left, right, len(op.shape))
    if isinstance(left, Weight) and isinstance(right, Units):
        return _weight_times(op, left, right)
    if isinstance(left, Units) and isinstance(right, Units):
        return _product_of_units(op, left, right)
    if isinstance(left, Units) and isinstance(right, WeightSum):
        return _times_chains(op, left, right)
    if isinstance(left, WeightSum) and isinstance(right, Units):
        return _weight_times(op, left, right)
    return _times_constant(op, left, right)


def _times_constant(op: Operation, left: Value, right: Value) -> torch.Tensor:
    """A fixed matrix mixes all units along the contracted dimension."""
    units, dim = (left, -1) if isinstance(left, Units) else (right, -2)
    if not isinstance(units, Units):
        raise op.error("neither factor has units", "pass unknown='mix'")
    note_computed(op, (*left.sources, *right.sources))
    dim = dim if len(units.shape) > 1 else -1
    reduced = reduce(op.graph, units.ids, [dim], op.name)
    reduced = reduced if reduced.dim() <= len(op.shape) else reduced.squeeze(dim)
    return reduced.reshape([1] * (len(op.shape) - reduced.dim()) + list(reduced.shape))


def _times_chains(op: Operation, units: Units, weight: WeightSum) -> torch.Tensor:
    """Return the ids of a product with a weight that is a sum of products: multiplied out, term by term."""
    terms = []
    for chain in weight.terms:
        total = units
        for factor in chain:
            shape = (*total.shape[:-1], factor.shape[-1])
            total = Units(_times_weight(op, total, factor, len(shape)), shape)
        terms.append(total.ids)
    return meet(op.graph, terms, op.name)


def note_computed(op: Operation, sources: Sequence[str]) -> None:
    """Say of the parameters that a matrix or kernel is computed from that they get no edges."""
    for source in sources:
        op.graph.note_role(source, "gate")
    if sources:
        op.graph.notes.append(f"{op.name}: its weights are computed from {', '.join(sources)}, which get no edges")


def _weight_times(op: Operation, weight: Weight | WeightSum, units: Units) -> torch.Tensor:
    """W x is the transpose of x^T W^T."""
    is_vector = len(units.shape) == 1
    flipped = Units(units.ids.reshape(1, -1), (1, *units.shape)) if is_vector else units.transposed()
    rank = max(len(op.shape), 2)
    if isinstance(weight, WeightSum):
        ids = _times_chains(op, flipped, weight.turned(op.graph.element_starts))
        ids = ids.reshape([1] * (rank - ids.dim()) + list(ids.shape))
    else:
        ids = _times_weight(op, flipped, weight.transposed(op.graph.element_starts), rank)
    return ids.reshape([1] * (len(op.shape) - 1) + [-1]) if is_vector else ids.transpose(-1, -2)


def _times_weight(op: Operation, units: Units, weight: Weight, rank: int) -> torch.Tensor:
    if len(weight.shape) > 2:
        return batched_contraction(op, units, weight, rank)
    is_vector = len(weight.shape) == 1
    rows = weight.at_rank(2) if is_vector else weight.transposed(op.graph.element_starts)
    ids = contract(op, units, rows, [units.ids.dim() - 1], layer_name(op, weight))
    if ids.dim() > 1:
        return ids
    return ids.reshape([1] * rank) if is_vector else ids.reshape([1] * (rank - 1) + [-1])


def batched_contraction(op: Operation, units: Units, weight: Weight, rank: int) -> torch.Tensor:
    """Return the ids of a product with a different matrix for each batch position (heads, experts)."""
    batch, (sources, targets) = list(weight.shape[:-2]), weight.shape[-2:]
    groups = int(np.prod(batch))
    rows = weight.transposed(op.graph.element_starts).rearranged(
        range(len(weight.shape)), [groups * targets, sources], op.graph.element_starts
    )
    ids = units.at_rank(len(batch) + 2).ids
    kept = [*range(ids.dim() - 2 - len(batch), ids.dim() - 2), ids.dim() - 1]
    others = [d for d in range(ids.dim()) if d not in kept]
    turned = ids.permute(*kept, *others)
    slots = reduce(op.graph, turned, range(len(kept), ids.dim()), op.name + ".slots", keepdim=False)
    new = connect(op.graph, rows, slots.expand([*batch, sources]).reshape(-1), layer_name(op, weight), "oi", groups)
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
