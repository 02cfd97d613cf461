"""Masks on a model: applied in place, read back, removed without a trace.

Removed weights are zeros in the model's own parameters, so forward, backward, ``state_dict`` and compilation are those
of the dense model. The masks lie beside the parameters (`prune_adapters.kept`): they move, copy and pickle with the
model, and a ``state_dict`` does not hold them.
"""

from collections.abc import Mapping

import torch
from torch import nn

from prune_adapters.errors import MaskError
from prune_adapters.keep import detach_keepers
from prune_adapters.kept import forget, remember, remembered, weight_and_bits, zero
from prune_adapters.masks import bare_module, check_masks, parameter_owners
from prune_adapters.ops import unpack_mask
from prune_adapters.shards import joined, local, whole

__all__ = ["apply_masks", "remembered_masks", "remove_masks"]

LENGTHS = {"original1": "original0", "weight_v": "weight_g"}
"""Weight norm: the direction of the rows, and the parameter with their lengths."""


def apply_masks(model: nn.Module, masks: Mapping[str, torch.Tensor]) -> nn.Module:
    """Return `model` with its removed weights set to 0; the model remembers the masks.

    A parameter masked before gets the new mask; one that `masks` leaves out keeps its old one. Loading a dense
    checkpoint with ``load_state_dict`` applies the masks again. Training moves removed weights unless `keep_masks`
    holds them.

    Parameters
    ----------
    model : Module
        Changed in place. Its ``state_dict`` keeps the same keys.
    masks : mapping of str to Tensor of bool
        Shape of the parameter, True = kept; copied, onto the device of the parameter.

    Returns
    -------
    Module
        `model` itself.

    Raises
    ------
    MaskError
        A name, shape or dtype does not fit (see `check_masks`), or a mask removes a whole row that weight norm
        divides by the length of. Nothing has been changed then.

    Notes
    -----
    A mask takes a bit a weight. It is no buffer of the model: DistributedDataParallel does not send it around.

    In several processes give each the same masks, whole; nothing is sent. Where ``fully_shard`` (FSDP2) or
    ``parallelize_module`` has spread a parameter over the ranks, each keeps the bits of its part alone. Masks from
    before ``fully_shard`` go on; those from before another change of how parameters are spread raise MaskError. The
    older class FullyShardedDataParallel, whose parameters have lost their shapes, is not followed.

    Examples
    --------
    >>> layer = nn.Linear(2, 1)
    >>> _ = apply_masks(layer, {"weight": torch.tensor([[True, False]])})
    >>> layer.weight[0, 1].item(), list(layer.state_dict())
    (0.0, ['weight', 'bias'])
    """
    owners = parameter_owners(model)
    checked = {name: whole(mask) for name, mask in check_masks(model, masks).items()}
    for name, mask in checked.items():
        _check_rows(name, mask, *owners[name][0])
    for name, mask in checked.items():
        remember(mask, owners[name])
    zero([weight_and_bits(*owners[name][0]) for name in checked])
    return model


def remembered_masks(model: nn.Module) -> dict[str, torch.Tensor]:
    """Return the masks that `model` remembers.

    Parameters
    ----------
    model : Module
        If its parameters are spread over ranks this is a collective: all of them call it, and get the whole masks.

    Returns
    -------
    dict of str to Tensor of bool
        In the order of ``named_parameters()``, on the devices of the parameters. New tensors at each call: to change
        what is masked, call `apply_masks`.

    Examples
    --------
    >>> layer = apply_masks(nn.Linear(2, 1), {"weight": torch.tensor([[True, False]])})
    >>> remembered_masks(layer)
    {'weight': tensor([[ True, False]])}
    """
    masked = {(id(module), key) for module, key in remembered(model)}
    found: dict[str, torch.Tensor] = {}
    for name, owners in parameter_owners(model).items():
        for module, key in [(m, k) for m, k in owners if (id(m), k) in masked][:1]:
            weight, bits = weight_and_bits(module, key)
            found[name] = joined(unpack_mask(bits, local(weight).shape), weight)
    return found


def remove_masks(model: nn.Module) -> nn.Module:
    """Return `model` without the masks it remembers: the exact inverse of `apply_masks`, but for the lost values.

    Removed weights stay 0 until something trains them. What `keep_masks` attached to optimizers is detached.

    Parameters
    ----------
    model : Module
        Changed in place.

    Returns
    -------
    Module
        `model` itself.

    Examples
    --------
    >>> layer = apply_masks(nn.Linear(2, 1), {"weight": torch.tensor([[True, False]])})
    >>> remembered_masks(remove_masks(layer)), layer.weight[0, 1].item()
    ({}, 0.0)
    """
    for module in bare_module(model).modules():
        forget(module)
    detach_keepers(model)
    return model


def _check_rows(name: str, mask: torch.Tensor, module: nn.Module, key: str) -> None:
    lengths = LENGTHS.get(key)
    if lengths not in module._parameters:
        return
    rows = mask.int().sum_to_size(module.get_parameter(lengths).shape)
    if empty := int((rows == 0).sum()):
        raise MaskError(
            f"mask for {name!r}: removes all weights of {empty} of {rows.numel()} rows, by whose length weight norm "
            "divides; keep one weight in each row, or remove weight norm first"
        )
