"""Pooling, resampling, reductions and softmax.

Over positions the unit goes on. Over units they meet: in a sum for means and maxima, in a mix for softmax, whose zero
is a constant.
"""

import torch

from prune_adapters.trace.acting import act
from prune_adapters.trace.ids import compress
from prune_adapters.trace.meeting import meet, mix, reduce
from prune_adapters.trace.registry import Operation, register_rule
from prune_adapters.trace.rules.elementwise import first_units, meet_terms
from prune_adapters.trace.values import PRESENT, ZERO, Constant, Tokens, Units, Value

__all__ = ["area", "difference", "pool", "reduction", "resample", "running", "softmax"]

POOLS = """max_pool1d max_pool2d max_pool3d avg_pool1d avg_pool2d avg_pool3d adaptive_avg_pool1d adaptive_avg_pool2d
adaptive_avg_pool3d adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d _adaptive_avg_pool2d
_adaptive_avg_pool3d max_pool2d_with_indices max_pool3d_with_indices max_pool1d_with_indices mkldnn_max_pool2d
fractional_max_pool2d fractional_max_pool3d"""

RESAMPLERS = """upsample_nearest1d upsample_nearest2d upsample_nearest3d upsample_linear1d upsample_bilinear2d
upsample_trilinear3d upsample_bicubic2d _upsample_nearest_exact1d _upsample_nearest_exact2d _upsample_nearest_exact3d
_upsample_bilinear2d_aa _upsample_bicubic2d_aa"""

REDUCTIONS = """mean sum amax amin var std norm linalg_norm linalg_vector_norm frobenius_norm nansum max min median
logsumexp count_nonzero any all prod var_mean std_mean aminmax nanmean argmax argmin"""


def _positions(op: Operation) -> range:
    """Return the pooled dimensions: all after batch and channels."""
    rank = len(op.shape)
    n_positions = next((int(c) for c in op.packet if c.isdigit()), rank - 2)
    return range(rank - n_positions, rank)


@register_rule(*(f"aten.{name}" for name in POOLS.split()))
def pool(op: Operation) -> Value | tuple[Value, ...]:
    """Over positions: the channel goes on. Where units differ along a pooled dimension they meet window by window."""
    slides = op.packet.removeprefix("aten.").startswith(("avg_pool", "max_pool", "mkldnn_max_pool"))
    ids = _by_windows(op, op.first.ids) if slides else op.first.ids
    rest = [d for d in _positions(op) if ids.shape[d] not in (1, op.shape[d])]
    result = op.units(reduce(op.graph, ids, rest, op.name) if rest else ids)
    return (result, *(Constant(shape) for shape in op.shapes[1:])) if len(op.shapes) > 1 else result


def _by_windows(op: Operation, ids: torch.Tensor) -> torch.Tensor:
    """Return the ids with the units of each window of a pooling kernel met in one."""
    for place, dim in enumerate(_positions(op)):
        if ids.shape[dim] == 1:
            continue
        size, step, border, spread = (
            _nth(op, name, place) for name in ("kernel_size", "stride", "padding", "dilation")
        )
        span = spread * (size - 1) + 1
        after = (op.shape[dim] - 1) * step + span - border - ids.shape[dim]
        widths = [0] * (2 * (ids.dim() - 1 - dim)) + [border, max(after, 0)]
        windows = torch.constant_pad_nd(ids, widths, ZERO).unfold(dim, span, step)[..., ::spread]
        ids = reduce(op.graph, windows.narrow(dim, 0, op.shape[dim]), [-1], op.name, keepdim=False)
    return ids


def _nth(op: Operation, name: str, place: int) -> int:
    """Return a pooling parameter along one dimension; a missing stride is the kernel's size."""
    numbers = op.numbers(name)
    if not numbers:
        return _nth(op, "kernel_size", place) if name == "stride" else int(name == "dilation")
    return int(numbers[place % len(numbers)])


@register_rule(*(f"aten.{name}" for name in RESAMPLERS.split()))
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
@register_rule("aten.cumulative_trapezoid")
def running(op: Operation) -> Value | tuple[Value, ...]:
    """Each element depends on those before it along the dimension, and on itself."""
    ids, dim = first_units(op).ids, op.dim()
    if ids.shape[dim] > 1:
        size = ids.shape[dim]
        before = torch.ones(size, size, dtype=torch.bool).tril()[size - op.shape[dim] :]
        neutral = PRESENT if op.packet == "aten.cumprod" else ZERO
        rows = torch.where(before, ids.movedim(dim, -1).unsqueeze(-2), neutral)
        if op.packet == "aten.cumprod":
            ids = meet(op.graph, rows.unbind(-1), op.name, product=True).expand(rows.shape[:-1])
        else:
            ids = reduce(op.graph, rows, [-1], op.name, keepdim=False)
        ids = ids.movedim(-1, dim)
    if op.packet == "aten.logcumsumexp":
        ids = act(op.graph, ids, [(Constant(()), "shift")], op.name)
    return tuple(op.units(ids, shape) for shape in op.shapes)


@register_rule("aten.diff")
def difference(op: Operation) -> Value:
    """Each element meets the next one along the dimension, as often as asked."""
    ids, dim = op.first.ids, op.dim()
    for _ in range(op.number("n") if ids.shape[dim] > 1 else 0):
        size = ids.shape[dim] - 1
        met = meet(op.graph, [ids.narrow(dim, 1, size), ids.narrow(dim, 0, size)], op.name)
        ids = met.expand([size if d == dim else s for d, s in enumerate(met.shape)])
    return op.units(compress(ids))


@register_rule("aten.trapezoid", "aten.trapz")
def area(op: Operation) -> Value:
    """A weighted sum along the dimension."""
    dims = op.numbers("dim") or [-1]
    return op.units(reduce(op.graph, op.first.ids, dims, op.name, keepdim=False))


@register_rule("aten.softmax", "aten._softmax", "aten._safe_softmax", "aten.log_softmax", "aten._log_softmax")
@register_rule("aten.special_softmax", "aten.special_log_softmax")
def softmax(op: Operation) -> Value:
    """Every output depends on every input along the dimension; softmax of zeros is a constant."""
    ids = mix(op.graph, op.first.ids, [op.dim()], op.name)
    return op.units(act(op.graph, ids, [(Constant(()), "shift")], op.name))
