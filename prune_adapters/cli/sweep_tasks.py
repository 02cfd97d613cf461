"""What a sweep trains: a small network on digits, or a function of yours."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import nn

import netgraph as ng
import prune_adapters as pa
from prune_adapters.cli.errors import CommandError, named
from prune_adapters.cli.lookup import find_object, need
from prune_adapters.cli.models import Opened

__all__ = ["Task", "digits", "function"]

Masks = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Task:
    """What a sweep trains.

    Parameters
    ----------
    masks : callable
        Takes a graph; returns the masks that it makes.
    accuracy : callable
        Takes masks and a seed; trains and returns the accuracy in [0, 1].
    """

    masks: Callable[[ng.NodeGraph], Masks]
    accuracy: Callable[[Masks, int], float]


def digits(epochs: int) -> Task:
    """Return the task to train an MLP of five layers, 64 wide, on the digits of scikit-learn.

    Parameters
    ----------
    epochs : int
    """
    train, test = _digits()

    def accuracy(masks: Masks, seed: int) -> float:
        torch.manual_seed(seed)
        model = _mlp()
        pa.apply_masks(pa.correct_fan_in(model, masks), masks)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
        data = {"batch_size": 32, "seed": seed, "progress": False}
        pa.train(model, train, epochs=epochs, optimizer=optimizer, scheduler=schedule, **data)  # type: ignore[arg-type]
        return pa.accuracy(model, *test)

    return Task(lambda graph: pa.regular_masks(_mlp(), train[0][:1], graph), accuracy)


def function(text: str, opened: Opened) -> Task:
    """Return the task that a function trains, with masks for a model.

    Parameters
    ----------
    text : str
        Name of a function of masks and seed, which returns the accuracy.
    opened : Opened
        Gives the shapes.
    """
    found = find_object(text)
    if not callable(found):
        raise CommandError(f"--train {text}: expected a function, got {type(found).__name__}")
    return Task(lambda graph: _masks(opened, graph), lambda masks, seed: _number(text, found, masks, seed))


def _masks(opened: Opened, graph: ng.NodeGraph) -> Masks:
    masks = pa.regular_masks(opened.model, opened.inputs, graph)
    if not masks:
        raise CommandError("--model: it has no layer to mask between the first and the last, which stay dense")
    return masks


def _number(text: str, function: Callable[..., object], masks: Masks, seed: int) -> float:
    try:
        found = function(masks, seed)
        return float(found)  # type: ignore[arg-type]
    except Exception as error:
        raise CommandError(
            f"{text} failed with seed {seed}: {named(error)}; it takes (masks, seed) and returns the accuracy"
        ) from error


def _mlp() -> nn.Sequential:
    def hidden() -> list[nn.Module]:
        return [nn.Linear(64, 64, bias=False), nn.BatchNorm1d(64), nn.ReLU()]

    return nn.Sequential(*(layer for _ in range(4) for layer in hidden()), nn.Linear(64, 10))


@lru_cache(maxsize=1)
def _digits() -> tuple[tuple[torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]:
    need("sklearn", "the digits of a sweep without --train")
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    digits = load_digits()
    train, test = train_test_split(range(len(digits.target)), test_size=0.5, stratify=digits.target, random_state=0)
    pictures, classes = torch.tensor(digits.data, dtype=torch.float32) / 16, torch.tensor(digits.target)
    return (pictures[train], classes[train]), (pictures[test], classes[test])
