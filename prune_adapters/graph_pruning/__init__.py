"""GraphPruning: a graph of layers, a network that generates weights for any widths, and searches over the widths.

Reconstructed from the abstracts of Zhang et al., Graph Pruning for Model Compression (2019, 2021), and from its parents
MetaPruning (Liu et al., 2019) and AMC (He et al., 2018): sizes of layers, schedules and settings are ours.
"""

from prune_adapters.graph_pruning.layers import LayerGraph, layer_graph
from prune_adapters.graph_pruning.net import PruningNet, evaluate, evaluate_model, recalibrate, train_pruning_net
from prune_adapters.graph_pruning.redundancy import Redundancy, redundancy
from prune_adapters.graph_pruning.search import (
    Evaluation,
    LoggedCandidate,
    Objective,
    SearchLog,
    SearchResult,
    aggregated_state,
    cross_entropy_search,
    evolution_search,
    l1_widths,
    plain_state,
    policy_search,
    random_search,
    uniform_search,
)
from prune_adapters.graph_pruning.smaller import reconstruct, sub_network
from prune_adapters.graph_pruning.space import (
    Counts,
    LatencyTable,
    Width,
    WidthBudget,
    WidthSpace,
    measured_latency,
    width_space,
)

__all__ = [
    "Counts",
    "Evaluation",
    "LatencyTable",
    "LayerGraph",
    "LoggedCandidate",
    "Objective",
    "PruningNet",
    "Redundancy",
    "SearchLog",
    "SearchResult",
    "Width",
    "WidthBudget",
    "WidthSpace",
    "aggregated_state",
    "cross_entropy_search",
    "evaluate",
    "evaluate_model",
    "evolution_search",
    "l1_widths",
    "layer_graph",
    "measured_latency",
    "plain_state",
    "policy_search",
    "random_search",
    "recalibrate",
    "reconstruct",
    "redundancy",
    "sub_network",
    "train_pruning_net",
    "uniform_search",
    "width_space",
]
