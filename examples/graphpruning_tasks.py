"""What GraphPruning is tried on: digits or CIFAR-10 in three parts, residual networks, one with a dead block."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor, nn

from models import conv, small_resnet
from path_length_tasks import data

__all__ = ["NETWORKS", "Pictures", "fitted", "pictures", "with_dead_block"]

Pair = tuple[Tensor, Tensor]
RATE, MOMENTUM, DECAY, BATCH, SMOOTHING, CLIP = 0.1, 0.9, 1e-4, 64, 0.1, 5.0


@dataclass(frozen=True)
class Pictures:
    """Pictures and classes to train on, to choose by, and to tell the outcome with."""

    train: Pair
    holdout: Pair
    test: Pair

    @property
    def example(self) -> Tensor:
        """One picture."""
        return self.train[0][:1]


@lru_cache(maxsize=1)
def pictures(folder: Path | None) -> Pictures:
    """Return CIFAR-10 from a folder, 5,000 of its training pictures held out; digits, 200 held out, without one."""
    train, test = data(folder)
    if folder is None:
        train, test = ((x[:, None].expand(-1, 3, -1, -1).contiguous(), y) for x, y in (train, test))
    n = 200 if folder is None else 5000
    (x, y) = train
    return Pictures((x[:-n], y[:-n]), (x[-n:], y[-n:]), test)


class Silenced(nn.Module):
    """Multiplies by a buffer, which is 0."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("scale", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        return self.scale * x


def with_dead_block(model: nn.Sequential, *, times: int = 6) -> nn.Sequential:
    """Return the residual network with a first block that is so many times wider inside, and of no effect."""
    body = model[2][0].body
    width = body[0][0].out_channels
    model[2][0].body = nn.Sequential(
        conv(width, times * width, 3), nn.ReLU(), conv(times * width, width, 3), Silenced()
    )
    return model


def _resnet8() -> nn.Sequential:
    return small_resnet(1, 8, 10)


def _resnet14() -> nn.Sequential:
    return small_resnet(2, 16, 10, stride=2)


def _resnet20() -> nn.Sequential:
    return small_resnet(3, 16, 10, stride=2)


NETWORKS = {"resnet8": _resnet8, "resnet14": _resnet14, "resnet20": _resnet20}
"""resnet8: 8 wide, for digits; the others: 16 wide, with a stem that halves the picture, for CIFAR-10."""


def fitted(model: nn.Module, train: Pair, *, steps: int, seed: int, rate: float = RATE) -> nn.Module:
    """Return the model after so many steps of SGD, at a rate that goes up and down once."""
    torch.manual_seed(seed)
    x, y = train
    optimizer = torch.optim.SGD(model.parameters(), lr=rate, momentum=MOMENTUM, nesterov=True, weight_decay=DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=rate, total_steps=steps)
    model.train()
    for chosen in islice(_batches(len(x)), steps):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x[chosen]), y[chosen], label_smoothing=SMOOTHING).backward()
        nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimizer.step()
        schedule.step()
    return model.eval()


def _batches(n: int) -> Iterator[Tensor]:
    """Yield whole batches without end, shuffled anew when all pictures have been seen."""
    while True:
        yield from torch.randperm(n).split(BATCH)[: max(1, n // BATCH)]
