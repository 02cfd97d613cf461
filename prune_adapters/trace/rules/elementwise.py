"""Elementwise operators: functions of one tensor, sums, and what constants and parameters do to units.

A function with f(0) = 0 follows the unit. One with f(0) != 0 turns a zero into a constant, as a shift does. Sums,
differences, maxima and selections are live if any term is.
"""

from typing import TypeGuard, cast

import torch

from prune_adapters.trace.acting import act
from prune_adapters.trace.meeting import meet
from prune_adapters.trace.registry import Operation, register_rule
from prune_adapters.trace.values import Constant, Tokens, Units, Value, Weight

__all__ = [
    "SHAPES_ONLY",
    "as_units",
    "clamp",
    "constants",
    "copied",
    "first_units",
    "is_present",
    "keeps_zero",
    "lifts_zero",
    "masked_fill",
    "meet_terms",
    "nothing",
    "power",
    "prelu",
    "selected",
    "shifted",
    "sums",
]

KEEPS_ZERO = """relu relu6 gelu silu mish tanh hardswish leaky_relu rrelu elu selu celu abs absolute neg negative sign
sgn sqrt square sin tan asin arcsin atan arctan sinh asinh erf erfinv expm1 log1p hardshrink softshrink tanhshrink
softsign floor ceil round trunc frac nan_to_num dropout feature_dropout alpha_dropout feature_alpha_dropout real
deg2rad rad2deg"""

LIFTS_ZERO = """sigmoid hardsigmoid exp exp2 cos cosh acos softplus log_sigmoid log log2 log10 rsqrt reciprocal erfc
logit digamma lgamma gt lt ge le eq ne logical_not isnan isinf isfinite bitwise_not special_expit"""

SUMS = """add sub rsub subtract maximum minimum lerp atan2 fmod remainder logaddexp hypot logical_and logical_or
logical_xor bitwise_and bitwise_or"""

SHAPES_ONLY = frozenset(
    {"fill", "zero", "zeros_like", "ones_like", "full_like", "empty_like", "rand_like", "randn_like"}
    | {"new_zeros", "new_ones", "new_full", "new_empty"}
)
"""Operators that take nothing from their operand but its shape."""


def shifted(op: Operation, ids: torch.Tensor) -> Value:
    """Return the output whose units are `ids`, with zeros turned into constants."""
    return op.units(act(op.graph, ids, [(Constant(()), "shift")], op.name))


def meet_terms(op: Operation, terms: list[object]) -> Value:
    """Return the sum of units, parameters, constants and numbers."""
    rank = len(op.shape)
    terms = [as_units(op, t) if isinstance(t, Tokens) else t for t in terms]
    ids = meet(op.graph, [t.at_rank(rank).ids for t in terms if isinstance(t, Units)], op.name)
    constants = [(t.at_rank(rank), "shift") for t in terms if is_present(t)]
    if any(isinstance(t, (int, float)) and t for t in terms):
        constants.append((Constant(()), "shift"))
    return op.units(act(op.graph, ids, constants, op.name) if constants else ids)


def is_present(term: object) -> TypeGuard[Weight | Constant]:
    """Return whether a term is a parameter, or a constant that can be other than zero."""
    return isinstance(term, Weight) or (isinstance(term, Constant) and not term.is_zero)


def as_units(op: Operation, tokens: Tokens) -> Units:
    """Return an integer input whose values are used directly as a layer of one unit."""
    unit = op.graph.input_layer(f"{tokens.name}.values", 1)
    return Units(unit.reshape([1] * len(tokens.shape)), tokens.shape)


def first_units(op: Operation) -> Units:
    """Return the first argument, an integer input as one unit."""
    return as_units(op, op.args[0]) if isinstance(op.args[0], Tokens) else op.first


@register_rule(*(f"aten.{name}" for name in KEEPS_ZERO.split()))
def keeps_zero(op: Operation) -> Value:
    """f(0) = 0: the unit goes on."""
    value = op.args[0]
    return value if isinstance(value, Tokens) else op.units(op.first.ids)


@register_rule("aten.prelu")
def prelu(op: Operation) -> Value:
    """The slope of the negative side acts as a gate that never closes."""
    slope = op.value("weight")
    for source in slope.sources if slope else ():
        op.graph.note_role(source, "gate")
    return op.units(op.first.ids)


@register_rule(*(f"aten.{name}" for name in LIFTS_ZERO.split()))
def lifts_zero(op: Operation) -> Value:
    """f(0) != 0: a zero becomes a constant."""
    rank = len(op.shape)
    operands = [as_units(op, t) if isinstance(t, Tokens) else t for t in op.tensors()]
    ids = meet(op.graph, [t.at_rank(rank).ids for t in operands if isinstance(t, Units)], op.name)
    return shifted(op, ids)


@register_rule("aten.clamp", "aten.clip", "aten.hardtanh", "aten.clamp_min", "aten.clamp_max", "aten.threshold")
def clamp(op: Operation) -> Value:
    """Zero stays zero if it lies within the bounds."""
    lows = (op.argument(name) for name in ("min", "min_val", "threshold"))
    highs = (op.argument(name) for name in ("max", "max_val"))
    keeps = all(not isinstance(low, (int, float)) or low <= 0 for low in lows)
    keeps &= all(not isinstance(high, (int, float)) or high >= 0 for high in highs)
    if len(op.tensors()) > 1:
        return lifts_zero(op)
    ids = first_units(op).ids
    return op.units(ids) if keeps else shifted(op, ids)


@register_rule("aten.pow")
def power(op: Operation) -> Value:
    """A positive exponent keeps zero."""
    base, exponent = op.args[:2]
    if isinstance(base, Units) and isinstance(exponent, (int, float)) and exponent > 0:
        return op.units(base.ids)
    return lifts_zero(op)


@register_rule(*(f"aten.{name}" for name in SUMS.split()))
def sums(op: Operation) -> Value:
    """Live if any term is live, constant if any is a constant."""
    return meet_terms(op, [*op.args, *(v for k, v in op.kwargs.items() if k != "alpha")])


@register_rule("aten.where")
def selected(op: Operation) -> Value:
    """One side here, the other there: a fixed condition adds nothing of its own."""
    return meet_terms(op, [*op.args[1:3], *([op.args[0]] if isinstance(op.args[0], (Units, Tokens)) else [])])


@register_rule("aten.copy")
def copied(op: Operation) -> Value:
    """The source replaces what was there."""
    source = op.args[1]
    if isinstance(source, Units):
        return op.units(source.at_rank(len(op.shape)).ids)
    return Constant(op.shape, sources=source.sources if isinstance(source, Value) else ())


@register_rule(*(f"aten.{name}" for name in sorted(SHAPES_ONLY)))
def constants(op: Operation) -> Value:
    """Only the shape of the operand counts; zeros are known to be zeros."""
    name = op.packet.rsplit(".", 1)[1]
    if "zero" not in name and "one" not in name:
        return Constant(op.shape)
    kind = op.argument("dtype") or (torch.long if isinstance(op.args[0], Tokens) else torch.float32)
    make = torch.zeros if "zero" in name else torch.ones
    return Constant(op.shape, lambda: make(op.shape, dtype=cast(torch.dtype, kind)), literal=True)


@register_rule("aten.masked_fill")
def masked_fill(op: Operation) -> Value:
    """Where the mask says so, a constant stands; a fixed mask adds nothing of its own."""
    source, mask, value = op.args
    return meet_terms(op, [source, value, *([mask] if isinstance(mask, (Units, Tokens)) else [])])


@register_rule("aten._assert_tensor_metadata", "aten._assert_async", "aten.sym_size", "aten.item")
def nothing(op: Operation) -> tuple[Value, ...]:
    """No tensor comes out."""
    return ()
