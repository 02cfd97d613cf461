"""Times the forms of a layer on inputs of the shape that it gets, side by side."""

import time
from collections.abc import Mapping
from statistics import median

import torch
from torch import nn

__all__ = ["input_shapes", "seconds_of"]

ROUNDS = 7
LEAST = 2e-3
"""Seconds that a round goes on at least, so that a small layer is not timed by the clock's grain."""


def input_shapes(model: nn.Module, layers: Mapping[str, nn.Module], args: tuple, kwargs: dict) -> dict[str, torch.Size]:
    """Return the shape of the first input of each layer that runs, from one pass in eval mode without gradients."""
    shapes: dict[str, torch.Size] = {}
    hooks = [
        layer.register_forward_pre_hook(lambda _, given, name=name: shapes.setdefault(name, given[0].shape) and None)
        for name, layer in layers.items()
    ]
    modes = {module: module.training for module in model.modules()}
    try:
        with torch.no_grad():
            model.eval()(*args, **kwargs)
    finally:
        for hook in hooks:
            hook.remove()
        for module, training in modes.items():
            module.training = training
    return shapes


def seconds_of(forms: Mapping[str, nn.Module], shape: torch.Size, training: bool) -> dict[str, float]:
    """Return the median seconds of a pass through each form, timed in turn.

    Parameters
    ----------
    forms : mapping of str to Module
        On one device, with parameters of one dtype.
    shape : Size
        Of the input.
    training : bool
        Whether a pass is forward and both gradients, or forward alone.
    """
    like = next(next(iter(forms.values())).parameters())
    x = torch.randn(shape, device=like.device, dtype=like.dtype, requires_grad=training)
    passes = {name: _passes(layer, x, training) for name, layer in forms.items()}
    times: dict[str, list[float]] = {name: [] for name in forms}
    for number in range(ROUNDS):
        for name in list(forms)[:: -1 if number % 2 else 1]:
            times[name].append(_time(forms[name], x, training, passes[name]))
    return {name: median(found) for name, found in times.items()}


def _passes(layer: nn.Module, x: torch.Tensor, training: bool) -> int:
    """Return how many passes make a round; warms up, too."""
    _time(layer, x, training, 1)
    return max(1, int(LEAST / max(_time(layer, x, training, 1), 1e-7)))


def _time(layer: nn.Module, x: torch.Tensor, training: bool, passes: int) -> float:
    _wait(x)
    start = time.perf_counter()
    for _ in range(passes):
        if training:
            x.grad = None
            layer.zero_grad(set_to_none=True)
            y = layer(x)
            y.backward(torch.ones_like(y))
        else:
            with torch.no_grad():
                layer(x)
    _wait(x)
    return (time.perf_counter() - start) / passes


def _wait(x: torch.Tensor) -> None:
    if x.is_cuda:
        torch.cuda.synchronize(x.device)
