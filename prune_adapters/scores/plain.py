"""Scores that need nothing but the weights, or only their number."""

from collections.abc import Iterable

import numpy as np
import torch
from torch import nn

from netgraph import NetGraph
from prune_adapters.scores.scored import scored_parameters

__all__ = ["magnitude_scores", "random_scores"]


def magnitude_scores(
    model: nn.Module, *, parameters: Iterable[str] | None = None, graph: NetGraph | None = None
) -> dict[str, torch.Tensor]:
    """Return ``abs(w)`` for each weight w.

    Parameters
    ----------
    model : Module
        Not changed.
    parameters : iterable of str, optional
        Names of the parameters to score. Default: all edge parameters but embedding tables.
    graph : NetGraph, optional
        Graph of the model, which says what its edge parameters are.

    Returns
    -------
    dict of str to Tensor
        Shape, dtype and device of the parameter, at least 0, detached.

    Raises
    ------
    ValueError
        A weight is NaN, a name is not a parameter of the model, or `parameters` and `graph` are both given.

    Examples
    --------
    >>> layer = nn.Linear(2, 1)
    >>> _ = layer.weight.data.copy_(torch.tensor([[-3.0, 2.0]]))
    >>> magnitude_scores(layer)
    {'weight': tensor([[3., 2.]])}
    """
    scored = scored_parameters(model, parameters, graph)
    for name, parameter in scored.items():
        if missing := int(torch.isnan(parameter).sum()):
            raise ValueError(f"weight {name!r}: {missing} of {parameter.numel()} values are NaN, without a magnitude")
    return {name: parameter.detach().abs() for name, parameter in scored.items()}


def random_scores(
    model: nn.Module,
    *,
    seed: int | np.random.Generator | None,
    parameters: Iterable[str] | None = None,
    graph: NetGraph | None = None,
) -> dict[str, torch.Tensor]:
    """Return a score drawn uniformly from [0, 1) for each weight.

    Parameters
    ----------
    model : Module
        Only the shapes of its parameters are read.
    seed : int, numpy Generator or None
        Same seed, same scores, on any device and with any number of threads.
    parameters, graph
        As in `magnitude_scores`.

    Returns
    -------
    dict of str to Tensor of float32
        Shape and device of the parameter.

    Raises
    ------
    ValueError
        A name is not a parameter of the model, or `parameters` and `graph` are both given.

    Examples
    --------
    >>> first, second = (random_scores(nn.Linear(2, 1), seed=0)["weight"] for _ in range(2))
    >>> first.shape, torch.equal(first, second)
    (torch.Size([1, 2]), True)
    """
    draw = np.random.default_rng(seed)
    scored = scored_parameters(model, parameters, graph)
    return {name: _uniform(draw, p) for name, p in scored.items()}


def _uniform(draw: np.random.Generator, like: torch.Tensor) -> torch.Tensor:
    return torch.from_numpy(draw.random(tuple(like.shape), dtype=np.float32)).to(like.device)
