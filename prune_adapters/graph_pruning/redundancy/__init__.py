"""How much of a later residual block an earlier one foretells."""

from prune_adapters.graph_pruning.redundancy.redundancy import Redundancy, redundancy

__all__ = ["Redundancy", "redundancy"]
