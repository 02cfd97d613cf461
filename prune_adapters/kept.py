"""The masks that a model remembers: one bit a weight, beside the parameters, and zeros where the bits say so.

The bits of a module are the attribute ``_kept_bits`` of it: ``{name of its parameter: bits}``, in the row-major order
of the parameter whatever its memory layout. They copy and pickle with the module. They are no buffers, because averages
of models that take buffers in (EMA with ``use_buffers``) would round the bytes to other masks, data parallel training
would send them around in every step, and exported programs would hold them. In return they follow a parameter to
another device not at once but when they are next used.

Of a parameter that is spread over ranks there are the bits of the part that lies here. ``_kept_layouts`` then says
which part that is, and that of a plain parameter is not there.
"""

from collections.abc import Iterator

import torch
from torch import nn

from prune_adapters.errors import MaskError
from prune_adapters.masks import bare_module
from prune_adapters.ops import apply_masks_, pack_mask, unpack_mask
from prune_adapters.shards import is_spread, layout, local, own_part, resharded

__all__ = ["forget", "remember", "remembered", "weight_and_bits", "zero"]

ATTRIBUTE = "_kept_bits"
LAYOUTS = "_kept_layouts"

Pair = tuple[torch.Tensor, torch.Tensor]


def remember(mask: torch.Tensor, owners: list[tuple[nn.Module, str]]) -> None:
    """Put one copy of the mask beside the parameter wherever it is held."""
    module, key = owners[0]
    bits = _own_bits(mask, module.get_parameter(key))
    for module, key in owners:
        _put(bits, module, key)
        if _apply_again not in module._load_state_dict_post_hooks.values():
            module.register_load_state_dict_post_hook(_apply_again)


def forget(module: nn.Module) -> None:
    """Leave no trace of masks in one module."""
    module.__dict__.pop(LAYOUTS, None)
    if module.__dict__.pop(ATTRIBUTE, None) is None:
        return
    hooks = module._load_state_dict_post_hooks
    for number in [n for n, hook in hooks.items() if hook is _apply_again]:
        del hooks[number]


def remembered(model: nn.Module) -> Iterator[tuple[nn.Module, str]]:
    """Yield each masked parameter of the model as its module and attribute."""
    for module in resharded(bare_module(model)):
        for key in module.__dict__.get(ATTRIBUTE, ()):
            yield module, key


def weight_and_bits(module: nn.Module, key: str) -> Pair:
    """Return a masked parameter, and the bits of what of it lies on this rank, on the same device."""
    weight = module._parameters.get(key)
    if weight is None:  # a parametrization after masking has put it out of reach
        raise MaskError(
            f"{type(module).__name__} remembers a mask for {key!r}, which is no parameter of it any more; "
            "call remove_masks before, and apply_masks after, a change of parametrization"
        )
    own: dict[str, torch.Tensor] = module.__dict__[ATTRIBUTE]
    if module.__dict__.get(LAYOUTS, {}).get(key, ()) != layout(weight):
        _spread(module, key, weight)
    bits = own[key]
    if bits.device != weight.device:
        bits = bits.to(weight.device)
        if not bits.is_meta:  # a parameter without values must not cost the model its masks
            own[key] = bits
    return weight, bits


def zero(pairs: list[Pair]) -> None:
    """Set the elements of what lies here of each tensor to +0.0 where its bits say so, in one pass over all."""
    if pairs:
        with torch.no_grad():
            apply_masks_([local(tensor) for tensor, _ in pairs], [bits for _, bits in pairs])
            # A DTensor counts its changes apart from its part, for autograd to see that it changed before backward.
            torch.autograd.graph.increment_version([tensor for tensor, _ in pairs if is_spread(tensor)])


def _own_bits(mask: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    return pack_mask(own_part(mask.to(weight.device), weight)).to(weight.device)


def _put(bits: torch.Tensor, module: nn.Module, key: str) -> None:
    module.__dict__.setdefault(ATTRIBUTE, {})[key] = bits
    module.__dict__.get(LAYOUTS, {}).pop(key, None)
    if spread := layout(module.get_parameter(key)):
        module.__dict__.setdefault(LAYOUTS, {})[key] = spread


def _spread(module: nn.Module, key: str, weight: torch.Tensor) -> None:
    """Keep only the own part of a mask that is whole because its parameter was when it was masked."""
    if key in module.__dict__.get(LAYOUTS, {}):
        raise MaskError(
            f"{type(module).__name__} remembers a part of a mask for {key!r}, which has been spread over the ranks in "
            "another way since; take remembered_masks before, and call apply_masks after, that change"
        )
    _put(_own_bits(unpack_mask(module.__dict__[ATTRIBUTE][key], weight.shape), weight), module, key)


def _apply_again(module: nn.Module, _: object) -> None:
    """Hook after ``load_state_dict``; a plain function, so that the model can be pickled."""
    zero([weight_and_bits(module, key) for key in module.__dict__.get(ATTRIBUTE, ())])
