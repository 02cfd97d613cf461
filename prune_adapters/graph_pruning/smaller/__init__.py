"""Sub-networks as ordinary modules: from scratch, from generated weights, from the trained network's own."""

from prune_adapters.graph_pruning.smaller.materialise import sub_network
from prune_adapters.graph_pruning.smaller.reconstruct import reconstruct

__all__ = ["reconstruct", "sub_network"]
