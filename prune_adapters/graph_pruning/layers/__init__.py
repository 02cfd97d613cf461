"""The graph of a model's prunable layers."""

from prune_adapters.graph_pruning.layers.layer_graph import LayerGraph, layer_graph

__all__ = ["LayerGraph", "layer_graph"]
