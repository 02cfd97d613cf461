"""How good a sub-network is with the weights of a `PruningNet`, its batch norms calibrated anew."""

import torch
from torch import nn
from torch.nn import functional

from prune_adapters.graph_pruning.candidate import Evaluation
from prune_adapters.graph_pruning.pruning_net import PruningNet
from prune_adapters.graph_pruning.skeletons import BatchNorm
from prune_adapters.graph_pruning.widths import Counts

__all__ = ["evaluate", "evaluate_model", "recalibrate", "sub_network"]

INITS = ("generated", "model")


def sub_network(net: PruningNet, counts: Counts, *, init: str = "generated") -> nn.Module:
    """Return a sub-network as an ordinary module that shares nothing with the `PruningNet`.

    Parameters
    ----------
    net : PruningNet
        Not changed.
    counts : tuple of int
    init : {"generated", "model"}
        Its weights: those of `PruningNet.weights`, with batch norms that have seen nothing yet (call `recalibrate`), or
        the leading channels of the model itself, statistics included.

    Returns
    -------
    Module
        ``net.space.narrowed(counts)``, on the device of the net and in the model's mode.

    Raises
    ------
    ValueError
        `init` is unknown, or the counts are none of the space.

    Examples
    --------
    >>> from prune_adapters.graph_pruning.space import width_space
    >>> model = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 2))
    >>> net = PruningNet(width_space(model, torch.ones(1, 3)))
    >>> narrow = sub_network(net, (4,))
    >>> narrow
    Sequential(
      (0): Linear(in_features=3, out_features=4, bias=True)
      (1): ReLU()
      (2): Linear(in_features=4, out_features=2, bias=True)
    )
    >>> torch.equal(narrow[0].weight, net.weights((4,))["0.weight"])
    True
    """
    if init not in INITS:
        raise ValueError(f"init: expected one of {', '.join(map(repr, INITS))}, got {init!r}")
    device = next(net.parameters()).device
    if init == "model":
        return net.space.narrowed(counts).to(device)
    with torch.no_grad():
        weights = net.weights(counts)
        module = net.space.narrowed(counts).to(device)
        for name, parameter in module.named_parameters():
            parameter.copy_(weights[name])
    for norm in _batch_norms(module):
        norm.reset_running_stats()
    return module


def recalibrate(model: nn.Module, inputs: torch.Tensor, *, batch_size: int = 200) -> nn.Module:
    """Return the same model with statistics of its batch norms that are means over batches of `inputs`.

    Parameters
    ----------
    model : Module
        Changed in place: running means and variances alone. Everything but batch norms runs in eval mode meanwhile.
    inputs : Tensor, shape (n, ...)
        Some hundreds of training pictures.
    batch_size : int
        Inputs at a time, at most; the batches are of one size or differ by one.

    Returns
    -------
    Module

    Raises
    ------
    ValueError
        There are no inputs.

    Examples
    --------
    >>> recalibrate(nn.BatchNorm1d(1), torch.tensor([[1.0], [3.0]])).running_mean
    tensor([2.])
    """
    if len(inputs) == 0:
        raise ValueError("recalibrate: expected at least one input, got none; give some hundreds of training pictures")
    norms = _batch_norms(model)
    if not norms:
        return model
    modes = {module: module.training for module in model.modules()}
    momenta = [norm.momentum for norm in norms]
    model.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.train()
        norm.momentum = None  # torch's word for a cumulative mean
    try:
        with torch.no_grad():
            for batch in inputs.tensor_split(-(-len(inputs) // batch_size)):
                model(batch.to(_device(model, batch)))
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        for module, mode in modes.items():
            module.training = mode
    return model


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
    >>> from prune_adapters.graph_pruning.space import width_space
    >>> model = nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 2))
    >>> net, x = PruningNet(width_space(model, torch.ones(1, 3))), torch.rand(8, 3)
    >>> evaluate(net, (4,), calibration=x, holdout=(x, torch.zeros(8, dtype=torch.int64))).loss > 0
    True
    """
    model = recalibrate(sub_network(net, counts), calibration, batch_size=batch_size)
    return evaluate_model(model, holdout, batch_size=batch_size)


def _batch_norms(model: nn.Module) -> list[BatchNorm]:
    return [module for module in model.modules() if isinstance(module, BatchNorm) and module.track_running_stats]


def _device(model: nn.Module, like: torch.Tensor) -> torch.device:
    return next((p.device for p in model.parameters()), like.device)
