"""Inputs without targets, and the statistics of batch norms on them."""

from collections.abc import Sequence

import torch
from torch import nn
from torch.utils._pytree import tree_map_only

from prune_adapters.trace.example import ExampleInputs, split_inputs
from prune_adapters.trace.tracer import in_eval_mode

__all__ = ["Calibration", "batches_of", "refit_batch_norm"]

Calibration = torch.Tensor | Sequence[ExampleInputs]
"""One tensor, which is cut into batches, or batches as the model takes them."""

NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


def refit_batch_norm(model: nn.Module, calibration: Calibration, *, batch_size: int = 64) -> None:
    """Set the running statistics of every batch norm, in place, to those of some inputs.

    Parameters
    ----------
    model : Module
        Its parameters and its training mode stay; momentum too. All but the batch norms runs in eval mode.
    calibration : Tensor, or sequence of batches
        Each batch counts alike.
    batch_size : int
        For a tensor.

    Examples
    --------
    >>> norm = nn.BatchNorm1d(1)
    >>> refit_batch_norm(norm, torch.tensor([[1.0], [3.0]]))
    >>> norm.running_mean, norm.running_var
    (tensor([2.]), tensor([2.]))
    """
    norms = [m for m in model.modules() if isinstance(m, NORMS) and m.track_running_stats]
    before = [norm.momentum for norm in norms]
    batches = batches_of(calibration, model, batch_size)
    with torch.no_grad(), in_eval_mode(model):
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum, norm.training = None, True  # None: all batches alike
        try:
            for args, kwargs in batches if norms else ():
                model(*args, **kwargs)
        finally:
            for norm, momentum in zip(norms, before, strict=True):
                norm.momentum, norm.training = momentum, False


def batches_of(calibration: Calibration, model: nn.Module, batch_size: int = 64) -> list[tuple[tuple, dict]]:
    """Return the batches of calibration inputs as the arguments of forward calls, on the device of the model.

    Parameters
    ----------
    calibration : Tensor, or sequence of batches
    model : Module
    batch_size : int
        At most; the batches of a tensor are of one size or differ by one.

    Returns
    -------
    list of (tuple, dict)

    Raises
    ------
    ValueError
        There is no input.

    Examples
    --------
    >>> [args[0].tolist() for args, _ in batches_of(torch.arange(3), nn.ReLU(), 2)]
    [[0, 1], [2]]
    """
    if not len(calibration):
        raise ValueError("calibration: expected at least one input, got none; pass some of the training set")
    found: Sequence[ExampleInputs] = (
        calibration.tensor_split(-(-len(calibration) // batch_size))
        if isinstance(calibration, torch.Tensor)
        else calibration
    )
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    return [tree_map_only(torch.Tensor, lambda t: t.to(device), split_inputs(batch)) for batch in found]
