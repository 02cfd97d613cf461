"""One step of the training of a `PruningNet`: which sub-networks it takes, and their mean gradient."""

from collections.abc import Sequence

import numpy as np
import torch
from torch.nn import functional

from prune_adapters.graph_pruning.net.pruning_net import PruningNet
from prune_adapters.graph_pruning.space.space import WidthSpace
from prune_adapters.graph_pruning.space.widths import Counts

__all__ = ["drawn_candidates", "step_gradients"]


def drawn_candidates(
    space: WidthSpace, *, lowest: float, sandwich: bool, draws: int, seed: int | np.random.Generator | None
) -> list[Counts]:
    """Return the sub-networks of one step: with the sandwich rule the whole one and the narrowest, then some at random.

    Parameters
    ----------
    space : WidthSpace
    lowest : float
        The ratio of each width is uniform on [lowest, 1], independent of the others.
    sandwich : bool
    draws : int
        How many to draw.
    seed : int, numpy Generator or None

    Returns
    -------
    list of counts

    Examples
    --------
    >>> from prune_adapters.graph_pruning.space.space import width_space
    >>> model = torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2))
    >>> space = width_space(model, torch.ones(1, 3))
    >>> drawn_candidates(space, lowest=0.25, sandwich=True, draws=1, seed=0)
    [(8,), (2,), (6,)]
    """
    n_widths = len(space.widths)
    fixed = [space.full, space.counts([lowest] * n_widths)] if sandwich else []
    ratios = np.random.default_rng(seed).uniform(lowest, 1.0, (draws, n_widths))
    return fixed + [space.counts(row) for row in ratios.tolist()]


def step_gradients(
    net: PruningNet,
    x: torch.Tensor,
    y: torch.Tensor,
    candidates: Sequence[Counts],
    *,
    distill: bool = False,
    label_smoothing: float = 0.0,
) -> list[float]:
    """Add the mean gradient of some sub-networks to the parameters of a net; return the loss of each on the classes.

    Each sub-network runs forward and backward by itself, so that one at a time takes memory; the gradients of their
    weights go through the generators together.

    Parameters
    ----------
    net : PruningNet
    x, y : Tensor
        A batch of inputs, and of classes as int.
    candidates : sequence of counts
    distill : bool
        All but the first learn what the first gives out, in place of the classes.
    label_smoothing : float

    Returns
    -------
    list of float
        Cross entropy in nats against the smoothed classes, whatever was learned from.

    Examples
    --------
    >>> from prune_adapters.graph_pruning.space.space import width_space
    >>> model = torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2))
    >>> net = PruningNet(width_space(model, torch.ones(1, 3)))
    >>> one, other = step_gradients(net, torch.ones(4, 3), torch.tensor([0, 1, 0, 1]), [(8,), (4,)], distill=True)
    >>> one > 0, all(parameter.grad is not None for parameter in net.parameters())
    (True, True)
    """
    roots = net.weights_of(candidates)
    leaves = [{n: w.detach().requires_grad_(w.requires_grad) for n, w in weights.items()} for weights in roots]
    losses, teacher = [], None
    for counts, weights in zip(candidates, leaves, strict=True):
        outputs = net(x, counts, weights=weights)
        on_classes = functional.cross_entropy(outputs, y, label_smoothing=label_smoothing)
        loss = on_classes if teacher is None else functional.cross_entropy(outputs, teacher)
        (loss / len(candidates)).backward()
        losses.append(on_classes.detach())
        if distill and teacher is None:
            teacher = outputs.detach().softmax(dim=1)
    pairs = [(root, leaf.grad) for r, own in zip(roots, leaves, strict=True) for root, leaf in _matched(r, own)]
    torch.autograd.backward([root for root, _ in pairs], [gradient for _, gradient in pairs])
    return torch.stack(losses).tolist()


def _matched(
    roots: dict[str, torch.Tensor], leaves: dict[str, torch.Tensor]
) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Return each generated weight with its detached twin, where a gradient has come to it."""
    return [(roots[name], leaf) for name, leaf in leaves.items() if leaf.grad is not None]
