"""Initial weights of masked layers, scaled to the inputs that each output still has."""

from collections.abc import Mapping

import torch
from torch import nn

from prune_adapters.groups import TRANSPOSED
from prune_adapters.masks import check_masks, parameter_owners

__all__ = ["correct_fan_in"]


@torch.no_grad()
def correct_fan_in(model: nn.Module, masks: Mapping[str, torch.Tensor]) -> nn.Module:
    """Return `model` with each output's weights multiplied by the square root of (all its inputs / kept inputs).

    Usual initialisations give weights a variance of one over the number of inputs, so an output that keeps a quarter
    of them starts with half the standard deviation. This restores it. Call it once, on freshly initialised
    weights that are to be trained with the masks.

    Parameters
    ----------
    model : Module
        Changed in place.
    masks : mapping of str to Tensor of bool
        As for `apply_masks`, which may be called before or after.

    Returns
    -------
    Module
        `model` itself. Outputs without a kept input stay as they are.

    Raises
    ------
    MaskError
        A name, shape or dtype does not fit; nothing has been changed then.

    Notes
    -----
    You et al. (ICML 2020) do this in their code (there by the number of kept outputs, which is the same in a regular
    graph); Regular Graph Pruning does not.

    Examples
    --------
    >>> layer = nn.Linear(4, 1, bias=False)
    >>> _ = nn.init.ones_(layer.weight)
    >>> correct_fan_in(layer, {"weight": torch.tensor([[True, False, False, False]])}).weight.tolist()
    [[2.0, 2.0, 2.0, 2.0]]
    """
    owners = parameter_owners(model)
    for name, mask in check_masks(model, masks).items():
        module, key = owners[name][0]
        weight = module.get_parameter(key)
        weight.mul_(_factor(mask, module).to(weight.device, weight.dtype))
    return model


def _factor(mask: torch.Tensor, module: nn.Module) -> torch.Tensor:
    """Return the factor of each output, in a shape that multiplies the weight."""
    if not isinstance(module, TRANSPOSED):
        kept = mask.flatten(1).sum(dim=1).double()
        factor = torch.where(kept > 0, (mask[:1].numel() / kept.clamp_min(1)).sqrt(), 1.0)
        return factor.reshape(-1, *[1] * (mask.dim() - 1))
    blocks = mask.unflatten(0, (module.groups, -1)).transpose(1, 2).flatten(3)
    kept = blocks.sum(dim=(2, 3)).double()
    factor = torch.where(kept > 0, (blocks.shape[2] * blocks.shape[3] / kept.clamp_min(1)).sqrt(), 1.0)
    per_input = factor[:, None].expand(-1, blocks.shape[2], -1).flatten(0, 1)
    return per_input.reshape(*per_input.shape, *[1] * (mask.dim() - 2))
