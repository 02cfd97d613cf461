"""Einstein sums: labels are followed as dimensions; a parameter operand gives weights.

A parameter that differs from position to position has one tap for each of them.
"""

import numpy as np
import torch

from prune_adapters.trace.meeting import meet, reduce
from prune_adapters.trace.registry import Operation, register_rule
from prune_adapters.trace.rules.linear import contract, layer_name
from prune_adapters.trace.values import PRESENT, Units, Value, Weight

__all__ = ["einsum"]


@register_rule("aten.einsum")
def einsum(op: Operation) -> Value:
    """One or two operands; contracted labels are summed, a parameter operand gives weights."""
    equation = str(op.args[0]).replace(" ", "")
    operands = op.tensors()
    inputs, _, result = equation.partition("->")
    labels = inputs.split(",")
    if "." in equation or len(operands) > 2 or (not result and "->" not in equation):
        raise op.error(f"equation {equation!r} is not followed", "write it as matmul with explicit output labels")
    if len(operands) == 2 and isinstance(operands[0], Weight):
        operands, labels = operands[::-1], labels[::-1]
    if len(operands) == 2 and isinstance(operands[0], Units) and isinstance(operands[1], Weight):
        return _einsum_weight(op, operands[0], operands[1], labels, result)
    spread = [_spread(_ids(operand), own, labels) for operand, own in zip(operands, labels, strict=True)]
    every = _all_labels(labels)
    ids = meet(op.graph, spread, op.name + ".product", product=True) if len(spread) > 1 else spread[0]
    summed = [i for i, label in enumerate(every) if label not in result]
    ids = reduce(op.graph, ids, summed, op.name, keepdim=False) if summed else ids
    left = [label for label in every if label in result]
    return op.units(ids.permute([left.index(label) for label in result]))


def _ids(operand: Value) -> torch.Tensor:
    return operand.ids if isinstance(operand, Units) else torch.full([1] * len(operand.shape), PRESENT)


def _all_labels(labels: list[str]) -> list[str]:
    return list(dict.fromkeys("".join(labels)))


def _spread(ids: torch.Tensor, own: str, labels: list[str]) -> torch.Tensor:
    """Return the ids with one axis for each label of the equation."""
    every = _all_labels(labels)
    order = [label for label in every if label in own]
    moved = ids.permute([own.index(label) for label in order])
    shape = iter(moved.shape)
    return moved.reshape([next(shape) if label in own else 1 for label in every])


def _einsum_weight(op: Operation, units: Units, weight: Weight, labels: list[str], result: str) -> Value:
    own, theirs = labels
    summed = [label for label in own if label in theirs and label not in result]
    made = [label for label in theirs if label not in own]
    shared = [label for label in theirs if label in own and label in result]
    if any(units.ids.shape[own.index(label)] > 1 for label in shared):
        raise op.error("a parameter shares labels with units that it tells apart", "write it as a batched matmul")
    size = dict(zip(theirs, weight.shape, strict=True))
    order = [theirs.index(label) for label in (*made, *summed, *shared)]
    shape = [int(np.prod([size[label] for label in part], dtype=np.int64)) for part in (made, summed, shared)]
    turned = weight.rearranged(order, shape if shared else shape[:2], op.graph.element_starts)
    ids = contract(op, units, turned, [own.index(label) for label in summed], layer_name(op, weight))
    if ids.dim() == units.ids.dim():
        raise op.error("a parameter mixes positions", "write it as matmul")
    return op.units(_placed(ids, made, size, result))


def _placed(ids: torch.Tensor, made: list[str], size: dict[str, int], result: str) -> torch.Tensor:
    shaped = ids.reshape([size[label] for label in made])
    order = [label for label in result if label in made]
    shaped = shaped.permute([made.index(label) for label in order])
    return shaped.reshape([size[label] if label in made else 1 for label in result])
