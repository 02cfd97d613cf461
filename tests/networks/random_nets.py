"""Random networks: operators drawn from a list, joined into an acyclic program on vectors or images."""

import random
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["RandomNet"]

WIDTH = 6


class RandomNet(nn.Module):
    """A program of `length` random steps; each reads earlier results, the head reads the last three.

    Every result has six channels, so any two fit together.

    Parameters
    ----------
    seed : int
        Decides the program; weights come from torch's generator.
    length : int
        Number of steps.
    images : bool
        Whether the input is an image (batch, 6, 8, 8) or a vector (batch, 6).
    """

    def __init__(self, seed: int, *, length: int = 8, images: bool = False) -> None:
        super().__init__()
        draw = random.Random(seed)
        self.entry = nn.Conv2d(WIDTH, WIDTH, 3, padding=1) if images else nn.Linear(WIDTH, WIDTH)
        self.layers = nn.ModuleDict()
        self.steps: list[tuple[str, int, int]] = []
        for number in range(length):
            kind = draw.choice([*LAYERS, *(MAPS if images else VECTOR_MAPS), *JOINS])
            self.steps.append((kind, draw.randint(max(0, number - 2), number), draw.randint(0, number)))
            if kind in LAYERS:
                self.layers[str(number)] = LAYERS[kind](images)
        self.head = nn.Linear(3 * WIDTH, 4)

    def forward(self, x: Tensor) -> Tensor:
        results = [torch.relu(self.entry(x))]
        for number, (kind, first, second) in enumerate(self.steps):
            if kind in LAYERS:
                results.append(self.layers[str(number)](results[first]))
            elif kind in JOINS:
                results.append(JOINS[kind](results[first], results[second]))
            else:
                results.append((MAPS | VECTOR_MAPS)[kind](results[first]))
        last = torch.cat([results[-1], results[-2], results[-3]], dim=1)
        return self.head(last.mean(dim=(2, 3)) if last.dim() == 4 else last)


def linear(images: bool) -> nn.Module:
    return nn.Conv2d(WIDTH, WIDTH, 3, padding=1) if images else nn.Linear(WIDTH, WIDTH)


def grouped(images: bool) -> nn.Module:
    return nn.Conv2d(WIDTH, WIDTH, 3, padding=1, groups=3) if images else nn.Linear(WIDTH, WIDTH, bias=False)


def batch_norm(images: bool) -> nn.Module:
    return nn.BatchNorm2d(WIDTH) if images else nn.BatchNorm1d(WIDTH)


def group_norm(images: bool) -> nn.Module:
    return nn.GroupNorm(2, WIDTH) if images else nn.LayerNorm(WIDTH)


def activated(images: bool) -> nn.Module:
    return nn.Sequential(linear(images), nn.GELU(), linear(images), nn.SiLU())


LAYERS: dict[str, Callable[[bool], nn.Module]] = {
    "linear": linear,
    "grouped": grouped,
    "batch_norm": batch_norm,
    "group_norm": group_norm,
    "activated": activated,
}

MAPS: dict[str, Callable[[Tensor], Tensor]] = {
    "flip": lambda x: x.flip(1),
    "roll": lambda x: x.roll(2, 1),
    "shuffle": lambda x: x.unflatten(1, (2, 3)).transpose(1, 2).flatten(1, 2),
    "first_half_twice": lambda x: torch.cat((x[:, :3], x[:, :3] * 0.5), dim=1),
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "softmax": lambda x: x.softmax(dim=1),
    "rms": lambda x: x * torch.rsqrt((x * x).mean(dim=1, keepdim=True) + 1e-9),
    "gated_halves": lambda x: torch.cat((functional.glu(x, dim=1), x[:, 3:]), dim=1),
}

VECTOR_MAPS = MAPS | {
    "pairs": lambda x: (x.unsqueeze(2) * x.unsqueeze(1)).mean(dim=2),
    "assigned": lambda x: assigned(x),
}

JOINS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "add": torch.add,
    "product": torch.mul,
    "gate": lambda x, y: x * torch.sigmoid(y),
    "halves": lambda x, y: torch.cat((x[:, :3], y[:, 3:]), dim=1),
    "quotient": lambda x, y: x / (y.square() + 1),
    "mean_gate": lambda x, y: x * y.mean(dim=1, keepdim=True),
}


def assigned(x: Tensor) -> Tensor:
    """Return `x` with its last two channels written over its first two, in place on a copy."""
    x = x.clone()
    x[:, :2] = x[:, 4:]
    return x
