"""A model called with other values than its own, and nothing of it changed.

Parameters and buffers are put in for the time of one call (``torch.func.functional_call``), so that gradients go to
tensors of ours and running statistics into copies. Gradients, frozen parameters and shared ones stay as they are.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import nn
from torch.func import functional_call

from prune_adapters.apply import remembered_masks
from prune_adapters.masks import bare_module, parameter_owners

__all__ = ["call_with", "kept_values", "wide"]


def wide(value: torch.Tensor) -> torch.Tensor:
    """Return a tensor of half precision as float32, any other as it is.

    Parameters
    ----------
    value : Tensor

    Returns
    -------
    Tensor

    Examples
    --------
    >>> wide(torch.ones(1, dtype=torch.bfloat16))
    tensor([1.])
    """
    return value.float() if value.is_floating_point() and value.dtype.itemsize < 4 else value


def kept_values(model: nn.Module) -> dict[str, torch.Tensor]:
    """Return the values of all parameters, detached, with 0 where a remembered mask removes them.

    Parameters
    ----------
    model : Module

    Returns
    -------
    dict of str to Tensor
        The model's own memory where there is no mask.

    Examples
    --------
    >>> kept_values(nn.Linear(2, 1))["weight"].requires_grad
    False
    """
    masks = remembered_masks(model)
    values = {name: held[0][0].get_parameter(held[0][1]).detach() for name, held in parameter_owners(model).items()}
    return {name: torch.where(masks[name], v, 0) if name in masks else v for name, v in values.items()}


def call_with(
    model: nn.Module,
    parameters: Mapping[str, torch.Tensor],
    buffers: Mapping[str, torch.Tensor],
    args: tuple,
    kwargs: Mapping[str, object],
) -> object:
    """Return what the bare module returns with these values in place of its own.

    Parameters
    ----------
    model : Module
    parameters : mapping of str to Tensor
        By the names that they go by.
    buffers : mapping of str to Tensor
        By the names of ``named_buffers()`` of the bare module; changed where the model changes its buffers.
    args, kwargs
        Of the forward call.

    Returns
    -------
    object

    Examples
    --------
    >>> layer = nn.Linear(1, 1, bias=False)
    >>> call_with(layer, {"weight": torch.tensor([[3.0]])}, {}, (torch.tensor([[2.0]]),), {})
    tensor([[6.]])
    """
    bare = bare_module(model)
    inside = {id(parameter): name for name, parameter in bare.named_parameters()}
    owners = parameter_owners(bare)
    values = {inside[id(owners[n][0][0].get_parameter(owners[n][0][1]))]: value for n, value in parameters.items()}
    with _flat_weights_restored(bare):
        return functional_call(bare, {**values, **buffers}, args, dict(kwargs))


@contextmanager
def _flat_weights_restored(model: nn.Module) -> Iterator[None]:
    """Give recurrent layers their list of weights back, in which functional_call (torch 2.13) leaves the others."""
    before = [(m, list(m._flat_weights)) for m in model.modules() if isinstance(m, nn.RNNBase)]
    try:
        yield
    finally:
        for module, weights in before:
            module._flat_weights = weights
