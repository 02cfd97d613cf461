"""Masks of ``torch.nn.utils.prune``, taken over.

torch keeps the weight under another name (``weight_orig``), a float mask in the ``state_dict`` (``weight_mask``), and a
hook that multiplies the two before each forward pass. Here the parameter gets its name back and the model remembers
the mask as after `apply_masks`. The parameter is the same object, so an optimizer that holds it goes on.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.utils.prune import BasePruningMethod

from prune_adapters.apply import apply_masks
from prune_adapters.errors import MaskError
from prune_adapters.masks import bare_module

__all__ = ["from_torch_prune"]


def from_torch_prune(model: nn.Module) -> nn.Module:
    """Return `model` with the masks of ``torch.nn.utils.prune`` as masks that it remembers; it computes the same.

    Hooks, float masks and renamed parameters are gone, so the keys of the ``state_dict`` are those of the dense model.
    Any method will do: global, structured, stacked, of biases or attention. Other hooks stay, in their order.

    Parameters
    ----------
    model : Module
        Changed in place. Removed weights, which torch keeps as they were, become 0.

    Returns
    -------
    Module
        `model` itself.

    Raises
    ------
    ValueError
        No parameter of the model has been through ``torch.nn.utils.prune``.
    MaskError
        A mask holds other values than 0 and 1, or a parameter that several modules share is not masked alike in all of
        them. Nothing has been changed then.

    Notes
    -----
    torch puts a pruned parameter behind the others of its module. They are ordered anew, biases last, which for the
    layers of torch is the order that they had.

    Examples
    --------
    >>> from torch.nn.utils import prune
    >>> layer = prune.l1_unstructured(nn.Linear(4, 1), "weight", amount=2)
    >>> list(layer.state_dict())
    ['bias', 'weight_orig', 'weight_mask']
    >>> list(from_torch_prune(layer).state_dict())
    ['weight', 'bias']
    """
    bare = bare_module(model)
    found = [_Pruned(path, module, key) for path, module in bare.named_modules() for key in _pruned_keys(module)]
    if not found:
        raise ValueError("from_torch_prune: no parameter has been pruned with torch.nn.utils.prune")
    for pruned in found:
        _check_values(pruned)
    _check_shared(bare, found)
    masks = {pruned.name: pruned.mask != 0 for pruned in found}
    for pruned in found:
        _restore(pruned)
    return apply_masks(model, masks)


@dataclass(frozen=True)
class _Pruned:
    """A parameter that torch has pruned: path and module it belongs to, and the name it had there."""

    path: str
    module: nn.Module
    key: str

    @property
    def name(self) -> str:
        return f"{self.path}.{self.key}" if self.path else self.key

    @property
    def weight(self) -> nn.Parameter:
        return self.module.get_parameter(f"{self.key}_orig")

    @property
    def mask(self) -> torch.Tensor:
        return self.module.get_buffer(f"{self.key}_mask")


def _pruned_keys(module: nn.Module) -> Iterator[str]:
    for hook in module._forward_pre_hooks.values():
        if isinstance(hook, BasePruningMethod):
            yield hook._tensor_name


def _check_values(pruned: _Pruned) -> None:
    other = int(((pruned.mask != 0) & (pruned.mask != 1)).sum())
    if other:
        raise MaskError(
            f"mask for {pruned.name!r}: {other} of {pruned.mask.numel()} values are neither 0 nor 1; "
            "torch.nn.utils.prune.remove makes them part of the weight"
        )


def _check_shared(model: nn.Module, found: list[_Pruned]) -> None:
    """Refuse a parameter that is masked in another way, or not at all, where it is used a second time."""
    first: dict[int, _Pruned] = {}
    for pruned in found:
        known = first.setdefault(id(pruned.weight), pruned)
        if not torch.equal(known.mask, pruned.mask):
            raise MaskError(f"mask for {pruned.name!r}: differs from the one for {known.name!r}, the same parameter")
    places = {(id(pruned.module), f"{pruned.key}_orig") for pruned in found}
    for path, module in model.named_modules():
        for key, parameter in module._parameters.items():
            if id(parameter) in first and (id(module), key) not in places:
                name = first[id(parameter)].name
                raise MaskError(f"mask for {name!r}: the same parameter is used without one as {path}.{key}")


def _restore(pruned: _Pruned) -> None:
    """Give the parameter its name back, as ``torch.nn.utils.prune.remove`` does, but leave its values alone."""
    module, key, weight = pruned.module, pruned.key, pruned.weight
    for number, hook in list(module._forward_pre_hooks.items()):
        if isinstance(hook, BasePruningMethod) and hook._tensor_name == key:
            del module._forward_pre_hooks[number]
    del module._parameters[f"{key}_orig"], module._buffers[f"{key}_mask"], module.__dict__[key]
    setattr(module, key, weight)  # A recurrent layer takes notice of this, so that it uses the parameter itself.
    order = getattr(module, "_flat_weights_names", [])
    for other in sorted(module._parameters, key=lambda k: (order.index(k) if k in order else len(order), "bias" in k)):
        module._parameters[other] = module._parameters.pop(other)
