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
    query, key, value = op.tensors()[:3]
    heads = query.shape[-3] if len(query.shape) > 2 else 1
    key, value = (_repeat_heads(part, heads) for part in (key, value))
    shape = (*query.shape[:-1], key.shape[-2])
    scores = _scores(replace(op, name=op.name + ".score", shapes=(shape,)), query, key)
    result = op.units(_weighted_values(op, scores, value))
    return (result, *(Constant(shape) for shape in op.shapes[1:])) if len(op.shapes) > 1 else result


def _scores(op: Operation, query: Value, key: Value) -> Value:
    """Return the softmax of the scores."""
    ids = _products(op, query, key)
    bias = op.value("attn_mask")
    if isinstance(bias, Units):
        terms = [bias.at_rank(len(op.shape)).ids, *([] if ids is None else [ids])]
        ids = meet(op.graph, terms, op.name)
    if ids is None:
        return Constant(op.shape, sources=(*query.sources, *key.sources))
    shifts = [(bias.at_rank(ids.dim()), "shift")] if isinstance(bias, (Weight, Constant)) else []
    mixed = mix(op.graph, ids, [-1], op.name)
    return Units(act(op.graph, mixed, [*shifts, (Constant(()), "shift")], op.name), op.shape)


def _products(op: Operation, query: Value, key: Value) -> torch.Tensor | None:
    """Return the ids of q k^T, None where neither depends on the input."""
    turned = key.transposed() if isinstance(key, Units) else None
    if isinstance(query, Units) and turned:
        return matrix_product(op, query, turned)
    for source in (*query.sources, *key.sources):
        op.graph.note_role(source, "constant")
    if turned:
        return reduce(op.graph, turned.ids, [-2], op.name)
    return reduce(op.graph, query.ids, [-1], op.name) if isinstance(query, Units) else None


def _weighted_values(op: Operation, scores: Value, value: Value) -> torch.Tensor:
    if isinstance(value, Units) and isinstance(scores, Units):
        return matrix_product(op, scores, value)
    for source in (*value.sources, *scores.sources):
        op.graph.note_role(source, "constant")
    if isinstance(value, Units):
        return reduce(op.graph, value.ids, [-2], op.name)
    if isinstance(scores, Units):
        return reduce(op.graph, scores.ids, [-1], op.name)
    raise op.error("only its mask depends on the input", "pass unknown='mix'")


def _repeat_heads(part: Value, heads: int) -> Value:
    """Grouped-query attention: each key and value head serves several query heads."""
    if not isinstance(part, Units) or len(part.shape) < 3 or part.shape[-3] in (heads, 1):
        return part
    repeats = heads // part.shape[-3]
    ids = part.ids if part.ids.shape[-3] == 1 else part.ids.repeat_interleave(repeats, -3)
    return Units(ids, (*part.shape[:-3], heads, *part.shape[-2:]))
