"""What the graph of a masked model says about each of its layers, channel by channel."""

from collections.abc import Mapping

import numpy as np
from torch import nn

import netgraph as ng
from prune_adapters.groups import CHANNELWISE, COUNTED, COUNTED_NORMS, Facts, kept_pairs
from prune_adapters.masks import to_masks
from prune_adapters.trace.registry import operator_name
from prune_adapters.trace.tape import Ref, Tape
from prune_adapters.trace.values import PRESENT

__all__ = ["facts_of", "facts_of_norms", "idle_outputs", "norm_inputs"]


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
        if len(uses) == 1 and not isinstance(module, (*CHANNELWISE, *COUNTED)):
            kept = kept_pairs(masks[uses[0].parameter], module)
            inputs = _input_classes(graph, uses[0], classes, kept.shape[0] * kept.shape[2])
            found[path] = Facts(kept, inputs, np.full(len(inputs), np.nan))
    return found


def norm_inputs(tape: Tape, modules: Mapping[str, nn.Module]) -> dict[str, Ref]:
    """Return what the norms with statistics over channels read, by module path."""
    paths = {path for path, module in modules.items() if isinstance(module, COUNTED)}
    names = {f"aten.{name}" for name in COUNTED_NORMS.split()}
    calls = [call for call in tape.calls if call.module in paths and operator_name(call.target) in names]
    return {call.module: call.args[0] for call in calls if isinstance(call.args[0], Ref)}


def facts_of_norms(
    graph: ng.NetGraph, modules: Mapping[str, nn.Module], units: Mapping[str, np.ndarray | None]
) -> dict[str, Facts]:
    """Return the classes of the inputs of norms with statistics over channels, by module path.

    Parameters
    ----------
    graph : NetGraph
    modules : mapping of str to Module
    units : mapping of str to (ndarray of int64, or None)
        The unit of each element that a norm reads; see `graph_and_units`.
    """
    classes = ng.unit_classes(graph)
    found = {}
    for path, ids in units.items():
        norm = modules[path]
        if ids is not None:
            groups, size = _groups_of(norm)
            of_elements = np.where(ids >= 0, classes[np.maximum(ids, 0)], ids == PRESENT)
            dim = 1 if isinstance(norm, nn.GroupNorm) else -1
            channels = np.moveaxis(of_elements, dim, 0).reshape(ids.shape[dim], -1).max(axis=1)
            kept = np.broadcast_to(np.True_, (groups, size, size))
            found[path] = Facts(kept, np.broadcast_to(channels, groups * size), np.full(groups * size, np.nan))
    return found


def _groups_of(norm: nn.Module) -> tuple[int, int]:
    """Return the groups of a norm, and the channels of each."""
    if isinstance(norm, nn.GroupNorm):
        return norm.num_groups, norm.num_channels // norm.num_groups
    assert isinstance(norm, (nn.LayerNorm, nn.RMSNorm))
    return 1, norm.normalized_shape[-1]


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
