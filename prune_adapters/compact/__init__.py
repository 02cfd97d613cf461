"""Masked models made smaller without changing what they compute."""

from prune_adapters.compact.border import ConstantConv1d, ConstantConv2d, ConstantConv3d
from prune_adapters.compact.compact import compact, compact_report
from prune_adapters.compact.counted import CountedGroupNorm, CountedLayerNorm, CountedRMSNorm
from prune_adapters.compact.heads import FewerHeads
from prune_adapters.compact.record import CompactReport, KeptChannels, LayerChange
from prune_adapters.compact.remove import remove_channels

__all__ = [
    "CompactReport",
    "ConstantConv1d",
    "ConstantConv2d",
    "ConstantConv3d",
    "CountedGroupNorm",
    "CountedLayerNorm",
    "CountedRMSNorm",
    "FewerHeads",
    "KeptChannels",
    "LayerChange",
    "compact",
    "compact_report",
    "remove_channels",
]
