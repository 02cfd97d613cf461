"""Methods that prune while a network trains, each used from any loop through the same four calls."""

from prune_adapters.methods.decay import (
    SelectiveChannelDecay,
    SelectiveWeightDecay,
    decay_shrink,
    decay_strength,
    suggest_a_max,
)
from prune_adapters.methods.dynamic import DynamicSparseTraining
from prune_adapters.methods.magnitude import GradualPruning, IterativePruning, OneShotPruning
from prune_adapters.methods.method import Method
from prune_adapters.methods.store import load_method, read_method, restore_method, save_method
from prune_adapters.methods.tcmp import TCMP

__all__ = [
    "TCMP",
    "DynamicSparseTraining",
    "GradualPruning",
    "IterativePruning",
    "Method",
    "OneShotPruning",
    "SelectiveChannelDecay",
    "SelectiveWeightDecay",
    "decay_shrink",
    "decay_strength",
    "load_method",
    "read_method",
    "restore_method",
    "save_method",
    "suggest_a_max",
]
