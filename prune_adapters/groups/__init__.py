"""Which channels of a model must be removed together, and which can never be."""

from prune_adapters.groups.channels import ChannelGroup, all_groups, coupled_channels
from prune_adapters.groups.coupled import coupled_slots, rebuildable
from prune_adapters.groups.layers import (
    CHANNELWISE,
    CONVOLUTIONS,
    COUNTED,
    COUNTED_NORMS,
    TRANSPOSED,
    is_zero_padded,
    kept_pairs,
)
from prune_adapters.groups.movements import moves_alike
from prune_adapters.groups.raw import ParameterSlots, raw_parameters
from prune_adapters.groups.silenced import silenced
from prune_adapters.groups.slots import Coupling, Slots, Whole
from prune_adapters.groups.step import Facts, LayerSlots, Movement, Recorder

__all__ = [
    "CHANNELWISE",
    "CONVOLUTIONS",
    "COUNTED",
    "COUNTED_NORMS",
    "TRANSPOSED",
    "ChannelGroup",
    "Coupling",
    "Facts",
    "LayerSlots",
    "Movement",
    "ParameterSlots",
    "Recorder",
    "Slots",
    "Whole",
    "all_groups",
    "coupled_channels",
    "coupled_slots",
    "is_zero_padded",
    "kept_pairs",
    "moves_alike",
    "raw_parameters",
    "rebuildable",
    "silenced",
]
