"""A model called with other values than its own, and nothing of it changed.

Parameters and buffers are lent for the time of one call, so that gradients go to tensors of ours and running statistics
into copies. What the model holds itself stays as it is: gradients, frozen parameters, shared ones.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import nn

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
    with _lent(bare, parameters, buffers):
        return bare(*args, **kwargs)


@contextmanager
def _lent(
    model: nn.Module, parameters: Mapping[str, torch.Tensor], buffers: Mapping[str, torch.Tensor]
) -> Iterator[None]:
    """Hold these tensors in the places of the model's own.

    torch.func.functional_call (2.13) leaves them in a module that is used twice, and in recurrent layers.
    """
    owners = parameter_owners(model)
    places: list[tuple[dict, str, torch.Tensor]] = [
        (m._parameters, key, value) for name, value in parameters.items() for m, key in owners[name]
    ]
    given = {id(own): buffers[name] for name, own in model.named_buffers() if name in buffers}
    tables = [m._buffers for m in model.modules()]
    places += [(table, key, given[id(own)]) for table in tables for key, own in table.items() if id(own) in given]
    recurrent = [m for m in model.modules() if isinstance(m, nn.RNNBase)]
    before = [(table, key, table[key]) for table, key, _ in places]
    flat = [m._flat_weights for m in recurrent]
    try:
        for table, key, value in places:
            table[key] = value
        for module in recurrent:
            module._flat_weights = [getattr(module, key, None) for key in module._flat_weights_names]
        yield
    finally:
        for table, key, value in before:
            table[key] = value
        for module, weights in zip(recurrent, flat, strict=True):
            module._flat_weights = weights
