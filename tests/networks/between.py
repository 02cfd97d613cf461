"""Two hidden tensors, an operator on them, a readout; and what the operators share."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["Between", "Pair", "assigned", "image", "pooled", "signal", "transformed"]

Pair = Callable[[Tensor, Tensor], Tensor]


def image(h: Tensor) -> Tensor:
    """Return (batch, 6, 4, 4): the same units at 16 positions."""
    return h[..., None, None] * torch.arange(1.0, 17.0, dtype=h.dtype).reshape(4, 4)


def signal(h: Tensor) -> Tensor:
    """Return (batch, 8, 6): the same units at 8 positions."""
    return h[:, None] * torch.arange(1.0, 9.0, dtype=h.dtype)[:, None]


def pooled(h: Tensor) -> Tensor:
    """Return the mean over the positions of an image."""
    return h.mean((-2, -1))


def assigned(a: Tensor, b: Tensor) -> Tensor:
    result = torch.zeros_like(a)
    result[:, :4] = b[:, 2:]
    result[:, 5] += a[:, 0]
    return result


def transformed(a: Tensor, b: Tensor) -> Tensor:
    """Return an image sampled at positions that six numbers decide; its positions are weighed unevenly."""
    places = F.affine_grid(b.reshape(-1, 2, 3), [2, 6, 4, 4], align_corners=False)
    return pooled(image(pooled(image(a))) * F.grid_sample(image(a), places, align_corners=False))


class Between(nn.Module):
    """Two hidden tensors, an operator, a readout."""

    def __init__(self, operator: Pair) -> None:
        super().__init__()
        self.operator = operator
        self.first, self.second = nn.Linear(4, 6), nn.Linear(5, 6)
        with torch.no_grad():
            width = operator(torch.rand(2, 6), torch.rand(2, 6)).shape[-1]
        self.out = nn.Linear(width, 3)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return self.out(self.operator(self.first(x), self.second(y)))
