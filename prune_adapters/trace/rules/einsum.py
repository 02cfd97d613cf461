"""Einstein sums: labels are followed as dimensions; a parameter operand gives weights.

Operands are taken one after the other, starting from the first that has units. A label that no later operand and no
output needs is summed as soon as that is so.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import torch

from prune_adapters.trace.acting import act, ids_of
from prune_adapters.trace.meeting import meet, reduce
from prune_adapters.trace.registry import Operation, register_rule
from prune_adapters.trace.rules.elementwise import as_units
from prune_adapters.trace.rules.linear import batched_contraction, contract, layer_name
from prune_adapters.trace.values import Tokens, Units, Value, Weight

__all__ = ["dot_along", "einsum", "tensordot"]

SPARE = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True, eq=False)
class Labelled:
    """Ids with one label for each dimension."""

    ids: torch.Tensor
    labels: str


@register_rule("aten.einsum")
def einsum(op: Operation) -> Value:
    """Any number of operands, with an ellipsis and an implicit output if need be."""
    operands = [as_units(op, value) if isinstance(value, Tokens) else value for value in op.tensors()]
    labels, result = _parsed(str(op.args[0]).replace(" ", ""), [len(value.shape) for value in operands])
    return _summed(op, operands, labels, result)


@register_rule("aten.tensordot", "aten.inner")
def tensordot(op: Operation) -> Value:
    """A sum over pairs of dimensions; for `inner` the last ones."""
    left, right = op.tensors()[:2]
    pairs = [(-1,), (-1,)] if op.packet == "aten.inner" else [op.numbers("dims_self"), op.numbers("dims_other")]
    first = list(SPARE[: len(left.shape)])
    second = list(SPARE[len(left.shape) : len(left.shape) + len(right.shape)])
    for mine, theirs in zip(*pairs, strict=True):
        second[theirs] = first[mine]
    labels = ["".join(first), "".join(second)]
    return _summed(op, [left, right], labels, "".join(c for c in "".join(labels) if "".join(labels).count(c) == 1))


@register_rule("aten.linalg_vecdot", "aten.vdot")
def dot_along(op: Operation) -> Value:
    """The sum of products along one dimension."""
    left, right = op.tensors()[:2]
    dim = op.argument("dim")
    rank = max(len(left.shape), len(right.shape))
    pair: list[Value] = [_at_rank(op, value, rank) for value in (left, right)]
    labels = SPARE[:rank]
    summed = labels[dim if isinstance(dim, int) else -1]
    return _summed(op, pair, [labels, labels], labels.replace(summed, ""))


def _at_rank(op: Operation, value: Value, rank: int) -> Value:
    if isinstance(value, Tokens):
        raise op.error("an integer input", "embed it first")
    return value.at_rank(rank)


def _parsed(equation: str, ranks: Sequence[int]) -> tuple[list[str], str]:
    """Return the labels of every operand and of the output, an ellipsis written out."""
    inputs, arrow, result = equation.partition("->")
    labels = inputs.split(",")
    if not arrow:
        letters = sorted(set(inputs) - set(",."))
        result = "..." * ("..." in inputs) + "".join(c for c in letters if inputs.count(c) == 1)
    hidden = [rank - len(own.replace("...", "")) for own, rank in zip(labels, ranks, strict=True)]
    spare = [c for c in SPARE if c not in equation][: max(hidden, default=0)]
    written = [own.replace("...", "".join(spare[len(spare) - n :])) for own, n in zip(labels, hidden, strict=True)]
    return written, result.replace("...", "".join(spare))


def _summed(op: Operation, operands: Sequence[Value], labels: Sequence[str], result: str) -> Value:
    sizes: dict[str, int] = {}
    for value, own in zip(operands, labels, strict=True):
        for label, size in zip(own, value.shape, strict=True):
            sizes[label] = max(size, sizes.get(label, 1))
    order = sorted(range(len(operands)), key=lambda i: not isinstance(operands[i], Units))[:1]
    order += [i for i in range(len(operands)) if i not in order]
    total = _labelled(op, operands[order[0]], labels[order[0]])
    for position, number in enumerate(order[1:], start=1):
        later = "".join(labels[i] for i in order[position + 1 :]) + result
        operand = operands[number]
        if isinstance(operand, Weight):
            total = _times_weight(op, total, operand, labels[number], later, sizes)
        else:
            total = _times(op, total, _labelled(op, operand, labels[number]))
        total = _without(op, total, later)
    total = _without(op, total, result)
    return op.units(total.ids.permute([total.labels.index(label) for label in result]))


def _labelled(op: Operation, value: Value, labels: str) -> Labelled:
    """Return the ids of an operand; a label that it bears twice runs along its diagonal."""
    ids = ids_of(op.graph, value, op.name + ".held")
    for label in dict.fromkeys(labels):
        while labels.count(label) > 1:
            first = labels.index(label)
            second = labels.index(label, first + 1)
            full = ids.expand([value.shape[first] if d in (first, second) else s for d, s in enumerate(ids.shape)])
            ids = full.diagonal(0, first, second)
            labels = labels[:first] + labels[first + 1 : second] + labels[second + 1 :] + label
    return Labelled(ids, labels)


def _without(op: Operation, value: Labelled, kept: str) -> Labelled:
    """Sum over all labels that are not in `kept`."""
    dims = [d for d, label in enumerate(value.labels) if label not in kept]
    ids = reduce(op.graph, value.ids, dims, op.name, keepdim=False) if dims else value.ids
    return Labelled(ids, "".join(label for label in value.labels if label in kept))


def _times(op: Operation, left: Labelled, right: Labelled) -> Labelled:
    every = "".join(dict.fromkeys(left.labels + right.labels))
    ids = meet(op.graph, [_spread(left, every), _spread(right, every)], op.name + ".product", product=True)
    return Labelled(ids, every)


def _spread(value: Labelled, every: str) -> torch.Tensor:
    """Return the ids with one axis for each label in `every`."""
    own = [label for label in every if label in value.labels]
    sizes = iter(value.ids.permute([value.labels.index(label) for label in own]).shape)
    moved = value.ids.permute([value.labels.index(label) for label in own])
    return moved.reshape([next(sizes) if label in value.labels else 1 for label in every])


def _times_weight(
    op: Operation, value: Labelled, weight: Weight, theirs: str, later: str, sizes: dict[str, int]
) -> Labelled:
    if len(set(theirs)) < len(theirs):
        raise op.error("a parameter bears a label twice", "take its diagonal first")
    value = _without(op, value, theirs + later)
    shared = [label for label in theirs if label in value.labels]
    batch, summed = [c for c in shared if c in later], [c for c in shared if c not in later]
    made = [label for label in theirs if label not in shared]
    if not summed:
        return _gated(op, value, weight, theirs)
    if batch:
        return _batched(op, value, weight, theirs, (batch, summed, made), sizes)
    order, rows = [theirs.index(c) for c in (*made, *summed)], prod(sizes[c] for c in made)
    turned = weight.rearranged(order, [rows, -1], op.graph.element_starts)
    return _contracted(op, value, turned, summed, made, sizes, layer_name(op, weight))


def _batched(
    op: Operation, value: Labelled, weight: Weight, theirs: str, kinds: tuple[list[str], ...], sizes: dict[str, int]
) -> Labelled:
    """A different matrix for each index of the labels that both sides keep."""
    batch, summed, made = kinds
    many, shared = [sizes[c] for c in batch], [*batch, *summed]
    order = [theirs.index(c) for c in (*batch, *summed, *made)]
    turned = weight.rearranged(order, [*many, prod(sizes[c] for c in summed), -1], op.graph.element_starts)
    free = _without(op, value, "".join(shared))
    ids = free.ids.permute([free.labels.index(c) for c in (*batch, *summed)])
    ids = ids.expand([sizes[c] for c in (*batch, *summed)]).reshape([*many, 1, -1])
    units = Units(ids, tuple(ids.shape))
    done = batched_contraction(op, units, turned, len(many) + 2).squeeze(-2)
    free_labels = "".join(c for c in value.labels if c not in shared)
    shape = [*[1] * len(free_labels), *many, *(sizes[c] for c in made)]
    return Labelled(done.reshape(shape), free_labels + "".join([*batch, *made]))


def _contracted(
    op: Operation, value: Labelled, weight: Weight, summed: list[str], made: list[str], sizes: dict[str, int], name: str
) -> Labelled:
    units = Units(value.ids, tuple(sizes[c] for c in value.labels))
    ids = contract(op, units, weight, [value.labels.index(c) for c in summed], name)
    free = "".join(c for c in value.labels if c not in summed)
    if ids.dim() == value.ids.dim() and ids.dim() > 1:
        dims = [value.labels.index(c) for c in summed]
        kept = ids.squeeze(tuple(dims))
        return Labelled(kept.reshape([*kept.shape, *[1] * len(made)]), free + "".join(made))
    return Labelled(ids.reshape([*[1] * len(free), *(sizes[c] for c in made)]), free + "".join(made))


def _gated(op: Operation, value: Labelled, weight: Weight, theirs: str) -> Labelled:
    """A parameter that is not summed over scales the units."""
    every = "".join(dict.fromkeys(value.labels + theirs))
    order = [theirs.index(label) for label in every if label in theirs]
    shape = [weight.shape[theirs.index(label)] if label in theirs else 1 for label in every]
    gate = weight.rearranged(order, shape, op.graph.element_starts)
    return Labelled(act(op.graph, _spread(value, every), [(gate, "gate")], op.name), every)
