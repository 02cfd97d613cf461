"""Operators for torch, compiled or in plain torch: one schema, one result."""

from prune_adapters.ops.band_stop import band_stop
from prune_adapters.ops.compiled import library
from prune_adapters.ops.masks import apply_masks_, pack_mask, unpack_mask
from prune_adapters.ops.reach import count_consistent, reach_sources, reach_targets
from prune_adapters.ops.threshold import keep_largest, kth_largest

__all__ = [
    "apply_masks_",
    "band_stop",
    "count_consistent",
    "keep_largest",
    "kth_largest",
    "library",
    "pack_mask",
    "reach_sources",
    "reach_targets",
    "unpack_mask",
]
