"""SNIP: how much the loss would change if a weight were removed, to first order."""

from collections.abc import Iterable

import numpy as np
import torch
from torch import nn

from netgraph import NetGraph
from prune_adapters.scores.batches import Batch, Batches, Loss, LossOfWeights, checked_scores, paired
from prune_adapters.scores.scored import scored_parameters

__all__ = ["snip_scores"]


def snip_scores(
    model: nn.Module,
    data: Batch | Batches,
    *,
    loss: Loss = nn.functional.cross_entropy,
    batch_size: int = 128,
    seed: int | np.random.Generator | None = 0,
    parameters: Iterable[str] | None = None,
    graph: NetGraph | None = None,
) -> dict[str, torch.Tensor]:
    """Return ``abs(w * dL/dw)`` for each weight w, with L the mean loss over all examples.

    Parameters
    ----------
    model : Module
        Evaluated in the mode that it is in: in training mode batch norm uses the batches, and dropout drops. Nothing of
        it is changed: no gradient, no running mean, no mode. Half precision is computed in float32.
    data : pair, or iterable of pairs
        All inputs and targets, or batches of them, such as a DataLoader; in its order, each once. Inputs are a tensor,
        or the positional (tuple) or keyword (dict) arguments of ``model.forward``. They go to the model's device.
    loss : callable
        Takes outputs and targets, returns the mean loss of the batch.
    batch_size : int
        For a pair.
    seed : int, numpy Generator or None
        Sets torch's random numbers, for dropout or the order of a DataLoader; the caller's are left alone.
    parameters, graph
        As in `magnitude_scores`. Frozen parameters are scored like others.

    Returns
    -------
    dict of str to Tensor
        At least 0; shape and device of the parameter, float64 where the parameter is, else float32. Weights that a
        remembered mask removes count as 0 and score 0, and so does a parameter that the loss does not depend on.

    Raises
    ------
    ValueError
        There is no example or an item of `data` is no pair; the loss is no single number, or depends on none of the
        scored weights; a name is not a parameter of the model; or `parameters` and `graph` are both given.
    FloatingPointError
        A score is not finite.

    Notes
    -----
    Differs from [1]_ in that scores are not divided by their sum, which changes no order, and that any number of
    batches may come. One forward and backward pass over the data. Wrappers of data parallel training are taken off:
    each process scores by its own data.

    References
    ----------
    .. [1] Lee, Ajanthan and Torr, "SNIP: Single-shot network pruning based on connection sensitivity", ICLR 2019,
       equation 6.

    Examples
    --------
    >>> layer = nn.Linear(2, 1, bias=False)
    >>> _ = layer.weight.data.copy_(torch.tensor([[3.0, -2.0]]))
    >>> data = torch.tensor([[1.0, 4.0]]), torch.tensor([[0.0]])
    >>> snip_scores(layer, data, loss=lambda output, target: (output - target).sum())
    {'weight': tensor([[3., 8.]])}
    """
    scored = scored_parameters(model, parameters, graph)
    of_weights = LossOfWeights.of(model, scored, loss, seed)
    gradient = of_weights.gradient(paired(data, batch_size))
    return checked_scores({name: (w.detach() * gradient[name]).abs() for name, w in of_weights.weights.items()})
