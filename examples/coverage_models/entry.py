"""What a row of the coverage table needs to be filled."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

__all__ = ["Entry", "Inputs", "calling", "picture", "tokens"]

Inputs = Tensor | tuple[Tensor, ...] | dict[str, Tensor]


@dataclass(frozen=True)
class Entry:
    """One row of the table.

    Parameters
    ----------
    library, family, name : str
    build : callable
        Returns the model with random weights.
    inputs : callable
        Returns example inputs.
    """

    library: str
    family: str
    name: str
    build: Callable[[], nn.Module]
    inputs: Callable[[], Inputs]


def picture(*shape: int) -> Callable[[], Tensor]:
    """Return a maker of an input of ones."""
    return lambda: torch.ones(shape)


def tokens(vocabulary: int) -> Callable[[], Tensor]:
    """Return a maker of a sentence that holds every token once."""
    return lambda: torch.arange(vocabulary)[None]


def calling(owner: object, name: str, **options: object) -> Callable[[], nn.Module]:
    """Return a builder that looks up a class or function and calls it."""
    return lambda: getattr(owner, name)(**options)
