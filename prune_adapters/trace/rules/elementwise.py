"""Elementwise operators: functions of one tensor, sums, and what constants and parameters do to units.

A function with f(0) = 0 follows the unit. One with f(0) != 0 turns a zero into a constant, as a shift does. Sums,
differences, maxima and selections are live if any term is.
"""

from typing import TypeGuard, cast

import torch

from prune_adapters.trace.acting import act, ids_of
from prune_adapters.trace.meeting import meet
from prune_adapters.trace.registry import Operation, register_rule
from prune_adapters.trace.values import PRESENT, ZERO, Constant, Tokens, Units, Value, Weight

__all__ = [
    "as_units",
    "chosen",
    "clamp",
    "constants",
    "copied",
    "filled",
    "keeps_zero",
    "lifts_zero",
    "masked_fill",
    "meet_terms",
    "nothing",
    "power",
    "prelu",
    "shifted",
    "sums",
    "zeros",
]

KEEPS_ZERO = """isnan isinf isposinf isneginf relu relu6 gelu silu mish tanh hardswish leaky_relu rrelu elu selu celu
abs absolute neg negative sign sgn sqrt square sin tan asin arcsin atan arctan sinh asinh erf erfinv expm1 log1p
hardshrink softshrink floor ceil round trunc frac nan_to_num dropout native_dropout feature_dropout alpha_dropout
feature_alpha_dropout rrelu_with_noise deg2rad rad2deg fix signbit special_entr special_i1 special_i1e special_expm1
special_log1p special_erf special_round bernoulli angle conj _conj conj_physical _conj_physical resolve_conj
resolve_neg fake_quantize_per_tensor_affine"""

LIFTS_ZERO = """sigmoid hardsigmoid exp exp2 cos cosh acos softplus log_sigmoid log log2 log10 rsqrt reciprocal erfc
logit digamma lgamma gt lt ge le eq ne logical_not isfinite bitwise_not special_expit log_sigmoid_forward isclose sinc
special_sinc i0 special_i0 special_i0e special_erfc special_erfcx special_ndtr special_log_ndtr special_logit mvlgamma
polygamma logaddexp logaddexp2 bucketize isreal greater less greater_equal less_equal not_equal"""

SUMS = """add sub rsub subtract maximum minimum fmax fmin atan2 arctan2 hypot nextafter logical_and logical_or
logical_xor bitwise_and bitwise_or bitwise_xor __and__ __or__ __xor__ complex"""

ZEROS = "zero zeros_like new_zeros"
SHAPES_ONLY = """ones_like full_like empty_like rand_like randn_like randint_like new_ones new_full new_empty
new_empty_strided"""


def shifted(op: Operation, ids: torch.Tensor) -> Value:
    """Return the output whose units are `ids`, with zeros turned into constants."""
    return op.units(act(op.graph, ids, [(Constant(()), "shift")], op.name))


def meet_terms(op: Operation, terms: list[object]) -> Value:
    """Return the sum of units, parameters, constants and numbers."""
    rank = len(op.shape)
    if not any(isinstance(t, (Units, Tokens)) for t in terms):
        fixed = [t for t in terms if isinstance(t, (Weight, Constant))]
        return Constant(op.shape, sources=tuple(s for t in fixed for s in t.sources))
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
    """Return an integer input whose values are used directly as a layer of one unit, the same one for every use."""
    name = f"{tokens.name}.values"
    known = [layer.start for layer in op.graph.layers if layer.name == name]
    unit = torch.tensor(known) if known else op.graph.input_layer(name, 1)
    return Units(unit.reshape([1] * len(tokens.shape)), tokens.shape)


def first_units(op: Operation) -> Units:
    """Return the first argument, an integer input as one unit."""
    return as_units(op, op.args[0]) if isinstance(op.args[0], Tokens) else op.first


@register_rule(*(f"aten.{name}" for name in KEEPS_ZERO.split()))
def keeps_zero(op: Operation) -> Value | tuple[Value, ...]:
    """f(0) = 0: the unit goes on."""
    value = op.args[0]
    if isinstance(value, Tokens):
        return value
    result = op.units(op.first.ids)
    return (result, *(Constant(shape) for shape in op.shapes[1:])) if len(op.shapes) > 1 else result


@register_rule("aten.prelu", "aten._prelu_kernel")
def prelu(op: Operation) -> Value:
    """The slope of the negative side acts as a gate that never closes."""
    slope = op.args[1]
    if not isinstance(slope, (Weight, Constant)):
        raise op.error("its slope depends on the input", "write it as relu(x) - slope * relu(-x)")
    for source in slope.sources:
        op.graph.note_role(source, "gate")
    return op.units(op.first.ids)


@register_rule(*(f"aten.{name}" for name in LIFTS_ZERO.split()))
def lifts_zero(op: Operation) -> Value | tuple[Value, ...]:
    """f(0) != 0: a zero becomes a constant."""
    rank = len(op.shape)
    operands = [as_units(op, t) if isinstance(t, Tokens) else t for t in op.tensors()]
    ids = meet(op.graph, [t.at_rank(rank).ids for t in operands if isinstance(t, Units)], op.name)
    result = shifted(op, ids)
    return (result, *(Constant(shape) for shape in op.shapes[1:])) if len(op.shapes) > 1 else result


@register_rule("aten.clamp", "aten.clip", "aten.hardtanh", "aten.clamp_min", "aten.clamp_max", "aten.threshold")
def clamp(op: Operation) -> Value | tuple[Value, ...]:
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
def power(op: Operation) -> Value | tuple[Value, ...]:
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
def chosen(op: Operation) -> Value:
    """One of two terms; a condition that is fixed chooses for good."""
    condition, *terms = op.args
    if not terms:
        raise op.error("its result has as many rows as its input has nonzero elements", "multiply by the mask instead")
    if isinstance(condition, Constant):
        return _chosen_for_good(op, condition, terms)
    return meet_terms(op, [condition, meet_terms(op, [t for t in terms if not _is_zero(t)])])


def _chosen_for_good(op: Operation, condition: Constant, terms: list[object]) -> Value:
    """Return the terms that a fixed condition chooses; both of them where it differs between positions."""
    rank, known = len(op.shape), condition.known()
    ids = [_ids_at(op, term, rank) for term in terms]
    if known is not None and not known.is_meta:
        chosen = known.cpu().bool().reshape([1] * (rank - known.dim()) + list(known.shape))
        flags = [_anywhere(chosen, ids), _anywhere(~chosen, ids)]
        ids = [torch.where(flag, part, ZERO) for flag, part in zip(flags, ids, strict=True)]
    return op.units(meet(op.graph, ids, op.name))


def _anywhere(chosen: torch.Tensor, ids: list[torch.Tensor]) -> torch.Tensor:
    """Return where anything is chosen at one of the positions that units are shared over."""
    for dim in range(chosen.dim()):
        if all(part.shape[dim] == 1 for part in ids):
            chosen = chosen.any(dim, keepdim=True)
    return chosen


def _ids_at(op: Operation, term: object, rank: int) -> torch.Tensor:
    """Return the ids of units, a parameter, a constant or a number at the rank of the output."""
    if isinstance(term, Tokens):
        term = as_units(op, term)
    if not isinstance(term, (Units, Weight, Constant)):
        return torch.full([1] * rank, PRESENT if term else ZERO)
    ids = ids_of(op.graph, term, op.name + ".held")
    return ids.reshape([1] * (rank - ids.dim()) + list(ids.shape))


@register_rule("aten.copy")
def copied(op: Operation) -> Value:
    """The source replaces what was there."""
    source = op.args[1]
    if isinstance(source, Units):
        return op.units(source.at_rank(len(op.shape)).ids)
    return Constant(op.shape, sources=source.sources if isinstance(source, Value) else ())


@register_rule("aten.fill")
def filled(op: Operation) -> Value:
    """One value everywhere."""
    value = op.args[1]
    if isinstance(value, (Units, Weight)):
        return op.units(_ids_at(op, value, len(op.shape)))
    return Constant(op.shape, (lambda: torch.zeros(op.shape)) if _is_zero(value) else None)


@register_rule(*(f"aten.{name}" for name in ZEROS.split()))
def zeros(op: Operation) -> Value:
    """Zeros, and known to be so; those of the type of an integer input may be an index."""
    kind = op.argument("dtype") or (torch.long if isinstance(op.args[0], Tokens) else torch.float32)
    return Constant(op.shape, lambda: torch.zeros(op.shape, dtype=cast(torch.dtype, kind)))


@register_rule(*(f"aten.{name}" for name in SHAPES_ONLY.split()))
def constants(op: Operation) -> Value:
    """Only the shape of the operand counts."""
    return Constant(op.shape)


@register_rule("aten.masked_fill")
def masked_fill(op: Operation) -> Value:
    """Where the mask says so, a constant stands."""
    units, mask, value = op.args
    if isinstance(mask, Constant):
        return _chosen_for_good(op, mask, [value, units])
    return meet_terms(op, [t for t in op.args if not _is_zero(t)])


def _is_zero(value: object) -> bool:
    if isinstance(value, Constant):
        return value.is_zero
    return isinstance(value, (int, float)) and value == 0


@register_rule("aten._assert_tensor_metadata", "aten._assert_async", "aten.sym_size", "aten.item")
def nothing(op: Operation) -> tuple[Value, ...]:
    """No tensor comes out."""
    return ()
