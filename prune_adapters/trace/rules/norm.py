"""Normalisations.

Batch norm and instance norm follow the channel. Layer norm and group norm mix: each output depends on all units of its
group (following the channel there calls weights dead whose gradient is not zero). ``norm="through"`` follows the
channel everywhere, as the literature does, and must not be used for removal.
"""

import torch

from prune_adapters.trace.acting import act
from prune_adapters.trace.meeting import meet, mix, reduce
from prune_adapters.trace.registry import Operation, register_rule
from prune_adapters.trace.values import Constant, Value, Weight

__all__ = ["affine", "batch_norm", "group_norm", "instance_norm", "layer_norm", "renormed", "rms_norm"]


def affine(op: Operation, ids: torch.Tensor, dims: list[int], mean: Value | None = None) -> torch.Tensor:
    """Return the ids after the norm's running mean (if any), scale and bias, which lie along `dims`."""
    actions: list[tuple[Weight | Constant, str]] = []
    if isinstance(mean, Constant):
        actions.append((mean.reshaped([mean.shape[0] if d in dims else 1 for d in range(ids.dim())]), "shift"))
    for argument, role in (("weight", "gate"), ("bias", "shift")):
        value = op.value(argument)
        if isinstance(value, Weight):
            sizes = iter(value.shape)
            shape = [next(sizes) if d in dims else 1 for d in range(ids.dim())]
            actions.append((value.rearranged(range(len(value.shape)), shape, op.graph.element_starts), role))
        elif isinstance(value, Constant):
            actions.append((value, role))
        elif value is not None:
            raise op.error(f"its {argument} depends on the input", "scale and shift after the norm instead")
    return act(op.graph, ids, actions, op.name) if actions else ids


@register_rule(
    "aten.batch_norm", "aten.native_batch_norm", "aten._native_batch_norm_legit_no_training", "aten.cudnn_batch_norm"
)
def batch_norm(op: Operation) -> Value | tuple[Value, ...]:
    """Follows the channel; the running mean makes a constant."""
    return _first_of(op, affine(op, op.first.ids, [1], op.value("running_mean")))


@register_rule("aten.instance_norm")
def instance_norm(op: Operation) -> Value:
    """Follows the channel: a constant channel becomes zero before the bias, which is taken as a constant."""
    return op.units(affine(op, op.first.ids, [1], None if op.argument("use_input_stats") else op.value("running_mean")))


@register_rule("aten.layer_norm", "aten.native_layer_norm")
def layer_norm(op: Operation) -> Value | tuple[Value, ...]:
    """Mixes the normalised dimensions."""
    units = op.first
    dims = list(range(units.ids.dim() - len(op.numbers("normalized_shape")), units.ids.dim()))
    ids = units.ids if op.options.norm == "through" else mix(op.graph, units.ids, dims, op.name)
    return _first_of(op, affine(op, ids, dims))


@register_rule("aten.rms_norm", "aten._fused_rms_norm")
def rms_norm(op: Operation) -> Value | tuple[Value, ...]:
    """Divides by the root of the mean of squares, which is never zero: zero stays zero, the rest depends on all."""
    units = op.first
    dims = list(range(units.ids.dim() - len(op.numbers("normalized_shape")), units.ids.dim()))
    ids = units.ids
    if op.options.norm != "through" and any(ids.shape[d] > 1 for d in dims):
        mean = reduce(op.graph, ids, dims, op.name + ".statistic")
        present = act(op.graph, mean, [(Constant(()), "shift")], op.name + ".statistic")
        ids = meet(op.graph, [ids, present.expand(ids.shape)], op.name, product=True)
    return _first_of(op, affine(op, ids, dims))


@register_rule("aten.group_norm", "aten.native_group_norm")
def group_norm(op: Operation) -> Value | tuple[Value, ...]:
    """Mixes the channels of each group."""
    units = op.first
    groups = op.number("num_groups" if op.packet == "aten.group_norm" else "group")
    channels, ids = units.shape[1], units.ids
    if op.options.norm != "through" and ids.shape[1] > 1:
        grouped = ids.reshape([ids.shape[0], groups, channels // groups, *ids.shape[2:]])
        mixed = mix(op.graph, grouped, range(2, grouped.dim()), op.name)
        ids = mixed.expand(grouped.shape).reshape(ids.shape)
    return _first_of(op, affine(op, ids, [1]))


def _first_of(op: Operation, ids: torch.Tensor) -> Value | tuple[Value, ...]:
    """Return the output, with the statistics that native forms return beside it."""
    result = op.units(ids)
    return (result, *(Constant(shape) for shape in op.shapes[1:])) if len(op.shapes) > 1 else result


@register_rule("aten.renorm")
def renormed(op: Operation) -> Value:
    """Divided by a norm over one dimension: never zero where the unit is not."""
    return op.units(mix(op.graph, op.first.ids, [op.dim()], op.name))
