"""What each form of a layer is expected to take, in units of the dense one.

From measurements on a CPU with AVX-512 (examples/bench_sparse_ops.py) and, for GPUs, from what matrix units give: there
only large blocks pay.
"""

import torch
from torch import nn

from prune_adapters.layers.pattern import block_size

__all__ = ["expected"]

OVERHEAD = {"sparse": 0.03, "regular": 0.02}
"""What packing inputs and calling costs, whatever the density."""
COST = {
    (nn.Linear, "sparse"): 2.2,
    (nn.Linear, "regular"): 1.15,
    (nn.Conv2d, "sparse"): 2.1,
    (nn.Conv2d, "regular"): 1.15,
}
"""Time of a kept weight, in units of the time of a weight in the dense kernel (oneDNN)."""
SMALL_BATCH = 32
GPU_BLOCK = 64


def expected(layer: nn.Module, form: str, mask: torch.Tensor, batch: int | None) -> float:
    """Return the time of a form, where the dense layer takes 1.

    Parameters
    ----------
    layer : Module
        Linear, Conv1d or Conv2d.
    form : {"dense", "sparse", "regular"}
    mask : Tensor of bool
    batch : int or None
        Rows of the input; None: many.
    """
    if form == "dense":
        return 1.0
    density = float(mask.float().mean())
    if mask.is_cuda:
        return _on_gpu(form, density, mask)
    kind = nn.Linear if isinstance(layer, nn.Linear) else nn.Conv2d
    small = 1.3 if batch is not None and batch < SMALL_BATCH else 1.0
    return OVERHEAD[form] + COST[kind, form] * density * small


def _on_gpu(form: str, density: float, mask: torch.Tensor) -> float:
    """Matrix units want blocks; anything else is slower than the dense product with zeros."""
    if form == "sparse" or mask.dim() > 2:
        return float("inf")
    return density * 2.3 if min(block_size(mask)) >= GPU_BLOCK else float("inf")
