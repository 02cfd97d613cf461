"""Scores: one number for each weight, higher = keep.

A set of scores is a dictionary ``{parameter name: float tensor of the parameter's shape}`` in the order of
``named_parameters()``. `prune_adapters.select` turns it into masks; any other source of scores will do as well.

Scored by default are all edge parameters but embedding tables. Only a graph knows the edge parameters for certain;
without one they are the weights of two or more dimensions that are no table, no gain of a norm and no bias.
"""

from collections.abc import Iterable

import numpy as np
import torch
from torch import nn

from netgraph import NetGraph
from prune_adapters.masks import parameter_names, parameter_owners, resolve_name
from prune_adapters.shards import whole

__all__ = ["magnitude_scores", "random_scores"]

Owners = dict[str, list[tuple[nn.Module, str]]]
TABLES = (nn.Embedding, nn.EmbeddingBag)
NORMS = (nn.LayerNorm, nn.RMSNorm)
GAINS = ("original0", "weight_g")
"""Names under which weight norm keeps the length of each row; the direction beside it carries the edges."""


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
    scored = _scored(model, parameters, graph)
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
    scored = _scored(model, parameters, graph)
    return {name: _uniform(draw, p) for name, p in scored.items()}


def _uniform(draw: np.random.Generator, like: torch.Tensor) -> torch.Tensor:
    return torch.from_numpy(draw.random(tuple(like.shape), dtype=np.float32)).to(like.device)


def _scored(model: nn.Module, parameters: Iterable[str] | None, graph: NetGraph | None) -> dict[str, torch.Tensor]:
    """Return the parameters to score, in the order of ``named_parameters()``."""
    if parameters is not None and graph is not None:
        raise ValueError("parameters and graph: expected at most one of them; both say what is scored")
    owners = parameter_owners(model)
    wanted = _wanted(model, owners, parameters, graph)
    return {name: whole(held[0][0].get_parameter(held[0][1])) for name, held in owners.items() if name in wanted}


def _wanted(model: nn.Module, owners: Owners, parameters: Iterable[str] | None, graph: NetGraph | None) -> set[str]:
    names = parameter_names(model)
    if parameters is not None:
        return {resolve_name(name, names) for name in parameters}
    tables = {name for name, held in owners.items() if any(isinstance(module, TABLES) for module, _ in held)}
    if graph is not None:
        return {resolve_name(name, names) for name in graph.edge_parameters} - tables
    return {name for name, held in owners.items() if _looks_like_edges(name, *held[0])} - tables


def _looks_like_edges(name: str, module: nn.Module, key: str) -> bool:
    no_edges = isinstance(module, NORMS) or key.startswith("bias") or name.endswith(GAINS)
    return module.get_parameter(key).dim() >= 2 and not no_edges
