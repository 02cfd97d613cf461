"""Products: scales, gates and quotients.

A product is zero if any factor is; a parameter as a factor is a per-unit gate, a constant changes nothing.
"""

import torch

from prune_adapters.trace.acting import act
from prune_adapters.trace.ids import compress
from prune_adapters.trace.meeting import meet
from prune_adapters.trace.registry import Operation, register_rule
from prune_adapters.trace.rules.elementwise import as_units, meet_terms, shifted
from prune_adapters.trace.values import ZERO, Constant, Tokens, Units, Value, Weight

__all__ = ["add_product", "between", "gated", "meet_factors", "modified", "product", "quotient"]


def meet_factors(op: Operation, factors: list[object]) -> Value:
    """Return the product of units, parameters, constants and numbers."""
    if any(isinstance(f, (int, float)) and f == 0 for f in factors):
        return Constant(op.shape, lambda: torch.zeros(op.shape))
    rank = len(op.shape)
    factors = [as_units(op, f) if isinstance(f, Tokens) else f for f in factors]
    ids = meet(op.graph, [f.at_rank(rank).ids for f in factors if isinstance(f, Units)], op.name, product=True)
    for constant in (f for f in factors if isinstance(f, Constant)):
        ids = _closed(ids, constant)
    gates = [(f.at_rank(rank), "gate") for f in factors if isinstance(f, (Weight, Constant))]
    return op.units(act(op.graph, ids, gates, op.name) if gates else ids)


def _closed(ids: torch.Tensor, constant: Constant) -> torch.Tensor:
    """Return the ids without the units that a factor is known to multiply by 0 everywhere."""
    known = constant.known()
    if known is None or known.is_meta or bool(known.all()):
        return ids
    rank = ids.dim()
    opened = (known.cpu() != 0).reshape([1] * (rank - known.dim()) + list(known.shape))
    for dim in range(rank):
        if ids.shape[dim] == 1:
            opened = opened.any(dim, keepdim=True)
    return compress(torch.where(opened, ids, ZERO))


@register_rule("aten.mul", "aten.multiply")
def product(op: Operation) -> Value:
    """Zero if any factor is zero, live if any is live."""
    return meet_factors(op, list(op.args[:2]))


@register_rule("aten.div", "aten.divide", "aten.true_divide", "aten.floor_divide", "aten.fmod", "aten.remainder")
def quotient(op: Operation) -> Value:
    """As a product; the reciprocal of units alone is never zero."""
    above, below = op.args[:2]
    if not isinstance(above, Units) and isinstance(below, Units):
        return shifted(op, below.at_rank(len(op.shape)).ids)
    return meet_factors(op, [above, below])


@register_rule("aten.addcmul", "aten.addcdiv")
def add_product(op: Operation) -> Value:
    """A term plus a product."""
    term, first, second = op.args[:3]
    if isinstance(first, Units) or isinstance(second, Units):
        return meet_terms(op, [term, meet_factors(op, [first, second])])
    return meet_terms(op, [term, first, second])


@register_rule("aten.copysign", "aten.ldexp", "aten.xlogy", "aten.special_xlogy", "aten.special_xlog1py")
def modified(op: Operation) -> Value:
    """The first factor is zero or not; a function of the second that is never zero changes it."""
    first, second = op.args[:2]
    if isinstance(second, (Units, Tokens)):
        units = as_units(op, second) if isinstance(second, Tokens) else second
        second = Units(act(op.graph, units.ids, [(Constant(()), "shift")], op.name + ".second"), units.shape)
    if isinstance(first, (Units, Tokens, Weight)) or isinstance(second, Units):
        return meet_factors(op, [first, second])
    raise op.error("none of its operands has units", "pass unknown='mix'")


@register_rule("aten.lerp")
def between(op: Operation) -> Value:
    """start + weight * (end - start)."""
    start, end, weight = op.args[:3]
    if not isinstance(weight, (Units, Tokens)):
        return meet_terms(op, [start, end])
    return meet_terms(op, [start, meet_factors(op, [weight, meet_terms(op, [start, end])])])


@register_rule("aten.glu")
def gated(op: Operation) -> Value:
    """One half times the sigmoid of the other."""
    whole, dim = op.first, op.dim()
    sizes = [whole.shape[d] if d == dim else size for d, size in enumerate(whole.ids.shape)]
    half, gate = whole.ids.expand(sizes).chunk(2, dim)
    opened = act(op.graph, gate, [(Constant(()), "shift")], op.name + ".gate")
    return op.units(meet(op.graph, [half, opened], op.name, product=True))
