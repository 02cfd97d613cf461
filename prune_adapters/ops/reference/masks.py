"""The operators on masks in plain torch."""

from collections.abc import Sequence
from math import prod

import torch

__all__ = ["apply_masks_", "pack_mask", "unpack_mask"]

INTEGERS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


def apply_masks_(tensors: Sequence[torch.Tensor], bits: Sequence[torch.Tensor]) -> None:
    """Set the elements whose bit is 0 to +0.0, in place; see `prune_adapters.ops.apply_masks_`.

    The bits of an element, read as an integer, times 0 are +0.0 whatever the element was (infinity times 0.0 would be
    NaN). On a CPU that is four times as fast as ``masked_fill_`` (torch 2.13).
    """
    pairs = []
    masks: dict[tuple[int, torch.Size], torch.Tensor] = {}  # weights and optimizer state come with the same bits
    for tensor, own in zip(tensors, bits, strict=True):
        key = id(own), tensor.shape
        mask = masks[key] = masks[key] if key in masks else unpack_mask(own, tensor.shape)
        integers = INTEGERS.get(tensor.element_size())
        if integers is None:  # complex128
            tensor.masked_fill_(~mask, 0)
        else:
            pairs.append((tensor.detach().view(integers), mask))
    if pairs:
        torch._foreach_mul_([tensor for tensor, _ in pairs], [mask for _, mask in pairs])


def pack_mask(mask: torch.Tensor) -> torch.Tensor:
    """Return the bits of a mask; see `prune_adapters.ops.pack_mask`."""
    flags = mask.reshape(-1)
    octets = torch.nn.functional.pad(flags, (0, -len(flags) % 8)).view(-1, 8)
    return (octets * _values(mask.device)).sum(1, dtype=torch.uint8)


def unpack_mask(bits: torch.Tensor, size: Sequence[int]) -> torch.Tensor:
    """Return the mask of a size that has these bits; see `prune_adapters.ops.unpack_mask`.

    Eight flags at a time are taken from a table with one row for each byte.
    """
    every = torch.arange(256, device=bits.device)
    table = (every[:, None] & _values(bits.device).long()).ne(0).view(torch.int64).view(-1)
    flags = table.index_select(0, bits.int()).view(torch.bool)
    return flags[: prod(size)].view(size)


def _values(device: torch.device) -> torch.Tensor:
    """Return the value of each bit of a byte."""
    return torch.tensor([1 << k for k in range(8)], dtype=torch.uint8, device=device)
