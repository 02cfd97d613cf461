"""PyTorch networks as graphs: which weights matter, and masks that train fast.

A model becomes a `netgraph.NetGraph`, algorithms on that graph and scores say which weights to keep, and the answer
comes back as masks: ``{parameter name: bool tensor}``, True = kept.
"""

from prune_adapters.errors import CheckpointError, MaskError, PruneAdaptersError, TraceError
from prune_adapters.masks import check_masks, to_masks
from prune_adapters.scores import magnitude_scores, random_scores
from prune_adapters.select import Selection, masks_from_scores

__all__ = [
    "CheckpointError",
    "MaskError",
    "PruneAdaptersError",
    "Selection",
    "TraceError",
    "check_masks",
    "magnitude_scores",
    "masks_from_scores",
    "random_scores",
    "to_masks",
]
