"""Soft masks: removed weights read as 0 but keep their values, and may go on learning.

For methods that bring weights back (straight-through estimators, dynamic sparse training). Each masked parameter gets a
parametrization of ``torch.nn.utils.parametrize``, so that the layer sees ``torch.where(mask, weight, 0)``. That costs a
pass over the weights in each forward pass and a copy of them in memory; `apply_masks` costs neither.
"""

from collections.abc import Iterator, Mapping

import torch
from torch import nn
from torch.nn.utils import parametrize

from prune_adapters.apply import remembered_masks
from prune_adapters.errors import MaskError
from prune_adapters.masks import bare_module, check_masks, parameter_owners
from prune_adapters.shards import is_spread

__all__ = ["apply_soft_masks", "remove_soft_masks", "soft_masks"]

GRADIENTS = ("all", "kept")


class _StraightThrough(torch.autograd.Function):
    """Zero what is removed; hand the gradient on as if nothing had been."""

    @staticmethod
    def forward(weight: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
        return torch.where(kept, weight, 0)

    @staticmethod
    def setup_context(ctx: object, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        pass

    @staticmethod
    def backward(ctx: object, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        return gradient, None


class _SoftMask(nn.Module):
    """The parametrization; its mask is part of the ``state_dict``."""

    def __init__(self, kept: torch.Tensor, *, straight: bool) -> None:
        super().__init__()
        self.register_buffer("kept", kept)
        self.straight = straight

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        kept = self.get_buffer("kept")
        return _StraightThrough.apply(weight, kept) if self.straight else torch.where(kept, weight, 0)


def apply_soft_masks(model: nn.Module, masks: Mapping[str, torch.Tensor], *, gradient: str = "all") -> nn.Module:
    """Return `model` with layers that read 0 where the masks remove a weight; the weights keep their values.

    Parameters
    ----------
    model : Module
        Changed in place. The ``state_dict`` has ``parametrizations.weight.original`` in place of ``weight``, and the
        mask. The parameters are the same objects, so an optimizer goes on.
    masks : mapping of str to Tensor of bool
        Shape of the parameter, True = kept; copied, onto the device of the parameter. To change masks, call
        `remove_soft_masks` first.
    gradient : {"all", "kept"}
        "all": a removed weight gets the gradient that a weight of 0 in its place would get (straight-through). "kept":
        it gets 0.

    Returns
    -------
    Module
        `model` itself.

    Raises
    ------
    MaskError
        A name, shape or dtype does not fit; the model remembers a mask of `apply_masks` for the same parameter; or
        the parameter belongs to a recurrent layer, which does not read parametrized weights, is parametrized, or is
        spread over ranks.
        Nothing has been changed then.
    ValueError
        `gradient` is none of the words.

    Examples
    --------
    >>> layer = nn.Linear(2, 1, bias=False)
    >>> _ = layer.weight.data.copy_(torch.tensor([[3.0, 4.0]]))
    >>> _ = apply_soft_masks(layer, {"weight": torch.tensor([[True, False]])})
    >>> layer(torch.tensor([1.0, 1.0])).item(), layer.parametrizations.weight.original.tolist()
    (3.0, [[3.0, 4.0]])

    To make the masks hard, and the layer a plain one:

    >>> from prune_adapters.apply import apply_masks
    >>> masks = soft_masks(layer)
    >>> apply_masks(remove_soft_masks(layer), masks).weight.tolist()
    [[3.0, 0.0]]
    """
    if gradient not in GRADIENTS:
        raise ValueError(f"gradient: expected one of {', '.join(map(repr, GRADIENTS))}, got {gradient!r}")
    owners = parameter_owners(model)
    checked = check_masks(model, masks)
    remembered = remembered_masks(model)
    for name in checked:
        _check_place(name, owners[name], name in remembered)
    for name, mask in checked.items():
        own = mask.to(owners[name][0][0].get_parameter(owners[name][0][1]).device, copy=True)
        for module, key in owners[name]:
            parametrize.register_parametrization(module, key, _SoftMask(own, straight=gradient == "all"))
    return model


def soft_masks(model: nn.Module) -> dict[str, torch.Tensor]:
    """Return the masks of `apply_soft_masks`, under the names that the parameters have without them.

    Parameters
    ----------
    model : Module

    Returns
    -------
    dict of str to Tensor of bool
        The tensors in use, not copies: changing one in place between two steps changes what is masked.

    Examples
    --------
    >>> layer = apply_soft_masks(nn.Linear(2, 1), {"weight": torch.tensor([[True, False]])})
    >>> soft_masks(layer)
    {'weight': tensor([[ True, False]])}
    """
    found: dict[int, tuple[str, torch.Tensor]] = {}
    for name, module, key, mask in _softly_masked(model):
        weight = module.get_submodule(f"parametrizations.{key}").get_parameter("original")
        found.setdefault(id(weight), (name, mask.get_buffer("kept")))
    return dict(found.values())


def remove_soft_masks(model: nn.Module) -> nn.Module:
    """Return `model` without its soft masks: the exact inverse of `apply_soft_masks`.

    Parameters
    ----------
    model : Module
        Changed in place. All weights have the values that they kept, or learned, under the masks.

    Returns
    -------
    Module
        `model` itself.

    Examples
    --------
    >>> layer = nn.Linear(2, 1)
    >>> weight = layer.weight
    >>> masked = apply_soft_masks(layer, {"weight": torch.tensor([[True, False]])})
    >>> remove_soft_masks(masked).weight is weight
    True
    """
    for _, module, key, _ in list(_softly_masked(model)):
        parametrize.remove_parametrizations(module, key, leave_parametrized=False)
    return model


def _softly_masked(model: nn.Module) -> Iterator[tuple[str, nn.Module, str, _SoftMask]]:
    """Yield the plain name of each masked parameter, its module and attribute, and the parametrization."""
    for path, module in bare_module(model).named_modules():
        lists = module._modules.get("parametrizations")
        for key, steps in lists.named_children() if isinstance(lists, nn.ModuleDict) else ():
            if isinstance(steps, parametrize.ParametrizationList) and isinstance(steps[0], _SoftMask):
                yield f"{path}.{key}" if path else key, module, key, steps[0]


def _check_place(name: str, owners: list[tuple[nn.Module, str]], remembered: bool) -> None:
    if remembered:
        raise MaskError(f"mask for {name!r}: the model remembers another one; call remove_masks(model) first")
    for module, key in owners:
        if is_spread(module.get_parameter(key)):
            raise MaskError(
                f"mask for {name!r}: spread over ranks (DTensor); use apply_masks, or mask before fully_shard"
            )
        if isinstance(module, nn.RNNBase):
            raise MaskError(f"mask for {name!r}: recurrent layers do not read parametrized weights; use apply_masks")
        if isinstance(module, parametrize.ParametrizationList):
            raise MaskError(f"mask for {name!r}: already parametrized; use apply_masks, or remove_soft_masks first")
