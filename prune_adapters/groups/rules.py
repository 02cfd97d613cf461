"""How slots pass through operators without weights.

An operator that has no rule here needs its channels as they are: what goes in stays, and so does what comes out.
"""

from collections.abc import Callable
from functools import partial

import numpy as np
import torch

from prune_adapters.groups.slots import Slots, Whole
from prune_adapters.groups.step import Movement, Step, along_one_dim
from prune_adapters.trace.registry import find_rule
from prune_adapters.trace.rules.elementwise import KEEPS_ZERO, LIFTS_ZERO, SUMS
from prune_adapters.trace.rules.reduce import POOLS, RESAMPLERS
from prune_adapters.trace.rules.views import COPIES, VIEWS

__all__ = [
    "ADAPT",
    "FIXED",
    "RULES",
    "Results",
    "along",
    "elementwise",
    "gated",
    "joined",
    "moved",
    "padded",
    "pooled",
    "reduced",
    "rule",
]

Results = tuple[Slots | Whole, ...]

RULES: dict[str, Callable[[Step], Results]] = {}
"""By operator without overload and namespace."""

ADAPT = """view reshape _unsafe_view view_as reshape_as flatten expand expand_as broadcast_to permute transpose t
numpy_T mT movedim moveaxis swapaxes swapdims squeeze unsqueeze"""
"""Movements that follow a smaller tensor by themselves. A size that is written into one shows when the model runs."""

KEEP_UNIFORM = frozenset(["mean", "amax", "amin"])
"""Reductions over positions that turn equal values into the same value, at any image size."""

FIXED = "meets a tensor of fixed size"


def rule(names: str) -> Callable[[Callable[[Step], Results]], Callable[[Step], Results]]:
    """Return a decorator that registers a rule for the operators in `names`."""

    def register(function: Callable[[Step], Results]) -> Callable[[Step], Results]:
        RULES.update(dict.fromkeys(names.split(), function))
        return function

    return register


@rule(f"{KEEPS_ZERO} {LIFTS_ZERO} {SUMS} mul multiply div divide true_divide addcmul addcdiv clamp clip hardtanh")
@rule("clamp_min clamp_max threshold pow masked_fill where lerp fmod remainder copysign xlogy")
def elementwise(step: Step) -> Results:
    """Whatever meets at one index is coupled."""
    operands, rank = step.operands(), len(step.shape)
    slots = [value for value in operands if isinstance(value, Slots)]
    dims = {value.dim + rank - len(value.shape) for value in slots}
    if len(dims) > 1:
        return step.refused("joins different dimensions")
    dim, first = dims.pop(), slots[0]
    uniform = first.uniform.copy()
    for value in operands:
        if isinstance(value, Slots):
            step.recorder.coupling.join(first.numbers, value.numbers, f"{step.label} meets them at one index")
            uniform &= value.uniform
        else:
            sizes = [1] * (rank - len(value.shape)) + list(value.shape)
            numbers = step.met(value, dim - rank + len(value.shape)) if sizes[dim] > 1 else None
            if numbers is not None:
                step.recorder.coupling.join(first.numbers, numbers, f"{step.label} meets them at one index")
            elif sizes[dim] > 1:
                step.pin(FIXED)
            uniform &= value.constant and all(size == 1 for d, size in enumerate(sizes) if d != dim)
    return step.results(first.numbers, dim, uniform)


@rule(f"{ADAPT} {VIEWS} {COPIES} index_select roll")
def moved(step: Step) -> Results:
    """Each index goes where the operator takes it."""
    value, entry = step.args[0], find_rule(step.target)
    if not isinstance(value, Slots) or entry is None or entry.move is None or len(step.operands()) > _shapes_only(step):
        return step.refused("picks by a tensor")
    name, move = step.packet.partition(".")[2], partial(entry.move, step)
    if name == "squeeze" and len(step.args) == 1:
        return step.refused("without a dimension may drop the channels")
    outputs = _listed(move(_positions(value)))
    places = tuple(place for place in map(along_one_dim, outputs) if place is not None)
    if len(places) < len(outputs):
        return step.refused("spreads the channels over several dimensions, or singles one out")
    if name not in f"{ADAPT} {COPIES}".split():
        step.recorder.movements.append(Movement(lambda ids: _listed(move(ids)), value, places, step.label))
    return tuple(
        Slots(value.numbers[along], dim, shape, value.uniform[along])
        for (dim, along), shape in zip(places, step.shapes, strict=True)
    )


def _shapes_only(step: Step) -> int:
    return 2 if step.packet.endswith("_as") else 1


def _positions(value: Slots) -> torch.Tensor:
    sizes = [-1 if d == value.dim else 1 for d in range(len(value.shape))]
    return torch.arange(len(value.numbers)).reshape(sizes).expand(value.shape)


def _listed(moved_ids: object) -> list[torch.Tensor]:
    return [moved_ids] if isinstance(moved_ids, torch.Tensor) else list(moved_ids)  # type: ignore[call-overload]


@rule("cat concat concatenate")
def joined(step: Step) -> Results:
    """Along the channels slots are lined up, along positions they are coupled index by index."""
    parts = step.operands()
    slots = [part for part in parts if isinstance(part, Slots)]
    dim = step.dim()
    if any(part.dim != slots[0].dim or len(part.shape) != len(step.shape) for part in slots):
        return step.refused("joins different dimensions")
    if dim != slots[0].dim:
        return _along_positions(step, parts, slots[0])
    numbers = [_slots_of(step, part, dim) for part in parts]
    uniform = [part.uniform if isinstance(part, Slots) else np.zeros(part.shape[dim], dtype=bool) for part in parts]
    return step.results(np.concatenate(numbers), dim, np.concatenate(uniform))


def _along_positions(step: Step, parts: list[Slots | Whole], first: Slots) -> Results:
    for part in parts:
        numbers = part.numbers if isinstance(part, Slots) else step.met(part, first.dim)
        if numbers is None:
            return step.refused(FIXED)
        step.recorder.coupling.join(first.numbers, numbers, f"{step.label} lines up positions")
    return step.uniform_if(first, False)


def _slots_of(step: Step, part: Slots | Whole, dim: int) -> np.ndarray:
    if isinstance(part, Slots):
        return part.numbers
    fresh = step.recorder.coupling.new(part.shape[dim])
    step.recorder.coupling.pin(fresh, f"{step.label} {FIXED}")
    return fresh


@rule("pad constant_pad_nd")
def padded(step: Step) -> Results:
    """New channels stay where they are; padded positions make a constant channel differ between them."""
    value, widths = step.args[0], step.numbers("pad")
    if not isinstance(value, Slots):
        return step.refused(FIXED)
    per_dim = dict(zip(range(len(value.shape) - 1, -1, -1), zip(widths[::2], widths[1::2], strict=True), strict=False))
    before, after = per_dim.pop(value.dim, (0, 0))
    if step.argument("mode") not in (None, "constant"):
        return step.refused("copies channels") if before or after else step.uniform_if(value, True)
    if min(before, after) < 0:
        return step.refused("cuts channels off")
    coupling = step.recorder.coupling
    ends = [coupling.new(before), coupling.new(after)]
    for end in ends:
        coupling.pin(end, f"{step.label} adds this channel")
    uniform = value.uniform & (not any(map(any, per_dim.values())))
    flags = np.concatenate([np.ones(before, dtype=bool), uniform, np.ones(after, dtype=bool)])
    return step.results(np.concatenate([ends[0], value.numbers, ends[1]]), value.dim, flags)


@rule(f"{POOLS} {RESAMPLERS}")
def pooled(step: Step) -> Results:
    """Positions are pooled; the average over a padded border depends on the place."""
    value = step.args[0]
    n_positions = next((int(c) for c in step.packet if c.isdigit()), len(step.shape) - 2)
    if not isinstance(value, Slots) or value.dim >= len(step.shape) - n_positions:
        return step.refused("pools the channels")
    name = step.packet.partition(".")[2]
    averages = name.startswith(("avg_pool", "lp_pool"))
    even = not any(step.numbers("padding")) and step.argument("divisor_override") is None and name[:2] != "lp"
    return step.uniform_if(value, not averages or even)


@rule("mean sum amax amin var std norm linalg_vector_norm nansum logsumexp prod nanmean")
def reduced(step: Step) -> Results:
    """Positions are reduced; a reduction of the channels needs them all."""
    value, rank = step.args[0], len(step.shape)
    if not isinstance(value, Slots) or not step.numbers("dim"):
        return step.refused("reduces the channels")
    dims = {d % len(value.shape) for d in step.numbers("dim")}
    if value.dim in dims:
        return step.refused("reduces the channels")
    dim = value.dim if rank == len(value.shape) else value.dim - sum(d < value.dim for d in dims)
    kept = step.packet.partition(".")[2] in KEEP_UNIFORM
    return step.results(value.numbers, dim, value.uniform & kept)


@rule("softmax _softmax _safe_softmax log_softmax _log_softmax cumsum cumprod")
def along(step: Step) -> Results:
    """Along positions every channel goes its own way; along the channels all are needed."""
    value = step.args[0]
    if not isinstance(value, Slots) or value.dim == step.dim():
        return step.refused("needs all the channels")
    return step.uniform_if(value, False)


@rule("glu")
def gated(step: Step) -> Results:
    """Index i of the first half meets index i of the second."""
    value = step.args[0]
    if not isinstance(value, Slots):
        return step.refused(FIXED)
    if value.dim != step.dim():
        return step.uniform_if(value, True)
    half = len(value.numbers) // 2
    step.recorder.coupling.join(value.numbers[:half], value.numbers[half:], f"{step.label} meets them at one index")
    return step.results(value.numbers[:half], value.dim, value.uniform[:half] & value.uniform[half:])
