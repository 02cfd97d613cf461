"""Selective weight decay: of weights and of channels, how strong it should be, and a guard against layer collapse."""

from prune_adapters.methods.decay.channels import SelectiveChannelDecay
from prune_adapters.methods.decay.schedule import decay_shrink, decay_strength, suggest_a_max
from prune_adapters.methods.decay.weights import SelectiveWeightDecay

__all__ = ["SelectiveChannelDecay", "SelectiveWeightDecay", "decay_shrink", "decay_strength", "suggest_a_max"]
