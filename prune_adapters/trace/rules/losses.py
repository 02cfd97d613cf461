"""Losses, for models whose forward returns one: every operand has a part in the result."""

import torch

from prune_adapters.trace.acting import act, ids_of
from prune_adapters.trace.meeting import meet, reduce
from prune_adapters.trace.registry import Operation, register_rule
from prune_adapters.trace.rules.elementwise import as_units
from prune_adapters.trace.values import Constant, Tokens, Units, Value

__all__ = ["loss"]

LOSSES = """mse_loss l1_loss smooth_l1_loss huber_loss binary_cross_entropy binary_cross_entropy_with_logits kl_div
nll_loss nll_loss2d nll_loss_nd nll_loss_forward nll_loss2d_forward cross_entropy_loss cosine_embedding_loss
hinge_embedding_loss margin_ranking_loss multi_margin_loss multilabel_margin_loss multilabel_margin_loss_forward
soft_margin_loss poisson_nll_loss triplet_margin_loss ctc_loss _ctc_loss"""

NO_REDUCTION = 0
"""The value of the argument `reduction` that leaves one loss for each element."""


@register_rule(*(f"aten.{name}" for name in LOSSES.split()))
def loss(op: Operation) -> Value | tuple[Value, ...]:
    """All units of all operands meet in the loss; element by element where the loss has the shape of an operand."""
    values = [value for value in op.tensors() if not isinstance(value, Constant) or value.sources]
    parts = [_units(op, value) for value in values]
    same = [part.shape == op.shape for part in parts]
    if op.argument("reduction") == NO_REDUCTION and all(same) and op.shape:
        ids = meet(op.graph, [part.ids for part in parts], op.name)
    else:
        alone = [reduce(op.graph, part.ids, range(part.ids.dim()), op.name).reshape(1) for part in parts]
        together = alone[0] if len(alone) == 1 else reduce(op.graph, torch.cat(alone), [0], op.name)
        ids = together.reshape([1] * len(op.shape))
    result = op.units(act(op.graph, ids, [(Constant(()), "shift")], op.name))
    return (result, *(Constant(shape) for shape in op.shapes[1:]))


def _units(op: Operation, value: Value) -> Units:
    if isinstance(value, Tokens):
        return as_units(op, value)
    return Units(ids_of(op.graph, value, op.name + ".held"), value.shape)
