"""What a sweep trains: a small network on digits, or a function of yours."""

from collections.abc import Callable, Mapping
from functools import lru_cache

import torch
from torch import nn

import netgraph as ng
import prune_adapters as pa
from prune_adapters.cli.errors import CommandError, in_words
from prune_adapters.cli.lookup import find_object, need
from prune_adapters.cli.models import Opened

__all__ = ["Run", "digits_run", "function_run"]

Run = Callable[[ng.NodeGraph, int], float]
"""Takes a graph and a seed; returns the accuracy in [0, 1]."""


def digits_run(epochs: int) -> Run:
    """Return what trains an MLP of five layers, 64 wide, on the digits of scikit-learn.

    Parameters
    ----------
    epochs : int
    """
    train, test = _digits()

    def run(graph: ng.NodeGraph, seed: int) -> float:
        torch.manual_seed(seed)
        model = _mlp()
        masks = pa.regular_masks(model, train[0][:1], graph)
        pa.apply_masks(pa.correct_fan_in(model, masks), masks)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
        options = {"batch_size": 32, "seed": seed, "progress": False}
        pa.train(model, train, epochs=epochs, optimizer=optimizer, scheduler=schedule, **options)  # type: ignore[arg-type]
        return pa.accuracy(model, *test)

    return run


def function_run(text: str, opened: Opened) -> Run:
    """Return what makes masks for a model and gives them to a function.

    Parameters
    ----------
    text : str
        Name of a function of masks and seed, which returns the accuracy.
    opened : Opened
        Gives the shapes.
    """
    function = find_object(text)
    if not callable(function):
        raise CommandError(f"--train {text}: expected a function, got {type(function).__name__}")

    def run(graph: ng.NodeGraph, seed: int) -> float:
        return _number(text, function, pa.regular_masks(opened.model, opened.inputs, graph), seed)

    return run


def _number(text: str, function: Callable[..., object], masks: Mapping[str, torch.Tensor], seed: int) -> float:
    try:
        found = function(masks, seed)
        return float(found)  # type: ignore[arg-type]
    except Exception as error:
        raise CommandError(
            f"{text} failed with seed {seed}: {type(error).__name__}: {in_words(error)}; it takes (masks, seed) and "
            "returns the accuracy"
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
