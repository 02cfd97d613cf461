"""What each form of a layer is expected to take, in units of the dense one.

From measurements on a CPU with AVX-512 (examples/bench_sparse_ops.py and bench_sparse_conv.py: whole steps against the
fastest dense kernels of torch) and, for GPUs, from what matrix units give: there only large blocks pay.
"""

import math

import torch
from torch import nn

from prune_adapters.layers.pattern import block_size

__all__ = ["expected"]

PACKING = {"linear sparse": 0.08, "linear regular": 0.05, "pairs": 0.06, "taps": 0.14, "conv regular": 0.06}
"""What it takes to bring inputs into the order of the kernels, whatever the density."""
COST = {"linear sparse": 1.85, "linear regular": 1.3, "pairs": 1.3, "taps": 1.9, "conv regular": 1.2}
"""Time of a kept weight, in units of the time of a weight in the dense kernel."""
CALL = 2e6
"""What calls of our operators take longer than those of torch, in products of the dense layer."""
ROWS, POSITIONS = 128, 64
"""Rows of a batch and positions of an image, where they are not known."""
FEW, SLOWER = 8, 2.5
"""Below so many rows the kernels have nothing to share among them, and a weight takes so many times longer."""
GPU_BLOCK = 64


def expected(layer: nn.Module, form: str, mask: torch.Tensor, given: torch.Tensor | None) -> float:
    """Return the time of a form, where the dense layer takes 1; infinity where it cannot win.

    Parameters
    ----------
    layer : Module
        Linear, Conv1d or Conv2d.
    form : {"dense", "sparse", "regular"}
    mask : Tensor of bool
    given : Tensor or None
        An input, whose shape alone counts; None: a usual one.
    """
    if form == "dense":
        return 1.0
    density = int(mask.count_nonzero()) / max(mask.numel(), 1)
    if mask.is_cuda:
        return _on_gpu(form, density, mask)
    kind, rows = _kind(layer, form, mask), _rows(layer, given)
    slower = SLOWER if rows < FEW else 1.0
    return PACKING[kind] + COST[kind] * density * slower + CALL / max(mask.numel() * rows, 1)


def _kind(layer: nn.Module, form: str, mask: torch.Tensor) -> str:
    if isinstance(layer, nn.Linear):
        return f"linear {form}"
    if form == "regular":
        return "conv regular"
    pairs = mask.flatten(2)
    return "pairs" if torch.equal(pairs.any(dim=2), pairs.all(dim=2)) else "taps"


def _rows(layer: nn.Module, given: torch.Tensor | None) -> float:
    """Return how many times each weight is used in a pass."""
    if isinstance(layer, nn.Linear):
        return ROWS if given is None else given.numel() / max(layer.in_features, 1)
    assert isinstance(layer, nn.Conv1d | nn.Conv2d)
    if given is None:
        return ROWS * POSITIONS
    return given.numel() / max(layer.in_channels * math.prod(layer.stride), 1)


def _on_gpu(form: str, density: float, mask: torch.Tensor) -> float:
    """Matrix units want blocks; anything else is slower than the dense product with zeros."""
    if form == "sparse" or mask.dim() > 2:
        return math.inf
    return density * 2.3 if min(block_size(mask)) >= GPU_BLOCK else math.inf
