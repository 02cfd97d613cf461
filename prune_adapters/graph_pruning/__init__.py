"""GraphPruning: a graph of layers, a network that generates weights for any widths, and searches over the widths.

Reconstructed from the abstracts of Zhang et al., Graph Pruning for Model Compression (2019, 2021), and from its parents
MetaPruning (Liu et al., 2019) and AMC (He et al., 2018): sizes of layers, schedules and settings are ours.
"""

from prune_adapters.graph_pruning.budget import WidthBudget
from prune_adapters.graph_pruning.candidate import Evaluation, SearchResult
from prune_adapters.graph_pruning.cross_entropy import cross_entropy_search
from prune_adapters.graph_pruning.drawn import random_search, uniform_search
from prune_adapters.graph_pruning.evaluation import evaluate, evaluate_model, recalibrate
from prune_adapters.graph_pruning.evolution import evolution_search
from prune_adapters.graph_pruning.latency import LatencyTable
from prune_adapters.graph_pruning.layer_graph import LayerGraph, layer_graph
from prune_adapters.graph_pruning.log import LoggedCandidate, SearchLog
from prune_adapters.graph_pruning.magnitude import l1_widths
from prune_adapters.graph_pruning.materialise import sub_network
from prune_adapters.graph_pruning.policy import policy_search
from prune_adapters.graph_pruning.pruning_net import PruningNet
from prune_adapters.graph_pruning.space import WidthSpace, width_space
from prune_adapters.graph_pruning.states import aggregated_state, plain_state
from prune_adapters.graph_pruning.training import train_pruning_net
from prune_adapters.graph_pruning.widths import Width

__all__ = [
    "Evaluation",
    "LatencyTable",
    "LayerGraph",
    "LoggedCandidate",
    "PruningNet",
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
    "plain_state",
    "policy_search",
    "random_search",
    "recalibrate",
    "sub_network",
    "train_pruning_net",
    "uniform_search",
    "width_space",
]
