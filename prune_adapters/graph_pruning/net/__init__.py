"""The network that holds weights for every sub-network: features, aggregator, generators, training, evaluation."""

from prune_adapters.graph_pruning.net.calibration import recalibrate
from prune_adapters.graph_pruning.net.evaluation import evaluate, evaluate_model
from prune_adapters.graph_pruning.net.pruning_net import PruningNet
from prune_adapters.graph_pruning.net.training import train_pruning_net

__all__ = ["PruningNet", "evaluate", "evaluate_model", "recalibrate", "train_pruning_net"]
