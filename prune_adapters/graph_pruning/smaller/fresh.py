"""The same network with weights that nothing has trained."""

import copy

import numpy as np
import torch
from torch import nn

from prune_adapters.masks import bare_module

__all__ = ["fresh_copy"]


def fresh_copy(model: nn.Module, *, seed: int | np.random.Generator | None = 0) -> nn.Module:
    """Return a copy of a model with fresh weights: every module is reset as its class says.

    Parameters
    ----------
    model : Module
        Not changed. Parameters of modules without ``reset_parameters``, such as a class token or a layer scale, keep
        their values.
    seed : int, numpy Generator or None
        The caller's random numbers are left alone.

    Returns
    -------
    Module
        With the training mode and the recipe of `model`.

    Examples
    --------
    >>> layer = nn.Linear(3, 2)
    >>> first, second = fresh_copy(layer), fresh_copy(layer)
    >>> torch.equal(first.weight, second.weight), torch.equal(first.weight, layer.weight)
    (True, False)
    """
    result = copy.deepcopy(bare_module(model))
    number = seed if isinstance(seed, int) else int(np.random.default_rng(seed).integers(2**31))
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(number)
        for module in result.modules():
            _reset(module)
    return result


def _reset(module: nn.Module) -> None:
    if isinstance(module, nn.MultiheadAttention) and module.in_proj_weight is not None:
        # Its own method does not know attention with fewer heads. The projection behind it is a module of its own.
        nn.init.xavier_uniform_(module.in_proj_weight)
        if module.in_proj_bias is not None:
            nn.init.zeros_(module.in_proj_bias)
        return
    reset = getattr(module, "reset_parameters", None) or getattr(module, "_reset_parameters", None)
    if callable(reset):
        reset()
