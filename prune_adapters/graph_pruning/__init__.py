"""GraphPruning: a graph of layers, a network that generates weights for any widths, and searches over the widths.

Reconstructed from the abstracts of Zhang et al., Graph Pruning for Model Compression (2019, 2021), and from its parents
MetaPruning (Liu et al., 2019) and AMC (He et al., 2018): sizes of layers, schedules and settings are ours.
"""

from prune_adapters.graph_pruning.layer_graph import LayerGraph, layer_graph
from prune_adapters.graph_pruning.space import WidthSpace, width_space
from prune_adapters.graph_pruning.widths import Width

__all__ = ["LayerGraph", "Width", "WidthSpace", "layer_graph", "width_space"]
