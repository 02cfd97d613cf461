"""Networks whose weights are computed from parameters."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["Adapted", "AdaptedFromTheLeft", "Factored"]


class Adapted(nn.Module):
    """A linear layer with a low-rank adapter added to its weight."""

    def __init__(self, rank: int = 2) -> None:
        super().__init__()
        self.first, self.out = nn.Linear(4, 5), nn.Linear(6, 3)
        self.down, self.up = nn.Parameter(torch.randn(rank, 5)), nn.Parameter(torch.randn(6, rank))
        self.base = nn.Linear(5, 6)

    def forward(self, x: Tensor) -> Tensor:
        weight = self.base.weight + 0.5 * (self.up @ self.down)
        return self.out(F.linear(self.first(x), weight, self.base.bias))


class Factored(nn.Module):
    """A product of three parameters as a weight, used the other way round."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.middle, self.right = (nn.Parameter(torch.randn(*s)) for s in ((4, 3), (3, 2), (2, 5)))
        self.out = nn.Linear(5, 2)

    def forward(self, x: Tensor) -> Tensor:
        weight = (self.left @ self.middle @ self.right).t()
        return self.out(x @ weight.t())


class AdaptedFromTheLeft(nn.Module):
    """``(W + B A) x`` with positions last."""

    def __init__(self) -> None:
        super().__init__()
        self.weight, self.up, self.down = (nn.Parameter(torch.randn(*s)) for s in ((5, 4), (5, 2), (2, 4)))
        self.out = nn.Linear(5, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(((self.weight + self.up @ self.down) @ x.mT).mT)
