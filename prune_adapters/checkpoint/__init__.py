"""Connectivity of a checkpoint on disk: the model is traced without memory, its weights pass by once."""

from prune_adapters.checkpoint.files import Checkpoint, open_checkpoint
from prune_adapters.checkpoint.inspection import checkpoint_graph, inspect_checkpoint
from prune_adapters.checkpoint.stored import StoredTensor

__all__ = ["Checkpoint", "StoredTensor", "checkpoint_graph", "inspect_checkpoint", "open_checkpoint"]
