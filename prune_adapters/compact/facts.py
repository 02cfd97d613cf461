"""What the graph of a masked model says about each of its layers, channel by channel."""

from collections.abc import Mapping

import numpy as np
from torch import nn

import netgraph as ng
from prune_adapters.groups import CHANNELWISE, Facts, kept_pairs
from prune_adapters.masks import to_masks

__all__ = ["facts_of", "idle_outputs"]


def facts_of(graph: ng.NetGraph, modules: Mapping[str, nn.Module]) -> dict[str, Facts]:
    """Return kept weights and classes of the inputs of every layer with weights, by module path.

    A layer whose weights have several uses, or none, is left out. Values are not known yet.

    Parameters
    ----------
    graph : NetGraph
        With sound choices: ``norm="mix"``.
    modules : mapping of str to Module
        Those that may become smaller, by path.
    """
    classes, masks = ng.unit_classes(graph), to_masks(graph)
    found = {}
    for path, module in modules.items():
        uses = graph.uses(f"{path}.weight".lstrip("."))
        if len(uses) == 1 and not isinstance(module, CHANNELWISE):
            kept = kept_pairs(masks[uses[0].parameter], module)
            inputs = _input_classes(graph, uses[0], classes, kept.shape[0] * kept.shape[2])
            found[path] = Facts(kept, inputs, np.full(len(inputs), np.nan))
    return found


def _input_classes(graph: ng.NetGraph, use: ng.Connection, classes: np.ndarray, n_inputs: int) -> np.ndarray:
    """Return the class of each input channel; the positions of a flattened channel share its unit."""
    first = graph.slices[use.source].start + use.source_start
    units = classes[first : first + use.groups * use.columns]
    return np.repeat(units, n_inputs // max(len(units), 1))


def idle_outputs(graph: ng.NetGraph) -> dict[str, np.ndarray]:
    """Return which outputs of each weight are dead or constant, so that each could go by itself.

    Parameters
    ----------
    graph : NetGraph

    Returns
    -------
    dict of str to ndarray of bool, shape (n_outputs,)
        By parameter; one with several uses is left out.
    """
    reach = ng.sweep(graph)
    idle = ~(reach.accessible & reach.co_accessible)
    found = {}
    for name in graph.edge_parameters:
        use = graph.uses(name)[0]
        first = graph.slices[use.target].start + use.target_start
        if len(graph.uses(name)) == 1:
            found[name] = idle[first : first + use.rows]
    return found
