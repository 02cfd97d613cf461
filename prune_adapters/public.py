"""Every public name, from the file that defines it; the package hands them on."""

# ruff: noqa: F401

import sys
from typing import TYPE_CHECKING

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
    ExportError,
    MaskError,
    MaskFileError,
    MethodStateError,
    PlanError,
    PruneAdaptersError,
    RecipeError,
    SearchLogError,
    SparseFileError,
    TraceError,
)
from prune_adapters.export import (
    ExportReport,
    ExportRow,
    export_onnx,
    export_program,
    export_report,
    export_sparse,
    load_sparse,
)
from prune_adapters.graph_pruning import (
    Evaluation,
    LatencyTable,
    LayerGraph,
    LoggedCandidate,
    PruningNet,
    Redundancy,
    SearchLog,
    SearchResult,
    Width,
    WidthBudget,
    WidthSpace,
    aggregated_state,
    cross_entropy_search,
    evaluate,
    evaluate_model,
    evolution_search,
    l1_widths,
    layer_graph,
    measured_latency,
    plain_state,
    policy_search,
    random_search,
    recalibrate,
    reconstruct,
    redundancy,
    sub_network,
    train_pruning_net,
    uniform_search,
    width_space,
)
from prune_adapters.groups import ChannelGroup, coupled_channels
from prune_adapters.html import html_report
from prune_adapters.integrations import average_scores, check_ranks_agree
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
    TCMP,
    DynamicSparseTraining,
    GradualPruning,
    IterativePruning,
    Method,
    OneShotPruning,
    SelectiveChannelDecay,
    SelectiveWeightDecay,
    decay_shrink,
    decay_strength,
    load_method,
    read_method,
    restore_method,
    save_method,
    suggest_a_max,
)
from prune_adapters.path_length import (
    Estimate,
    PathLengthReport,
    accuracy_slope,
    graphs_of_all_lengths,
    path_length_report,
    plot_path_length,
    rank_correlation,
    spearman,
)
from prune_adapters.patterns import block_masks, n_of_m_masks
from prune_adapters.plans import BlockPlan, PairPlan, SparsePlan, TapPlan
from prune_adapters.prune import consistent_masks, prune
from prune_adapters.regular import RegularPruning, correct_fan_in, regular_masks, regular_prune
from prune_adapters.report import LayerRow, ParameterRow, Report, report
from prune_adapters.schedules import cubic_sparsity, geometric_sparsity
from prune_adapters.scores import (
    grasp_scores,
    magnitude_scores,
    path_scores,
    random_scores,
    snip_scores,
    synflow_prune,
    synflow_scores,
)
from prune_adapters.select import Selection, masks_from_scores
from prune_adapters.soft import apply_soft_masks, remove_soft_masks, soft_masks
from prune_adapters.sparsify import LayerChoice, SparsifyRecord, densify, sparsify
from prune_adapters.store import StoredMasks, load_masks, save_masks
from prune_adapters.torch_prune import from_torch_prune
from prune_adapters.trace import Operation, known_operators, register_rule, to_graph
from prune_adapters.train import accuracy, train

if not TYPE_CHECKING:  # mypy takes a list that it cannot read for an empty one
    __all__ = sys.modules["prune_adapters"].__all__
