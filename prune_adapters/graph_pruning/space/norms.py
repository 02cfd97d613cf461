"""How large the weights are that write the channels of a width."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch
from torch import nn

from prune_adapters.graph_pruning.space.widths import Width
from prune_adapters.groups import silenced

__all__ = ["channel_norms"]


def channel_norms(width: Width, model: nn.Module, weights: Mapping[str, torch.Tensor]) -> np.ndarray:
    """Return the L1 norm of what writes each channel group, over the mean of its layer.

    Where several layers write a width it is the mean of theirs, so that none counts more for the size of its weights.

    Parameters
    ----------
    width : Width
    model : Module
        The one of the space.
    weights : mapping of str to Tensor
        Its parameters, or others of these names and shapes.

    Returns
    -------
    ndarray of float64, shape (width.size,)
        1 is the norm of the mean channel.

    Examples
    --------
    >>> from prune_adapters.graph_pruning.space.finding import width_space
    >>> model = nn.Sequential(nn.Linear(1, 2), nn.Linear(2, 1))
    >>> _ = model[0].weight.data.copy_(torch.tensor([[3.0], [-1.0]]))
    >>> channel_norms(width_space(model, torch.ones(1, 1)).widths[0], model, dict(model.named_parameters()))
    array([1.5, 0.5])
    """
    norms: dict[str, list[float]] = {}
    with torch.no_grad():
        for group in width.groups:
            for name, place in silenced(replace(group, inputs={}, parameters={}), model):
                if weights[name].dim() > 1:
                    norms.setdefault(name, []).append(float(weights[name][place].abs().sum()))
    layers = np.array(list(norms.values()))
    means = layers.mean(axis=1, keepdims=True)
    return (layers / np.where(means > 0, means, 1)).mean(axis=0)
