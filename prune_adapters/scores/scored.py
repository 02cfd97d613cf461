"""What is scored: all edge parameters but embedding tables, unless the caller names others."""

from collections.abc import Iterable

import torch
from torch import nn

from netgraph import NetGraph
from prune_adapters.masks import parameter_names, parameter_owners, resolve_name
from prune_adapters.shards import whole

__all__ = ["scored_parameters"]

Owners = dict[str, list[tuple[nn.Module, str]]]
TABLES = (nn.Embedding, nn.EmbeddingBag)
NORMS = (nn.LayerNorm, nn.RMSNorm)
GAINS = ("original0", "weight_g")
"""Names under which weight norm keeps the length of each row; the direction beside it carries the edges."""


def scored_parameters(
    model: nn.Module, parameters: Iterable[str] | None, graph: NetGraph | None
) -> dict[str, torch.Tensor]:
    """Return the parameters to score, in the order of ``named_parameters()``.

    Parameters
    ----------
    model : Module
    parameters : iterable of str, or None
        Their names; those of wrappers and later names of shared parameters are good too.
    graph : NetGraph or None
        Graph of the model, which says what its edge parameters are.

    Returns
    -------
    dict of str to Tensor
        The parameters themselves; of one that is spread over processes, its whole value on each of them.

    Raises
    ------
    ValueError
        A name is not a parameter of the model, or `parameters` and `graph` are both given.

    Examples
    --------
    >>> list(scored_parameters(nn.Sequential(nn.Linear(2, 3), nn.LayerNorm(3)), None, None))
    ['0.weight']
    """
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
