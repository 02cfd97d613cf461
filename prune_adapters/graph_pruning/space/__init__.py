"""The widths that a model can take, what they cost, and what may be spent."""

from prune_adapters.graph_pruning.space.budget import WidthBudget
from prune_adapters.graph_pruning.space.latency import LatencyTable
from prune_adapters.graph_pruning.space.space import WidthSpace, width_space
from prune_adapters.graph_pruning.space.timing import measured_latency
from prune_adapters.graph_pruning.space.widths import Counts, Width

__all__ = ["Counts", "LatencyTable", "Width", "WidthBudget", "WidthSpace", "measured_latency", "width_space"]
