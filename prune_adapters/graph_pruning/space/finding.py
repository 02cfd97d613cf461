"""From a model to the widths that it can take."""

from dataclasses import replace

import torch
from torch import nn

from prune_adapters.graph_pruning.space.space import WidthSpace
from prune_adapters.graph_pruning.space.widths import Counts, find_widths
from prune_adapters.groups import all_groups
from prune_adapters.masks import bare_module
from prune_adapters.trace.example import ExampleInputs, split_inputs
from prune_adapters.trace.tracer import capture, in_eval_mode

__all__ = ["width_space"]


def width_space(model: nn.Module, example_inputs: ExampleInputs, *, divisor: int = 1) -> WidthSpace:
    """Return the widths that a model can take: numbers of channels, heads and hidden units, coupled as they must be.

    Parameters
    ----------
    model : Module
        Any that `to_graph` can follow; not changed. Wrappers are seen through.
    example_inputs : Tensor, tuple or dict
        As for `to_graph`. Multiply-adds are those of this batch.
    divisor : int
        Counts are multiples of it, or the whole width, as some hardware likes them.

    Returns
    -------
    WidthSpace

    Raises
    ------
    ValueError
        No channel of the model can be removed, or `divisor` is below 1.
    TraceError
        The model cannot be followed.

    Examples
    --------
    >>> model = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 2))
    >>> width_space(model, torch.ones(1, 3), divisor=4).counts([0.3])
    (4,)
    """
    if divisor < 1:
        raise ValueError(f"divisor: expected at least 1, got {divisor}")
    bare = bare_module(model)
    tape = capture(bare, example_inputs)
    order: dict[str, int] = {}
    for place, call in enumerate(tape.calls):
        order.setdefault(call.module, place)
    widths = find_widths(all_groups(tape, bare), order)
    space = _that_runs(WidthSpace(bare, example_inputs, widths, divisor))
    if not space.widths:
        raise ValueError(f"width_space: no two channels of this {type(bare).__name__} can be removed one by one")
    return space


def _that_runs(space: WidthSpace) -> WidthSpace:
    """Return the space without the widths whose size the forward has written down."""
    if not _obstacle(space, tuple(max(1, count // 2) for count in space.full)):
        return space
    fixed = {}
    for place, width in enumerate(space.widths):
        counts = list(space.full)
        counts[place] = max(1, width.size // 2)
        if reason := _obstacle(space, tuple(counts)):
            fixed[width.name] = reason
    free = tuple(width for width in space.widths if width.name not in fixed)
    return replace(space, widths=free, fixed=fixed)


def _obstacle(space: WidthSpace, counts: Counts) -> str:
    """Return why a narrowed model does not run, "" if it does."""
    args, kwargs = split_inputs(space.example_inputs)
    narrow = space.narrowed(counts)
    try:
        with torch.no_grad(), in_eval_mode(narrow):
            narrow(*args, **kwargs)
    except (RuntimeError, ValueError, IndexError, AssertionError) as error:
        return f"the narrowed model does not run ({str(error).partition(chr(10))[0]})"
    return ""
