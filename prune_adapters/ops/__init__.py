"""Operators for torch, compiled or in plain torch: one schema, one result."""

from prune_adapters.ops.compiled import library
from prune_adapters.ops.conv import block_conv2d, pair_conv2d, sparse_conv2d
from prune_adapters.ops.linear import block_linear, csr_linear, sddmm
from prune_adapters.ops.masks import apply_masks_, pack_mask, unpack_mask

__all__ = [
    "apply_masks_",
    "block_conv2d",
    "block_linear",
    "csr_linear",
    "library",
    "pack_mask",
    "pair_conv2d",
    "sddmm",
    "sparse_conv2d",
    "unpack_mask",
]
