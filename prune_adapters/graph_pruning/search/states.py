"""What an agent is told of a width: the features of a graph aggregator, or hand-made ones."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import torch

from prune_adapters.graph_pruning.layers.layer_graph import LayerGraph
from prune_adapters.graph_pruning.space.space import WidthSpace
from prune_adapters.graph_pruning.space.widths import Counts

if TYPE_CHECKING:
    from prune_adapters.graph_pruning.net.pruning_net import PruningNet

__all__ = ["aggregated_state", "plain_state"]

State = Callable[[Counts], np.ndarray]


def aggregated_state(net: "PruningNet") -> State:
    """Return what gives the aggregated features of each width, for `policy_search`.

    Reconstructed from the abstracts of GraphPruning [1]: the state of the search is what a trained graph aggregator
    says of a layer, instead of hand-made features.

    Parameters
    ----------
    net : PruningNet
        Trained; not changed.

    Returns
    -------
    callable
        Takes counts, returns ndarray, shape (n_widths, hidden): the mean over the layers that write a width. Each
        column has mean 0 and spread 1 over the network whole, at half and at a tenth of all widths.

    References
    ----------
    .. [1] Zhang et al., "Graph Pruning for Model Compression", 2019, 2021: the abstracts.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> from prune_adapters.graph_pruning.layers.layer_graph import layer_graph
    >>> from prune_adapters.graph_pruning.space.finding import width_space
    >>> layers = torch.nn.Linear(3, 4), torch.nn.Linear(4, 4), torch.nn.Linear(4, 2)
    >>> graph = layer_graph(width_space(torch.nn.Sequential(*layers), torch.ones(1, 3)))
    >>> net = SimpleNamespace(graph=graph, aggregated=lambda counts: torch.tensor(counts).reshape(2, 1) + torch.eye(2))
    >>> aggregated_state(net)((4, 2)).round(2)
    array([[ 1.61,  0.87],
           [-0.62,  0.12]])
    """

    def features(counts: Counts) -> np.ndarray:
        with torch.no_grad():
            return _by_width(net.graph, net.aggregated(counts).cpu().numpy())

    return _standardised(features, net.graph.space)


def plain_state(graph: LayerGraph) -> State:
    """Return what gives hand-made features of each width as in AMC [1], for `policy_search`.

    Parameters
    ----------
    graph : LayerGraph

    Returns
    -------
    callable
        Takes counts, returns ndarray, shape (n_widths, 8): place, input and output channels, kernel size, stride and
        multiply-adds (`LayerGraph.static_features`), and the kept share of what is written and of what is read; the
        mean over the layers that write a width.

    References
    ----------
    .. [1] He et al., "AMC: AutoML for Model Compression and Acceleration on Mobile Devices", 2018, section 3.1.

    Examples
    --------
    >>> from prune_adapters.graph_pruning.layers.layer_graph import layer_graph
    >>> from prune_adapters.graph_pruning.space.finding import width_space
    >>> layers = torch.nn.Linear(3, 4), torch.nn.Linear(4, 4), torch.nn.Linear(4, 2)
    >>> graph = layer_graph(width_space(torch.nn.Sequential(*layers), torch.ones(1, 3)))
    >>> plain_state(graph)((4, 2)).round(2)
    array([[0. , 0. , 0. , 0. , 0. , 0. , 1. , 1. ],
           [1. , 1. , 0. , 0. , 0. , 1. , 0.5, 1. ]])
    """
    static = graph.static_features()

    def features(counts: Counts) -> np.ndarray:
        ratios = np.array(graph.space.ratios(counts))
        written = ratios[list(graph.outputs)]
        read = [ratios[list(own)].mean() if own else 1.0 for own in graph.inputs]
        return _by_width(graph, np.column_stack([static, written, read]))

    return features


def _by_width(graph: LayerGraph, nodes: np.ndarray) -> np.ndarray:
    """Return the mean over the nodes that write each width, zeros where there is none."""
    writes = np.zeros((len(graph.space.widths), len(graph.nodes)))
    for node, (output, inner) in enumerate(zip(graph.outputs, graph.inner, strict=True)):
        writes[[output, *inner], node] = 1
    return writes @ nodes / np.maximum(writes.sum(axis=1, keepdims=True), 1)


def _standardised(features: State, space: WidthSpace) -> State:
    n = len(space.widths)
    seen = np.concatenate([features(space.counts([ratio] * n)) for ratio in (1.0, 0.5, 0.1)])
    mean, spread = seen.mean(axis=0), seen.std(axis=0)
    scale = np.maximum(spread, 0.01 * seen.std() or 1.0)  # a column that hardly differs is not blown up
    return lambda counts: (features(counts) - mean) / scale
