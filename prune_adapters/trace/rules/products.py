"""Products: scales, gates and quotients.

A product is zero if any factor is; a parameter as a factor is a per-unit gate, a constant changes nothing.
"""

from prune_adapters.trace.acting import act
from prune_adapters.trace.meeting import meet
from prune_adapters.trace.registry import Operation, register_rule
from prune_adapters.trace.rules.elementwise import as_units, meet_terms, shifted
from prune_adapters.trace.values import Constant, Tokens, Units, Value, Weight

__all__ = ["add_product", "gated", "meet_factors", "product", "quotient"]


def meet_factors(op: Operation, factors: list[object]) -> Value:
    """Return the product of units, parameters, constants and numbers."""
    if any((isinstance(f, (int, float)) and f == 0) or (isinstance(f, Constant) and f.is_zero) for f in factors):
        return Constant.zeros(op.shape)
    rank = len(op.shape)
    factors = [as_units(op, f) if isinstance(f, Tokens) else f for f in factors]
    ids = meet(op.graph, [f.at_rank(rank).ids for f in factors if isinstance(f, Units)], op.name, product=True)
    gates = [(f.at_rank(rank), "gate") for f in factors if isinstance(f, (Weight, Constant))]
    return op.units(act(op.graph, ids, gates, op.name) if gates else ids)


@register_rule("aten.mul", "aten.multiply")
def product(op: Operation) -> Value:
    """Zero if any factor is zero, live if any is live."""
    return meet_factors(op, list(op.args[:2]))


@register_rule("aten.div", "aten.divide", "aten.true_divide", "aten.floor_divide")
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


@register_rule("aten.glu")
def gated(op: Operation) -> Value:
    """One half times the sigmoid of the other."""
    whole, dim = op.first, op.dim()
    sizes = [whole.shape[d] if d == dim else size for d, size in enumerate(whole.ids.shape)]
    half, gate = whole.ids.expand(sizes).chunk(2, dim)
    opened = act(op.graph, gate, [(Constant(()), "shift")], op.name + ".gate")
    return op.units(meet(op.graph, [half, opened], op.name, product=True))
