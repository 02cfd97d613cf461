"""GraSP: how much of the gradient of the loss would be lost if a weight were removed, to first order."""

from collections.abc import Iterable, Mapping

import numpy as np
import torch
from torch import nn

from netgraph import NetGraph
from prune_adapters.apply import remembered_masks
from prune_adapters.scores.batches import Batch, Batches, Loss, LossOfWeights, checked_scores, paired
from prune_adapters.scores.scored import scored_parameters

__all__ = ["grasp_scores"]


def grasp_scores(
    model: nn.Module,
    data: Batch | Batches,
    *,
    loss: Loss = nn.functional.cross_entropy,
    temperature: float = 200.0,
    batch_size: int = 128,
    seed: int | np.random.Generator | None = 0,
    parameters: Iterable[str] | None = None,
    graph: NetGraph | None = None,
) -> dict[str, torch.Tensor]:
    """Return ``w * (H g)`` for each weight w, with g the gradient and H the Hessian of the mean loss.

    That is half of what ``g.g`` loses, to first order, when the weight becomes 0: high scores keep the gradient large.

    Parameters
    ----------
    model, data, loss, batch_size, seed, parameters, graph
        As in `snip_scores`. Batches are kept in memory for the second pass.
    temperature : float
        The outputs are divided by it before the loss sees them, so that at initialization a softmax is far from
        certain. 1 leaves them as they are.

    Returns
    -------
    dict of str to Tensor
        Of either sign; shape and device of the parameter, float64 where the parameter is, else float32. Weights that a
        remembered mask removes count as 0, are no part of g, and score -inf: any other weight is kept before them.
        A parameter that the loss does not depend on scores 0.

    Raises
    ------
    ValueError
        As `snip_scores`; the temperature is not positive; or it is not 1 where the model does not return one tensor.
    FloatingPointError
        A score is not finite.

    Notes
    -----
    The sign is the opposite of [1]_, which scores ``-w * (H g)`` and removes the weights with the highest score. Else
    as there: g and H are those of the scored weights only (no biases or norms), over all examples, and the product is
    exact. Differs in that the data are whatever batches come, where [1]_ draws ten examples of each class. Two forward
    and three backward passes.

    References
    ----------
    .. [1] Wang, Zhang and Grosse, "Picking winning tickets before training by preserving gradient flow", ICLR 2020,
       equation 8 and algorithm 2.

    Examples
    --------
    The loss (3a + b)^2 / 2 at a = b = 1 has the gradient (12, 4) and the Hessian [[9, 3], [3, 1]]:

    >>> layer = nn.Linear(2, 1, bias=False)
    >>> _ = layer.weight.data.fill_(1.0)
    >>> data = torch.tensor([[3.0, 1.0]]), torch.zeros(1, 1)
    >>> grasp_scores(layer, data, loss=lambda output, target: (output - target).square().sum() / 2, temperature=1)
    {'weight': tensor([[120.,  40.]])}
    """
    if not temperature > 0:
        raise ValueError(f"temperature: expected a number above 0, got {temperature}")
    scored = scored_parameters(model, parameters, graph)
    of_weights = LossOfWeights.of(model, scored, _cooled(loss, temperature), seed)
    batches = list(paired(data, batch_size))
    masks = remembered_masks(model)
    gradient = {name: g * masks[name] if name in masks else g for name, g in of_weights.gradient(batches).items()}
    product = of_weights.curvature(batches, gradient)
    scores = checked_scores({name: w.detach() * product[name] for name, w in of_weights.weights.items()})
    return _removed_last(scores, masks)


def _cooled(loss: Loss, temperature: float) -> Loss:
    def cooled(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        if temperature == 1:
            return loss(outputs, targets)
        if not isinstance(outputs, torch.Tensor):
            raise ValueError(
                f"temperature: expected a model that returns one tensor, got {type(outputs).__name__}; "
                "pass temperature=1 and let the loss divide its logits"
            )
        return loss(outputs / temperature, targets)

    return cooled


def _removed_last(scores: dict[str, torch.Tensor], masks: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: score.where(masks[name], -torch.inf) if name in masks else score for name, score in scores.items()}
