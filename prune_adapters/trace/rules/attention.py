"""Scaled dot product attention, written out: scores of queries and keys gate the values.

A score is a sum of products, so it is zero where no query channel meets a live key channel; its softmax is then a
constant, and the values still flow. Positions are shared: mixing over them keeps the channels of the values.
"""

from dataclasses import replace

import torch

from prune_adapters.trace.acting import act
from prune_adapters.trace.meeting import meet, mix, reduce
from prune_adapters.trace.registry import Operation, register_rule
from prune_adapters.trace.rules.linear import matrix_product
from prune_adapters.trace.values import Constant, Units, Value, Weight

__all__ = ["attention"]

KERNELS = """scaled_dot_product_attention _scaled_dot_product_flash_attention_for_cpu
_scaled_dot_product_flash_attention _scaled_dot_product_efficient_attention _scaled_dot_product_cudnn_attention
_scaled_dot_product_attention_math _scaled_dot_product_fused_attention_overrideable"""


@register_rule(*(f"aten.{name}" for name in KERNELS.split()))
def attention(op: Operation) -> Value | tuple[Value, ...]:
    """softmax(q k^T) v."""
    query, key, value = op.args[:3]
    heads = query.shape[-3] if len(query.shape) > 2 else 1
    key, value = (_repeat_heads(part, heads) for part in (key, value))
    scores_shape = (*query.shape[:-1], key.shape[-2])
    ids = _scores(op, query, key, scores_shape)
    result = op.units(_weighted_values(op, ids, scores_shape, value), op.shapes[0])
    return (result, *(Constant(shape) for shape in op.shapes[1:])) if len(op.shapes) > 1 else result


def _scores(op: Operation, query: Value, key: Value, shape: tuple[int, ...]) -> torch.Tensor | None:
    """Return the ids of the softmax of the scores, None where they do not depend on the input."""
    named = _named(op, ".score", shape)
    if isinstance(query, Units) and isinstance(key, Units):
        ids = matrix_product(
            named, query, Units(key.ids.transpose(-1, -2), (*key.shape[:-2], key.shape[-1], key.shape[-2]))
        )
    elif isinstance(query, Units) or isinstance(key, Units):
        units = query if isinstance(query, Units) else key
        for source in (key if isinstance(query, Units) else query).sources:
            op.graph.note_role(source, "constant")
        ids = reduce(op.graph, units.ids, [-1], named.name)
    else:
        return None
    bias = op["attn_mask"] if op.has("attn_mask") else None
    actions = [(_at_rank(op, bias, ids.dim()), "shift")] if isinstance(bias, (Weight, Constant)) else []
    if isinstance(bias, Units):
        ids = meet(
            op.graph, [ids, bias.ids.reshape([1] * (ids.dim() - bias.ids.dim()) + list(bias.ids.shape))], named.name
        )
    mixed = mix(op.graph, ids, [-1], named.name)
    return act(op.graph, mixed, [*actions, (Constant(()), "shift")], named.name)


def _weighted_values(op: Operation, scores: torch.Tensor | None, shape: tuple[int, ...], value: Value) -> torch.Tensor:
    if isinstance(value, Units):
        if scores is None:
            return reduce(op.graph, value.ids, [-2], op.name)
        return matrix_product(op, Units(scores, shape), value)
    for source in value.sources:
        op.graph.note_role(source, "constant")
    return scores


def _at_rank(op: Operation, bias: Weight | Constant, rank: int) -> Weight | Constant:
    shape = [1] * (rank - len(bias.shape)) + list(bias.shape)
    if isinstance(bias, Constant):
        return bias.reshaped(shape)
    return bias.rearranged(range(len(bias.shape)), shape, op.graph.element_starts)


def _repeat_heads(part: Value, heads: int) -> Value:
    """Grouped-query attention: each key and value head serves several query heads."""
    if not isinstance(part, Units) or len(part.shape) < 3 or part.shape[-3] in (heads, 1):
        return part
    repeats = heads // part.shape[-3]
    ids = part.ids if part.ids.shape[-3] == 1 else part.ids.repeat_interleave(repeats, -3)
    return Units(ids, (*part.shape[:-3], heads, *part.shape[-2:]))


def _named(op: Operation, suffix: str, shape: tuple[int, ...]) -> Operation:
    return replace(op, name=op.name + suffix, shapes=(shape,))
