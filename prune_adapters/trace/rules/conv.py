"""Convolutions in one, two and three dimensions, grouped and transposed.

The kernel positions of a channel pair are the taps of one edge. A kernel that is computed (standardised weights, a
fixed blur) has no edges: every channel of a group is joined to every other.
"""

import torch

from prune_adapters.trace.acting import act
from prune_adapters.trace.meeting import combine, reduce
from prune_adapters.trace.registry import Operation, register_rule
from prune_adapters.trace.rules.linear import layer_name, note_computed
from prune_adapters.trace.values import Constant, Units, Value, Weight
from prune_adapters.trace.weights import connect, slots_of

__all__ = ["convolution", "transposed_convolution"]


@register_rule("aten.conv1d", "aten.conv2d", "aten.conv3d", "aten.convolution", "aten._convolution")
def convolution(op: Operation) -> Value:
    """Sum over the channels of the group and the kernel positions, plus the bias."""
    return _convolved(op, "io" if op.argument("transposed") else "oi")


@register_rule("aten.conv_transpose1d", "aten.conv_transpose2d", "aten.conv_transpose3d")
def transposed_convolution(op: Operation) -> Value:
    """As a convolution, with the weight stored source first."""
    return _convolved(op, "io")


def _convolved(op: Operation, order: str) -> Value:
    units, weight = op.value("input"), op.value("weight")
    if not isinstance(units, Units) or not isinstance(weight, (Weight, Constant)):
        raise op.error("a convolution whose kernel depends on the input", "pass unknown='mix'")
    n_positions = len(weight.shape) - 2
    channel = len(units.shape) - n_positions - 1
    slots = slots_of(op.graph, units.ids, channel, units.shape[channel], op.name)
    if isinstance(weight, Weight):
        ids = connect(op.graph, weight, slots, layer_name(op, weight), order, op.number("groups"))
    else:
        ids = _without_edges(op, weight, slots, op.shape[channel])
    ids = ids.reshape([1] * channel + [-1] + [1] * n_positions)
    return op.units(_with_bias(op, ids, op.value("bias"), channel))


def _without_edges(op: Operation, weight: Constant, slots: torch.Tensor, size: int) -> torch.Tensor:
    """Return `size` units, each fed by all slots of its group."""
    note_computed(op, weight.sources)
    groups = op.number("groups")
    sums = reduce(op.graph, slots.reshape(groups, -1), [1], op.name + ".input").reshape(-1)
    if size == groups:
        return sums
    return combine(op.graph, sums.expand(groups).repeat_interleave(size // groups).reshape(-1, 1), op.name)


def _with_bias(op: Operation, ids: torch.Tensor, bias: Value | None, channel: int) -> torch.Tensor:
    if isinstance(bias, Weight):
        shape = [bias.shape[0] if d == channel else 1 for d in range(ids.dim())]
        return act(op.graph, ids, [(bias.rearranged([0], shape, op.graph.element_starts), "shift")], op.name)
    if isinstance(bias, Constant):
        return act(op.graph, ids, [(bias, "shift")], op.name)
    if bias is not None:
        raise op.error("its bias depends on the input", "add it afterwards")
    return ids
