"""Exact selection among the elements of many tensors, in plain torch.

No line waits for the device: the numbers of elements are known, and what depends on their values stays in tensors.
"""

from collections.abc import Sequence

import torch

from prune_adapters.ops.reference.masks import pack_mask, unpack_mask

__all__ = ["keep_largest", "kth_largest"]


def kth_largest(
    tensors: Sequence[torch.Tensor], candidates: Sequence[torch.Tensor], k: int, magnitude: bool
) -> torch.Tensor:
    """Return the k-th largest element, NaN if there is a NaN; see `prune_adapters.ops.kth_largest`."""
    return _bound(_joined(tensors, candidates, magnitude), k)


def keep_largest(
    tensors: Sequence[torch.Tensor], candidates: Sequence[torch.Tensor], keep: int, magnitude: bool
) -> tuple[list[torch.Tensor], torch.Tensor]:
    """Return the bits of the largest elements, and the least of them; see `prune_adapters.ops.keep_largest`."""
    joined = _joined(tensors, candidates, magnitude)
    bound = _bound(joined, keep)
    above, equal = joined > bound, joined == bound
    if candidates:  # the others are -inf, and so may the bound be
        equal &= torch.cat([unpack_mask(bits, (t.numel(),)) for t, bits in zip(tensors, candidates, strict=True)])
    kept = above | (equal & (equal.cumsum(0) <= keep - above.sum()))
    return [pack_mask(own) for own in kept.split([tensor.numel() for tensor in tensors])], bound


def _joined(tensors: Sequence[torch.Tensor], candidates: Sequence[torch.Tensor], magnitude: bool) -> torch.Tensor:
    """Return all elements in one tensor, in which those that do not compete are -inf and no zero has a sign."""
    flat = [tensor.reshape(-1) for tensor in tensors]
    if magnitude:
        flat = [tensor.abs() for tensor in flat]
    if candidates:
        masks = [unpack_mask(bits, (t.numel(),)) for t, bits in zip(flat, candidates, strict=True)]
        flat = [tensor.masked_fill(~mask, -torch.inf) for tensor, mask in zip(flat, masks, strict=True)]
    return torch.cat(flat) + 0.0


def _bound(joined: torch.Tensor, k: int) -> torch.Tensor:
    """Return the k-th largest element, infinity for k = 0."""
    bound = joined.new_full((), torch.inf) if k == 0 else joined.kthvalue(joined.numel() - k + 1).values
    return torch.where(joined.isnan().any(), torch.nan, bound)
