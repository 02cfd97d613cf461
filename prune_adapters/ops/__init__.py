"""Operators for torch, compiled or in plain torch: one schema, one result."""

from prune_adapters.ops.compiled import cuda_library, kernels, library
from prune_adapters.ops.cuda_blocks import blocks_by
from prune_adapters.ops.linear import csr_linear, sddmm
from prune_adapters.ops.masks import apply_masks_, pack_mask, unpack_mask

__all__ = [
    "apply_masks_",
    "blocks_by",
    "csr_linear",
    "cuda_library",
    "kernels",
    "library",
    "pack_mask",
    "sddmm",
    "unpack_mask",
]
