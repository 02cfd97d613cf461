"""Masked models made smaller without changing what they compute."""

from prune_adapters.compact.attached import compact_recipe, rebuild
from prune_adapters.compact.border import ConstantConv1d, ConstantConv2d, ConstantConv3d
from prune_adapters.compact.compact import compact, compact_report
from prune_adapters.compact.counted import CountedGroupNorm, CountedLayerNorm, CountedRMSNorm
from prune_adapters.compact.optimizer import carry_masks, carry_optimizer
from prune_adapters.compact.recipe import Recipe, Removal
from prune_adapters.compact.recipe_store import load_compacted, save_compacted
from prune_adapters.compact.record import CompactReport, KeptChannels, LayerChange

__all__ = [
    "CompactReport",
    "ConstantConv1d",
    "ConstantConv2d",
    "ConstantConv3d",
    "CountedGroupNorm",
    "CountedLayerNorm",
    "CountedRMSNorm",
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
    "save_compacted",
]
