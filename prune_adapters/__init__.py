"""PyTorch networks as graphs: which weights matter, and masks that train fast.

A model becomes a `netgraph.NetGraph`, algorithms on that graph and scores say which weights to keep, and the answer
comes back as masks: ``{parameter name: bool tensor}``, True = kept.
"""

from prune_adapters.apply import MaskKeeper, apply_masks, keep_masks, remembered_masks, remove_masks
from prune_adapters.compact import CompactReport, KeptChannels, LayerChange, compact, compact_report
from prune_adapters.errors import CheckpointError, CompactError, MaskError, PruneAdaptersError, TraceError
from prune_adapters.masks import check_masks, to_masks
from prune_adapters.report import LayerRow, ParameterRow, Report, report
from prune_adapters.scores import magnitude_scores, random_scores
from prune_adapters.select import Selection, masks_from_scores
from prune_adapters.trace import Operation, known_operators, register_rule, to_graph
from prune_adapters.train import accuracy, train

__all__ = [
    "CheckpointError",
    "CompactError",
    "CompactReport",
    "KeptChannels",
    "LayerChange",
    "LayerRow",
    "MaskError",
    "MaskKeeper",
    "Operation",
    "ParameterRow",
    "PruneAdaptersError",
    "Report",
    "Selection",
    "TraceError",
    "accuracy",
    "apply_masks",
    "check_masks",
    "compact",
    "compact_report",
    "keep_masks",
    "known_operators",
    "magnitude_scores",
    "masks_from_scores",
    "random_scores",
    "register_rule",
    "remembered_masks",
    "remove_masks",
    "report",
    "to_graph",
    "to_masks",
    "train",
]
