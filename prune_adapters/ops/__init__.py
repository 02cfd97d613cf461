"""Operators for torch, compiled or in plain torch: one schema, one result."""

from prune_adapters.ops.band_stop import band_stop
from prune_adapters.ops.compiled import cuda_library, kernels, library
from prune_adapters.ops.conv import block_conv2d, pair_conv2d, sparse_conv2d
from prune_adapters.ops.cuda_blocks import blocks_by
from prune_adapters.ops.linear import block_linear, csr_linear, sddmm
from prune_adapters.ops.masks import apply_masks_, pack_mask, unpack_mask
from prune_adapters.ops.reach import count_consistent, reach_sources, reach_targets
from prune_adapters.ops.threshold import keep_largest, kth_largest

__all__ = [
    "apply_masks_",
    "band_stop",
    "block_conv2d",
    "block_linear",
    "blocks_by",
    "count_consistent",
    "csr_linear",
    "cuda_library",
    "keep_largest",
    "kernels",
    "kth_largest",
    "library",
    "pack_mask",
    "pair_conv2d",
    "reach_sources",
    "reach_targets",
    "sddmm",
    "sparse_conv2d",
    "unpack_mask",
]
