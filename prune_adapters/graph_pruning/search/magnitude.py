"""Widths by magnitude: the baseline that asks the weights of a trained network and evaluates nothing."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch
from torch import nn

from prune_adapters.graph_pruning.space.budget import WidthBudget
from prune_adapters.graph_pruning.space.widths import Counts, Width
from prune_adapters.groups import silenced
from prune_adapters.masks import bare_module

__all__ = ["l1_widths"]


def l1_widths(model: nn.Module, budget: WidthBudget) -> Counts:
    """Return the counts that one threshold for the magnitudes of all channels gives, as near to the limit as it goes.

    The magnitude of a channel is the L1 norm of the weights that write it, over the mean of its layer; where several
    layers write it, the mean of theirs.

    Parameters
    ----------
    model : Module
        Of the shape of the budget's space, trained. Not changed.
    budget : WidthBudget
        No width falls below its lowest ratio.

    Returns
    -------
    tuple of int
        How many channels; which ones is for whoever builds the network.

    Raises
    ------
    ValueError
        The model has no parameter of the name and shape of one of the space's model.

    References
    ----------
    .. [1] Li et al., "Pruning Filters for Efficient ConvNets", 2017: the norm. Differs in the one threshold.

    Examples
    --------
    >>> from prune_adapters.graph_pruning.space.space import width_space
    >>> model = nn.Sequential(nn.Linear(1, 4), nn.Linear(4, 4), nn.Linear(4, 1))
    >>> _ = model[0].weight.data.copy_(torch.tensor([[1.0], [1.0], [1.0], [1.0]]))
    >>> _ = model[1].weight.data.copy_(torch.tensor([[9.0], [9.0], [1.0], [1.0]]).expand(4, 4))
    >>> space = width_space(model, torch.ones(1, 1))
    >>> l1_widths(model, WidthBudget(space, space.macs, limit=14))
    (4, 2)
    """
    space = budget.space
    own = dict(bare_module(model).named_parameters())
    _check(own, space.model)
    with torch.no_grad():
        scores = [_scores(width, space.model, own) for width in space.widths]
    floor = budget.smallest
    low, high = 0, len(thresholds := np.unique(np.concatenate([[0.0], *scores, [np.inf]]))) - 1
    while low < high:
        middle = (low + high) // 2
        low, high = (
            (low, middle) if budget.fits(_above(thresholds[middle], scores, floor, budget)) else (middle + 1, high)
        )
    return _above(thresholds[low], scores, floor, budget)


def _above(threshold: float, scores: list[np.ndarray], floor: Counts, budget: WidthBudget) -> Counts:
    counts = budget.space.counts([float((own >= threshold).mean()) for own in scores])
    return tuple(map(max, counts, floor))


def _scores(width: Width, model: nn.Module, own: Mapping[str, torch.Tensor]) -> np.ndarray:
    """Return the magnitude of each group of a width; 1 is that of the mean channel."""
    norms: dict[str, list[float]] = {}
    for group in width.groups:
        for name, place in silenced(replace(group, inputs={}, parameters={}), model):
            if own[name].dim() > 1:
                norms.setdefault(name, []).append(float(own[name][place].abs().sum()))
    layers = np.array(list(norms.values()))
    means = layers.mean(axis=1, keepdims=True)
    return (layers / np.where(means > 0, means, 1)).mean(axis=0)


def _check(own: Mapping[str, torch.Tensor], model: nn.Module) -> None:
    for name, parameter in model.named_parameters():
        found = own[name].shape if name in own else None
        if found != parameter.shape:
            raise ValueError(
                f"model: expected parameter {name!r} of shape {tuple(parameter.shape)} as in the budget's space, got "
                f"{'none' if found is None else tuple(found)}; make the space of this model"
            )
