"""PyTorch networks as graphs: which weights matter, and masks that train fast.

A model becomes a `netgraph.NetGraph`, algorithms on that graph and scores say which weights to keep, and the answer
comes back as masks: ``{parameter name: bool tensor}``, True = kept.
"""

from netgraph import Explanation, explain
from prune_adapters.apply import apply_masks, remembered_masks, remove_masks
from prune_adapters.checkpoint import Checkpoint, StoredTensor, checkpoint_graph, inspect_checkpoint, open_checkpoint
from prune_adapters.collapse import CollapseReport, LostLayer, collapse_report
from prune_adapters.compact import (
    CompactReport,
    KeptChannels,
    LayerChange,
    Recipe,
    Removal,
    carry_masks,
    carry_optimizer,
    compact,
    compact_recipe,
    compact_report,
    load_compacted,
    rebuild,
    remove_channels,
    save_compacted,
)
from prune_adapters.counts import MacCount, MacRow, count_macs, count_parameters
from prune_adapters.errors import (
    CheckpointError,
    CompactError,
    CompactFileError,
    MaskError,
    MaskFileError,
    MethodStateError,
    PlanError,
    PruneAdaptersError,
    RecipeError,
    TraceError,
)
from prune_adapters.groups import ChannelGroup, coupled_channels
from prune_adapters.keep import MaskKeeper, keep_masks
from prune_adapters.layers import (
    RegularConv1d,
    RegularConv2d,
    RegularLinear,
    SparseConv1d,
    SparseConv2d,
    SparseLayer,
    SparseLinear,
)
from prune_adapters.masks import check_masks, to_masks
from prune_adapters.methods import (
    DynamicSparseTraining,
    GradualPruning,
    IterativePruning,
    Method,
    OneShotPruning,
    SelectiveChannelDecay,
    SelectiveWeightDecay,
    cubic_sparsity,
    decay_shrink,
    decay_strength,
    geometric_sparsity,
    load_method,
    read_method,
    save_method,
    suggest_a_max,
)
from prune_adapters.patterns import block_masks, n_of_m_masks
from prune_adapters.plans import BlockPlan, PairPlan, SparsePlan, TapPlan
from prune_adapters.prune import consistent_masks, prune
from prune_adapters.regular import RegularPruning, correct_fan_in, regular_masks, regular_prune
from prune_adapters.report import LayerRow, ParameterRow, Report, report
from prune_adapters.scores import magnitude_scores, random_scores
from prune_adapters.select import Selection, masks_from_scores
from prune_adapters.soft import apply_soft_masks, remove_soft_masks, soft_masks
from prune_adapters.sparsify import LayerChoice, SparsifyRecord, densify, sparsify
from prune_adapters.store import StoredMasks, load_masks, save_masks
from prune_adapters.torch_prune import from_torch_prune
from prune_adapters.trace import Operation, known_operators, register_rule, to_graph
from prune_adapters.train import accuracy, train

__all__ = [
    "BlockPlan",
    "ChannelGroup",
    "Checkpoint",
    "CheckpointError",
    "CollapseReport",
    "CompactError",
    "CompactFileError",
    "CompactReport",
    "DynamicSparseTraining",
    "Explanation",
    "GradualPruning",
    "IterativePruning",
    "KeptChannels",
    "LayerChange",
    "LayerChoice",
    "LayerRow",
    "LostLayer",
    "MacCount",
    "MacRow",
    "MaskError",
    "MaskFileError",
    "MaskKeeper",
    "Method",
    "MethodStateError",
    "OneShotPruning",
    "Operation",
    "PairPlan",
    "ParameterRow",
    "PlanError",
    "PruneAdaptersError",
    "Recipe",
    "RecipeError",
    "RegularConv1d",
    "RegularConv2d",
    "RegularLinear",
    "RegularPruning",
    "Removal",
    "Report",
    "Selection",
    "SelectiveChannelDecay",
    "SelectiveWeightDecay",
    "SparseConv1d",
    "SparseConv2d",
    "SparseLayer",
    "SparseLinear",
    "SparsePlan",
    "SparsifyRecord",
    "StoredMasks",
    "StoredTensor",
    "TapPlan",
    "TraceError",
    "accuracy",
    "apply_masks",
    "apply_soft_masks",
    "block_masks",
    "carry_masks",
    "carry_optimizer",
    "check_masks",
    "checkpoint_graph",
    "collapse_report",
    "compact",
    "compact_recipe",
    "compact_report",
    "consistent_masks",
    "correct_fan_in",
    "count_macs",
    "count_parameters",
    "coupled_channels",
    "cubic_sparsity",
    "decay_shrink",
    "decay_strength",
    "densify",
    "explain",
    "from_torch_prune",
    "geometric_sparsity",
    "inspect_checkpoint",
    "keep_masks",
    "known_operators",
    "load_compacted",
    "load_masks",
    "load_method",
    "magnitude_scores",
    "masks_from_scores",
    "n_of_m_masks",
    "open_checkpoint",
    "prune",
    "random_scores",
    "read_method",
    "rebuild",
    "register_rule",
    "regular_masks",
    "regular_prune",
    "remembered_masks",
    "remove_channels",
    "remove_masks",
    "remove_soft_masks",
    "report",
    "save_compacted",
    "save_masks",
    "save_method",
    "soft_masks",
    "sparsify",
    "suggest_a_max",
    "to_graph",
    "to_masks",
    "train",
]
