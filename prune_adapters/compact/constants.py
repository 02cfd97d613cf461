"""The constants that layers read: which they are is the graph's answer, their values are measured on one run."""

import contextlib
import copy
from collections.abc import Callable, Iterator, Mapping

import numpy as np
import torch
from torch import nn
from torch.utils._pytree import tree_map

__all__ = ["measured_constants", "run", "without_fast_path"]

SPREAD = 1e-9
"""Relative difference between positions up to which, in double precision, a value is the same at all of them."""


def measured_constants(
    model: nn.Module, args: tuple, kwargs: dict, wanted: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Return the value of the constant input channels of some layers.

    Parameters
    ----------
    model : Module
        In eval mode, its removed weights 0. Runs as a copy in double precision, or as it is where it refuses that.
    args, kwargs : tuple, dict
        Example inputs.
    wanted : mapping of str to ndarray of bool
        By module path: which input channels are constant.

    Returns
    -------
    dict of str to ndarray of float64
        NaN where a channel is not constant, or was found to differ between positions after all.
    """
    wanted = {path: channels for path, channels in wanted.items() if channels.any()}
    if not wanted:
        return {}
    try:
        double = copy.deepcopy(model).double()
        return _recorded(double, tree_map(_as_double, args), tree_map(_as_double, kwargs), wanted)
    except RuntimeError:
        return _recorded(model, args, kwargs, wanted)


def run(model: nn.Module, args: tuple, kwargs: dict) -> object:
    """Return what the model gives without gradients and without fused encoder layers, which call no modules."""
    with torch.no_grad(), without_fast_path():
        return model(*tree_map(_cloned, args), **tree_map(_cloned, kwargs))


def _cloned(item: object) -> object:
    """A forward may change its input in place."""
    return item.clone() if isinstance(item, torch.Tensor) else item


@contextlib.contextmanager
def without_fast_path() -> Iterator[None]:
    """Turn off the fused encoder layers of torch, which call no modules."""
    enabled = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(enabled)


def _as_double(item: object) -> object:
    return item.double() if isinstance(item, torch.Tensor) and item.is_floating_point() else item


def _recorded(model: nn.Module, args: tuple, kwargs: dict, wanted: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    values: dict[str, np.ndarray] = {}

    def keeper(path: str) -> Callable[[nn.Module, tuple, dict], None]:
        def keep(module: nn.Module, given: tuple, named: dict) -> None:
            tensor = given[0] if given else named["input"]
            values[path] = np.where(wanted[path], _value_of_channels(module, tensor), np.nan)

        return keep

    handles = [model.get_submodule(p).register_forward_pre_hook(keeper(p), with_kwargs=True) for p in wanted]
    try:
        run(model, args, kwargs)
    finally:
        for handle in handles:
            handle.remove()
    return values


def _value_of_channels(module: nn.Module, tensor: torch.Tensor) -> np.ndarray:
    """Return the value of each channel, NaN where positions (or examples) differ."""
    positions = tensor.dim() - 2 if isinstance(module, nn.GroupNorm) else len(getattr(module, "kernel_size", ()))
    dim = tensor.dim() - 1 - positions
    rows = tensor.double().movedim(dim, 0).flatten(1)
    first = rows[:, 0]
    same = (rows - first[:, None]).abs().amax(dim=1) <= SPREAD * first.abs()
    return torch.where(same, first, torch.nan).cpu().numpy()
