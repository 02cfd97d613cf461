"""How good a sub-network is with the weights of a `PruningNet`, its batch norms calibrated anew."""

import torch
from torch import nn
from torch.nn import functional

from prune_adapters.graph_pruning.net.calibration import recalibrate
from prune_adapters.graph_pruning.net.pruning_net import PruningNet
from prune_adapters.graph_pruning.net.skeletons import BatchNorm
from prune_adapters.graph_pruning.search.candidate import Evaluation
from prune_adapters.graph_pruning.space.widths import Counts

__all__ = ["evaluate", "evaluate_model", "instance_of"]


def instance_of(net: PruningNet, counts: Counts) -> nn.Module:
    """Return a sub-network with the weights of the net, as a module of its own; its batch norms have seen nothing yet.

    Parameters
    ----------
    net : PruningNet
        Not changed.
    counts : tuple of int

    Returns
    -------
    Module
        ``net.space.narrowed(counts)``, on the device of the net and in the model's mode.

    Examples
    --------
    >>> from prune_adapters.graph_pruning.space.space import width_space
    >>> model = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 2))
    >>> net = PruningNet(width_space(model, torch.ones(1, 3)))
    >>> torch.equal(instance_of(net, (4,))[0].weight, net.weights((4,))["0.weight"])
    True
    """
    with torch.no_grad():
        weights = net.weights(counts)
        module = net.space.narrowed(counts).to(next(net.parameters()).device)
        for name, parameter in module.named_parameters():
            parameter.copy_(weights[name])
    for norm in module.modules():
        if isinstance(norm, BatchNorm):
            norm.reset_running_stats()
    return module


def evaluate_model(
    model: nn.Module, holdout: tuple[torch.Tensor, torch.Tensor], *, batch_size: int = 500
) -> Evaluation:
    """Return the mean cross entropy and the accuracy of a classifier, in eval mode.

    Parameters
    ----------
    model : Module
        Its mode is as before afterwards.
    holdout : pair of Tensor, shapes (n, ...) and (n,)
        Inputs, and classes as int.
    batch_size : int
        Inputs at a time.

    Returns
    -------
    Evaluation

    Raises
    ------
    ValueError
        There are no inputs, or inputs and targets differ in length.

    Examples
    --------
    >>> evaluate_model(nn.Identity(), (torch.eye(3), torch.tensor([0, 1, 1])))
    Evaluation(loss=0.88..., accuracy=0.66...)
    """
    x, y = holdout
    if len(x) != len(y) or len(y) == 0:
        raise ValueError(f"holdout: expected as many targets as inputs and at least one, got {len(x)} and {len(y)}")
    modes = {module: module.training for module in model.modules()}
    model.eval()
    loss, right = 0.0, 0
    with torch.no_grad():
        for inputs, targets in zip(x.split(batch_size), y.split(batch_size), strict=True):
            device = _device(model, inputs)
            outputs = model(inputs.to(device))
            loss += functional.cross_entropy(outputs, targets.to(device), reduction="sum").item()
            right += int((outputs.argmax(dim=1) == targets.to(device)).sum())
    for module, mode in modes.items():
        module.training = mode
    return Evaluation(loss / len(y), right / len(y))


def evaluate(
    net: PruningNet,
    counts: Counts,
    *,
    calibration: torch.Tensor,
    holdout: tuple[torch.Tensor, torch.Tensor],
    batch_size: int = 500,
) -> Evaluation:
    """Return how good a sub-network is with the weights that the net has for it.

    Its batch norms are calibrated first, as in MetaPruning [1]_: the statistics of one sub-network are not those of
    another. ``functools.partial(evaluate, net, calibration=..., holdout=...)`` is an objective for the searches.

    Parameters
    ----------
    net : PruningNet
        Not changed.
    counts : tuple of int
    calibration : Tensor, shape (n, ...)
        Training inputs, some hundreds; see `recalibrate`.
    holdout : pair of Tensor, shapes (n, ...) and (n,)
        Inputs and classes that took no part in the training.
    batch_size : int
        Inputs at a time.

    Returns
    -------
    Evaluation

    Raises
    ------
    ValueError
        The counts are none of the space, or there is no data.

    References
    ----------
    .. [1] Liu et al., "MetaPruning", ICCV 2019, section 3.2.

    Examples
    --------
    >>> from prune_adapters.graph_pruning.space.space import width_space
    >>> model = nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 2))
    >>> net, x = PruningNet(width_space(model, torch.ones(1, 3))), torch.rand(8, 3)
    >>> evaluate(net, (4,), calibration=x, holdout=(x, torch.zeros(8, dtype=torch.int64))).loss > 0
    True
    """
    model = recalibrate(instance_of(net, counts), calibration, batch_size=batch_size)
    return evaluate_model(model, holdout, batch_size=batch_size)


def _device(model: nn.Module, like: torch.Tensor) -> torch.device:
    return next((p.device for p in model.parameters()), like.device)
