"""Masked models made smaller without changing what they compute."""

from prune_adapters.compact.attached import compact_recipe, rebuild
from prune_adapters.compact.border import ConstantConv1d, ConstantConv2d, ConstantConv3d
from prune_adapters.compact.compact import compact, compact_report
from prune_adapters.compact.counted import CountedGroupNorm, CountedLayerNorm, CountedRMSNorm
from prune_adapters.compact.heads import FewerHeads
from prune_adapters.compact.optimizer import carry_masks, carry_optimizer
from prune_adapters.compact.recipe import Recipe, Removal
from prune_adapters.compact.recipe_store import load_compacted, save_compacted
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
    "Recipe",
    "Removal",
    "carry_masks",
    "carry_optimizer",
    "compact",
    "compact_recipe",
    "compact_report",
    "load_compacted",
    "rebuild",
    "remove_channels",
    "save_compacted",
]
