"""Masks from relational graphs: every layer joins its groups of channels as one small regular graph joins its nodes."""

from prune_adapters.regular.fan_in import correct_fan_in
from prune_adapters.regular.masks import regular_masks

__all__ = ["correct_fan_in", "regular_masks"]
