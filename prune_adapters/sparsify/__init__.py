"""Masked layers exchanged for sparse and regular ones, where those are faster."""

from prune_adapters.sparsify.record import LayerChoice, SparsifyRecord
from prune_adapters.sparsify.sparsify import densify, sparsify

__all__ = ["LayerChoice", "SparsifyRecord", "densify", "sparsify"]
