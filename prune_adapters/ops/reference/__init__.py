"""The operators in plain torch: what runs where there is no kernel, and what the kernels are tested against."""

from prune_adapters.ops.reference.band_stop import band_stop, band_stop_backward
from prune_adapters.ops.reference.masks import apply_masks_, pack_mask, unpack_mask
from prune_adapters.ops.reference.reach import count_consistent, reach_sources, reach_targets
from prune_adapters.ops.reference.threshold import keep_largest, kth_largest

__all__ = [
    "apply_masks_",
    "band_stop",
    "band_stop_backward",
    "count_consistent",
    "keep_largest",
    "kth_largest",
    "pack_mask",
    "reach_sources",
    "reach_targets",
    "unpack_mask",
]
