"""Pooling, resampling, reductions and softmax.

Over positions the unit goes on. Over units they meet: in a sum for means and maxima, in a mix for softmax, whose zero
is a constant.
"""

from prune_adapters.trace.acting import act
from prune_adapters.trace.meeting import mix, reduce
from prune_adapters.trace.registry import Operation, register_rule
from prune_adapters.trace.rules.elementwise import first_units, meet_terms
from prune_adapters.trace.values import Constant, Tokens, Units, Value

__all__ = ["ordered", "pool", "reduction", "resample", "running", "softmax"]

POOLS = """max_pool1d max_pool2d max_pool3d avg_pool1d avg_pool2d avg_pool3d adaptive_avg_pool1d adaptive_avg_pool2d
adaptive_avg_pool3d adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d _adaptive_avg_pool2d
_adaptive_avg_pool3d max_pool2d_with_indices max_pool3d_with_indices max_pool1d_with_indices mkldnn_max_pool2d
lp_pool2d fractional_max_pool2d"""

RESAMPLERS = """upsample_nearest1d upsample_nearest2d upsample_nearest3d upsample_linear1d upsample_bilinear2d
upsample_trilinear3d upsample_bicubic2d _upsample_nearest_exact2d _upsample_bilinear2d_aa"""

REDUCTIONS = """mean sum amax amin var std norm linalg_vector_norm nansum max min median logsumexp count_nonzero any all
prod var_mean std_mean aminmax nanmean argmax argmin"""


def _positions(op: Operation) -> range:
    """Return the pooled dimensions: all after batch and channels."""
    rank = len(op.shape)
    n_positions = next((int(c) for c in op.packet if c.isdigit()), rank - 2)
    return range(rank - n_positions, rank)


@register_rule(*(f"aten.{name}" for name in POOLS.split()))
def pool(op: Operation) -> Value | tuple[Value, ...]:
    """Over positions: the channel goes on."""
    result = op.units(reduce(op.graph, op.first.ids, _positions(op), op.name))
    return (result, *(Constant(shape) for shape in op.shapes[1:])) if len(op.shapes) > 1 else result


@register_rule(*(f"aten.{name}" for name in RESAMPLERS.split()), "aten.grid_sampler", "aten.grid_sampler_2d")
def resample(op: Operation) -> Value:
    """Over positions: the channel goes on."""
    return op.units(reduce(op.graph, op.first.ids, range(2, len(op.shape)), op.name))


@register_rule(*(f"aten.{name}" for name in REDUCTIONS.split()))
def reduction(op: Operation) -> Value | tuple[Value, ...]:
    """The units that differ along the reduced dimensions meet; two tensors meet element by element."""
    if len(op.args) > 1 and isinstance(op.args[1], (Units, Tokens)):
        return meet_terms(op, list(op.args[:2]))
    units = first_units(op)
    dims = op.numbers("dim") or list(range(units.ids.dim()))
    keepdim = bool(op.shape) and len(op.shape) == units.ids.dim()
    ids = reduce(op.graph, units.ids, dims, op.name, keepdim=keepdim)
    if op.packet.rsplit(".", 1)[1] in ("logsumexp", "prod", "all"):
        ids = act(op.graph, ids, [(Constant(()), "shift")], op.name)
    return tuple(op.units(ids, shape) for shape in op.shapes)


@register_rule("aten.cumsum", "aten.cumprod", "aten.logcumsumexp", "aten.cummax", "aten.cummin")
def running(op: Operation) -> Value | tuple[Value, ...]:
    """Each element depends on those before it along the dimension."""
    ids = mix(op.graph, first_units(op).ids, [op.dim()], op.name)
    if op.packet in ("aten.cumprod", "aten.logcumsumexp"):
        ids = act(op.graph, ids, [(Constant(()), "shift")], op.name)
    return tuple(op.units(ids, shape) for shape in op.shapes)


@register_rule("aten.topk", "aten.sort", "aten.argsort", "aten.msort", "aten.kthvalue")
def ordered(op: Operation) -> Value | tuple[Value, ...]:
    """What comes first depends on all elements along the dimension."""
    dim = (op.numbers("dim") or [0])[0]
    units = first_units(op)
    ids = reduce(op.graph, units.ids, [dim], op.name, keepdim=len(op.shape) == units.ids.dim())
    return tuple(op.units(ids, shape) for shape in op.shapes)


@register_rule("aten.softmax", "aten._softmax", "aten._safe_softmax", "aten.log_softmax", "aten._log_softmax")
@register_rule("aten.softmin", "aten.special_softmax", "aten.special_log_softmax")
def softmax(op: Operation) -> Value:
    """Every output depends on every input along the dimension; softmax of zeros is a constant."""
    ids = mix(op.graph, op.first.ids, [op.dim()], op.name)
    return op.units(act(op.graph, ids, [(Constant(()), "shift")], op.name))
