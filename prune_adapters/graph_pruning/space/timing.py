"""Measured latency."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn
from torch.utils._pytree import tree_map_only

from prune_adapters.masks import bare_module
from prune_adapters.trace.example import ExampleInputs, split_inputs
from prune_adapters.trace.tracer import in_eval_mode

__all__ = ["Timer", "measured_latency"]

Timer = Callable[[nn.Module, ExampleInputs], float]
"""Returns the seconds of a forward pass; what a `LatencyTable` is made with."""

LEAST = 1e-3
"""Seconds that a round goes on at least, so that a small layer is not timed by the clock's grain."""


def measured_latency(
    model: nn.Module, example_inputs: ExampleInputs, *, repeats: int = 15, threads: int | None = 1
) -> float:
    """Return the seconds of a forward pass in eval mode, without gradients: the median of some rounds.

    On one thread of a CPU the clock is that of the thread, which stands still while something else runs on the
    machine; otherwise it is the clock on the wall.

    Parameters
    ----------
    model : Module
        Not changed; on any device.
    example_inputs : Tensor, tuple or dict
        Their sizes, the batch included, are those that the time is for.
    repeats : int
        Rounds that are timed, after two that are not. A round is one pass, or as many as take a millisecond.
    threads : int or None
        Of torch, while it is measured; None: as they are set.

    Returns
    -------
    float
        Seconds for the whole batch.

    Raises
    ------
    ValueError
        `repeats` or `threads` is below 1.

    Examples
    --------
    >>> x = torch.ones(1, 8)
    >>> 0 < measured_latency(nn.Linear(8, 8), x, repeats=3) < 1
    True
    """
    if repeats < 1 or (threads is not None and threads < 1):
        raise ValueError(f"expected repeats and threads of at least 1, got {repeats} and {threads}")
    bare = bare_module(model)
    device = next((t.device for t in (*bare.parameters(), *bare.buffers())), torch.device("cpu"))
    args, kwargs = tree_map_only(torch.Tensor, lambda t: t.to(device), split_inputs(example_inputs))
    with torch.inference_mode(), in_eval_mode(bare), _threads(threads):

        def seconds(passes: int) -> float:
            clock = time.thread_time if device.type == "cpu" and torch.get_num_threads() == 1 else time.perf_counter
            _wait(device)
            start = clock()
            for _ in range(passes):
                bare(*args, **kwargs)
            _wait(device)
            return (clock() - start) / passes

        seconds(1)
        passes = max(1, round(LEAST / max(seconds(1), 1e-7)))
        return float(np.median([seconds(passes) for _ in range(repeats)]))


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


@contextmanager
def _threads(threads: int | None) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)
