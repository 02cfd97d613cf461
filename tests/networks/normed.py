"""Networks around norms with statistics over channels: perceptrons, transformer and ConvNeXt blocks, group norm."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

__all__ = ["GroupNormNet", "NextNet", "NormedStream"]

Norm = Callable[[int], nn.Module]


class Hidden(nn.Module):
    """Two linear layers beside a skip, normalised before them or after the sum."""

    def __init__(self, dim: int, hidden: int, norm: Norm, first: bool) -> None:
        super().__init__()
        self.first, self.norm = first, norm(dim)
        self.body = nn.Sequential(nn.Linear(dim, hidden), nn.GELU(), nn.Linear(hidden, dim))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(self.norm(x)) if self.first else self.norm(x + self.body(x))


class NormedStream(nn.Module):
    """A residual stream with the perceptrons of a transformer: `norm` before each and at the end, or after each."""

    def __init__(
        self, norm: Norm = nn.LayerNorm, *, dim: int = 12, hidden: int = 16, depth: int = 2, first: bool = True
    ) -> None:
        super().__init__()
        self.entry = nn.Linear(6, dim)
        self.blocks = nn.Sequential(*(Hidden(dim, hidden, norm, first) for _ in range(depth)))
        self.norm, self.head = norm(dim) if first else nn.Identity(), nn.Linear(dim, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.norm(self.blocks(self.entry(x))))


class NextBlock(nn.Module):
    """Depthwise convolution, layer norm over the channels of each pixel, two linear layers, beside a skip."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(dim, dim, 3, padding=1, groups=dim)
        self.norm = nn.LayerNorm(dim)
        self.body = nn.Sequential(nn.Linear(dim, 2 * dim), nn.GELU(), nn.Linear(2 * dim, dim))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(self.norm(self.depthwise(x).permute(0, 2, 3, 1))).permute(0, 3, 1, 2)


class NextNet(nn.Module):
    """A patchified stem, blocks of ConvNeXt, mean over positions, norm and a linear layer."""

    def __init__(self, *, dim: int = 12, depth: int = 2) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, dim, 2, 2)
        self.blocks = nn.Sequential(*(NextBlock(dim) for _ in range(depth)))
        self.norm, self.head = nn.LayerNorm(dim), nn.Linear(dim, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.norm(self.blocks(self.stem(x)).mean((2, 3))))


class GroupNormNet(nn.Module):
    """Convolutions with a residual sum, each followed by a group norm with `groups` groups."""

    def __init__(self, *, width: int = 16, groups: int = 4, kernel: int = 3) -> None:
        super().__init__()
        pad = kernel // 2
        self.stem, self.norm1 = nn.Conv2d(3, width, kernel, padding=pad), nn.GroupNorm(groups, width)
        self.inner, self.norm2 = nn.Conv2d(width, width, kernel, padding=pad), nn.GroupNorm(groups, width)
        self.outer, self.norm3 = nn.Conv2d(width, width, kernel, padding=pad), nn.GroupNorm(groups, width)
        self.head = nn.Linear(width, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.norm1(self.stem(x)))
        x = x + self.norm3(self.outer(torch.relu(self.norm2(self.inner(x)))))
        return self.head(torch.relu(x).mean((2, 3)))
