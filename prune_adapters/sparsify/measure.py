"""Times the forms of a layer on inputs of the shape that it gets, side by side."""

import time
from collections.abc import Mapping

import torch
from torch import nn

__all__ = ["inputs_of", "seconds_of"]

ROUNDS = 15
LEAST = 1e-3
"""Seconds that a round goes on at least, so that a small layer is not timed by the clock's grain."""


def inputs_of(model: nn.Module, layers: Mapping[str, nn.Module], args: tuple, kwargs: dict) -> dict[str, torch.Tensor]:
    """Return the first input of each layer that runs, without its elements: shape and order in memory.

    The model makes one pass in eval mode, without gradients.
    """
    inputs: dict[str, torch.Tensor] = {}

    def note(name: str, given: tuple, named: dict) -> None:
        inputs.setdefault(name, torch.empty_like([*given, *named.values()][0], device="meta"))

    hooks = [
        layer.register_forward_pre_hook(lambda _, given, named, name=name: note(name, given, named), with_kwargs=True)
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
    return inputs


def seconds_of(forms: Mapping[str, nn.Module], given: torch.Tensor, training: bool) -> dict[str, float]:
    """Return the least seconds of a pass through each form, timed in turn: what else runs here only adds to them.

    Parameters
    ----------
    forms : mapping of str to Module
        On one device, with parameters of one dtype.
    given : Tensor
        An input; only its shape and its order in memory count.
    training : bool
        Whether a pass is forward and both gradients, or forward alone.
    """
    like = next(next(iter(forms.values())).parameters())
    x = torch.randn_like(given, device=like.device, dtype=like.dtype).requires_grad_(training)
    passes = {name: _passes(layer, x, training) for name, layer in forms.items()}
    times: dict[str, list[float]] = {name: [] for name in forms}
    for number in range(ROUNDS):
        for name in list(forms)[:: -1 if number % 2 else 1]:
            times[name].append(_time(forms[name], x, training, passes[name]))
    return {name: min(found) for name, found in times.items()}


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
