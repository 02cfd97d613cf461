"""Inputs without targets, and the statistics of batch norms on them."""

from collections.abc import Sequence

import torch
from torch import nn
from torch.utils._pytree import tree_map_only

from prune_adapters.trace.example import ExampleInputs, split_inputs
from prune_adapters.trace.tracer import in_eval_mode

__all__ = ["Calibration", "batches_of", "recalibrate"]

Calibration = torch.Tensor | Sequence[ExampleInputs]
"""One tensor, which is cut into batches, or batches as the model takes them."""

NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


def recalibrate(model: nn.Module, calibration: Calibration, *, batch_size: int = 200) -> nn.Module:
    """Return the same model, the running statistics of its batch norms set to those of some inputs.

    Parameters
    ----------
    model : Module
        Changed in place: running means and variances alone. Everything but batch norms runs in eval mode meanwhile.
    calibration : Tensor, or sequence of batches
        Some hundreds of training inputs. Each batch counts alike.
    batch_size : int
        For a tensor: at most so many at a time; the batches are of one size or differ by one.

    Returns
    -------
    Module

    Raises
    ------
    ValueError
        There are no inputs.

    Examples
    --------
    >>> norm = recalibrate(nn.BatchNorm1d(1), torch.tensor([[1.0], [3.0]]))
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
    return model


def batches_of(calibration: Calibration, model: nn.Module, batch_size: int = 200) -> list[tuple[tuple, dict]]:
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
        raise ValueError("calibration: expected at least one input, got none; give some hundreds of training inputs")
    found: Sequence[ExampleInputs] = (
        calibration.tensor_split(-(-len(calibration) // batch_size))
        if isinstance(calibration, torch.Tensor)
        else calibration
    )
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    return [tree_map_only(torch.Tensor, lambda t: t.to(device), split_inputs(batch)) for batch in found]
