"""A small residual network for tests of GraphPruning, as training might leave it, and its widths."""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import prune_adapters as pa
from prune_adapters.graph_pruning.net.calibration import recalibrate
from prune_adapters.graph_pruning.space.finding import width_space
from prune_adapters.graph_pruning.space.space import WidthSpace

__all__ = ["PICTURE", "Residual", "drawn", "outputs_of", "pictures", "residual", "residual_space", "without"]


class Residual(nn.Module):
    """A stem, a block around a skip, a depthwise convolution and a classifier."""

    def __init__(self, width: int = 6, inner: int = 8) -> None:
        super().__init__()
        self.stem, self.norm = nn.Conv2d(3, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)
        self.first, self.first_norm = nn.Conv2d(width, inner, 3, padding=1, bias=False), nn.BatchNorm2d(inner)
        self.second, self.second_norm = nn.Conv2d(inner, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)
        self.depthwise = nn.Conv2d(width, width, 3, stride=2, padding=1, groups=width)
        self.classes = nn.Linear(width, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.norm(self.stem(x)))
        inner = F.relu(self.first_norm(self.first(x)))
        x = F.relu(x + self.second_norm(self.second(inner)))
        return self.classes(F.relu(self.depthwise(x)).mean((2, 3)))


PICTURE = torch.zeros(1, 3, 8, 8)


def pictures(n: int, seed: int) -> Tensor:
    return torch.randn(n, 3, 8, 8, generator=torch.Generator().manual_seed(seed))


def residual(seed: int = 0) -> Residual:
    """Return the network with weights and statistics as training might leave them, in eval mode."""
    torch.manual_seed(seed)
    model = Residual()
    recalibrate(model, pictures(64, seed + 100))
    return model.eval()


def without(model: nn.Module, path: str, channels: list[int], x: Tensor) -> nn.Module:
    """Return the model without the groups of some output channels of a layer."""
    groups = [g for g in pa.coupled_channels(model, x) if {*g.outputs.get(path, ())} & {*channels}]
    return pa.remove_channels(model, groups, x)


def outputs_of(model: nn.Module, path: str, x: Tensor) -> Tensor:
    held: list[Tensor] = []
    handle = model.get_submodule(path).register_forward_hook(lambda _, given, output: held.append(output))
    with torch.no_grad():
        model(x)
    handle.remove()
    return held[0]


def residual_space() -> WidthSpace:
    """Return its widths."""
    return width_space(residual(), PICTURE)


def drawn(space: WidthSpace, seed: int) -> tuple[int, ...]:
    return space.counts(np.random.default_rng(seed).uniform(0.2, 1.0, len(space.widths)).tolist())
