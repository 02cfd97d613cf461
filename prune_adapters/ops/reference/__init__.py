"""The operators in plain torch: what runs where there is no kernel, and what the kernels are tested against."""

from prune_adapters.ops.reference.band_stop import band_stop, band_stop_backward
from prune_adapters.ops.reference.conv import (
    block_conv2d,
    block_conv2d_backward,
    pair_conv2d,
    pair_conv2d_backward,
    sparse_conv2d,
    sparse_conv2d_backward,
)
from prune_adapters.ops.reference.linear import (
    block_linear,
    block_linear_backward,
    csr_linear,
    csr_linear_backward,
    sddmm,
)
from prune_adapters.ops.reference.masks import apply_masks_, pack_mask, unpack_mask
from prune_adapters.ops.reference.reach import count_consistent, reach_sources, reach_targets
from prune_adapters.ops.reference.threshold import keep_largest, kth_largest

__all__ = [
    "apply_masks_",
    "band_stop",
    "band_stop_backward",
    "block_conv2d",
    "block_conv2d_backward",
    "block_linear",
    "block_linear_backward",
    "count_consistent",
    "csr_linear",
    "csr_linear_backward",
    "keep_largest",
    "kth_largest",
    "pack_mask",
    "pair_conv2d",
    "pair_conv2d_backward",
    "reach_sources",
    "reach_targets",
    "sddmm",
    "sparse_conv2d",
    "sparse_conv2d_backward",
    "unpack_mask",
]
