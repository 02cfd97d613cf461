"""PyTorch networks as graphs: which weights matter, and masks that train fast.

A model becomes a `netgraph.NetGraph`, algorithms on that graph and scores say which weights to keep, and the answer
comes back as masks: ``{parameter name: bool tensor}``, True = kept.
"""

# ruff: noqa: F403, F405

import sys
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prune_adapters.public import *

__all__ = [
    "TCMP",
    "BlockPlan",
    "ChannelGroup",
    "Checkpoint",
    "CheckpointError",
    "CollapseReport",
    "CompactError",
    "CompactFileError",
    "CompactReport",
    "DynamicSparseTraining",
    "Estimate",
    "Evaluation",
    "Explanation",
    "ExportError",
    "ExportReport",
    "ExportRow",
    "GradualPruning",
    "IterativePruning",
    "KeptChannels",
    "LatencyTable",
    "LayerChange",
    "LayerChoice",
    "LayerGraph",
    "LayerRow",
    "LoggedCandidate",
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
    "PathLengthReport",
    "PlanError",
    "PruneAdaptersError",
    "PruningNet",
    "Recipe",
    "RecipeError",
    "Redundancy",
    "RegularConv1d",
    "RegularConv2d",
    "RegularLinear",
    "RegularPruning",
    "Removal",
    "Report",
    "SearchLog",
    "SearchLogError",
    "SearchResult",
    "Selection",
    "SelectiveChannelDecay",
    "SelectiveWeightDecay",
    "SparseConv1d",
    "SparseConv2d",
    "SparseFileError",
    "SparseLayer",
    "SparseLinear",
    "SparsePlan",
    "SparsifyRecord",
    "StoredMasks",
    "StoredTensor",
    "TapPlan",
    "TraceError",
    "Width",
    "WidthBudget",
    "WidthSpace",
    "accuracy",
    "accuracy_slope",
    "aggregated_state",
    "apply_masks",
    "apply_soft_masks",
    "average_scores",
    "block_masks",
    "carry_masks",
    "carry_optimizer",
    "check_masks",
    "check_ranks_agree",
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
    "cross_entropy_search",
    "cubic_sparsity",
    "decay_shrink",
    "decay_strength",
    "densify",
    "evaluate",
    "evaluate_model",
    "evolution_search",
    "explain",
    "export_onnx",
    "export_program",
    "export_report",
    "export_sparse",
    "from_torch_prune",
    "geometric_sparsity",
    "graphs_of_all_lengths",
    "grasp_scores",
    "html_report",
    "inspect_checkpoint",
    "keep_masks",
    "known_operators",
    "l1_widths",
    "layer_graph",
    "load_compacted",
    "load_masks",
    "load_method",
    "load_sparse",
    "magnitude_scores",
    "masks_from_scores",
    "measured_latency",
    "n_of_m_masks",
    "open_checkpoint",
    "path_length_report",
    "path_scores",
    "plain_state",
    "plot_path_length",
    "policy_search",
    "prune",
    "random_scores",
    "random_search",
    "rank_correlation",
    "read_method",
    "rebuild",
    "recalibrate",
    "reconstruct",
    "redundancy",
    "register_rule",
    "regular_masks",
    "regular_prune",
    "remembered_masks",
    "remove_channels",
    "remove_masks",
    "remove_soft_masks",
    "report",
    "restore_method",
    "save_compacted",
    "save_masks",
    "save_method",
    "snip_scores",
    "soft_masks",
    "sparsify",
    "spearman",
    "sub_network",
    "suggest_a_max",
    "synflow_prune",
    "synflow_scores",
    "to_graph",
    "to_masks",
    "train",
    "train_pruning_net",
    "uniform_search",
    "width_space",
]


class _Package(ModuleType):
    """The package itself. torch takes seconds to import, so all names come when the first of them is asked for."""

    def __getattr__(self, name: str) -> object:
        if name in __all__ and __all__[0] not in vars(self):
            public = import_module("prune_adapters.public")
            vars(self).update({known: getattr(public, known) for known in __all__})
            return getattr(self, name)
        if not name.startswith("__") and find_spec(f"prune_adapters.{name}") is not None:
            return import_module(f"prune_adapters.{name}")
        raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")

    def __setattr__(self, name: str, value: object) -> None:
        if not (isinstance(value, ModuleType) and name in __all__):  # the file report.py must not hide `report`
            super().__setattr__(name, value)

    def __dir__(self) -> list[str]:
        return sorted({*__all__, *vars(self)})


sys.modules[__name__].__class__ = _Package
