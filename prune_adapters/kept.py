"""The masks that a model remembers: one bit a weight, beside the parameters, and zeros where the bits say so.

The bits of a module are the attribute ``_kept_bits`` of it: ``{name of its parameter: bits}``, in the row-major order
of the parameter whatever its memory layout. They copy and pickle with the module. They are no buffers, because averages
of models that take buffers in (EMA with ``use_buffers``) would round the bytes to other masks, data parallel training
would send them around in every step, and exported programs would hold them. In return they follow a parameter to
another device not at once but when they are next used.
"""

from collections.abc import Iterator

import torch
from torch import nn

from prune_adapters.errors import MaskError
from prune_adapters.masks import bare_module
from prune_adapters.ops import apply_masks_, pack_mask

__all__ = ["forget", "remember", "remembered", "weight_and_bits", "zero"]

ATTRIBUTE = "_kept_bits"

Pair = tuple[torch.Tensor, torch.Tensor]


def remember(mask: torch.Tensor, owners: list[tuple[nn.Module, str]]) -> None:
    """Put one copy of the mask beside the parameter wherever it is held."""
    module, key = owners[0]
    bits = pack_mask(mask.to(module.get_parameter(key).device))
    for module, key in owners:
        module.__dict__.setdefault(ATTRIBUTE, {})[key] = bits
        if _apply_again not in module._load_state_dict_post_hooks.values():
            module.register_load_state_dict_post_hook(_apply_again)


def forget(module: nn.Module) -> None:
    """Leave no trace of masks in one module."""
    if module.__dict__.pop(ATTRIBUTE, None) is None:
        return
    hooks = module._load_state_dict_post_hooks
    for number in [n for n, hook in hooks.items() if hook is _apply_again]:
        del hooks[number]


def remembered(model: nn.Module) -> Iterator[tuple[nn.Module, str]]:
    """Yield each masked parameter of the model as its module and attribute."""
    for module in bare_module(model).modules():
        for key in module.__dict__.get(ATTRIBUTE, ()):
            yield module, key


def weight_and_bits(module: nn.Module, key: str) -> Pair:
    """Return a masked parameter, and its bits on the same device."""
    weight = module._parameters.get(key)
    if weight is None:  # a parametrization after masking has put it out of reach
        raise MaskError(
            f"{type(module).__name__} remembers a mask for {key!r}, which is no parameter of it any more; "
            "call remove_masks before, and apply_masks after, a change of parametrization"
        )
    own: dict[str, torch.Tensor] = module.__dict__[ATTRIBUTE]
    bits = own[key]
    if bits.device != weight.device:
        bits = bits.to(weight.device)
        if not bits.is_meta:  # a parameter without values must not cost the model its masks
            own[key] = bits
    return weight, bits


def zero(pairs: list[Pair]) -> None:
    """Set the elements of each tensor to +0.0 where its bits say so, in one pass over all."""
    if pairs:
        with torch.no_grad():
            apply_masks_([tensor for tensor, _ in pairs], [bits for _, bits in pairs])


def _apply_again(module: nn.Module, _: object) -> None:
    """Hook after ``load_state_dict``; a plain function, so that the model can be pickled."""
    zero([weight_and_bits(module, key) for key in module.__dict__.get(ATTRIBUTE, ())])
