"""The scales of units that a removal cuts off: a batch norm undoes the decay of a filter whose scale stays."""

from collections.abc import Mapping

import numpy as np
import torch

import netgraph as ng

__all__ = ["gates_of", "open_gates"]


def gates_of(graph: ng.NetGraph) -> list[str]:
    """Return the parameters that scale units: the weights of batch norms, and of other layers that only scale.

    Parameters
    ----------
    graph : NetGraph

    Returns
    -------
    list of str

    Examples
    --------
    >>> from prune_adapters.trace import to_graph
    >>> model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    >>> gates_of(to_graph(model.eval(), torch.ones(1, 3)))
    ['1.weight']
    """
    return list(dict.fromkeys(u.parameter for u in graph.unit_parameters if u.role == "gate" and u.parameter))


def open_gates(graph: ng.NetGraph, masks: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return which elements of gates scale a unit that lies on a path from an input to an output.

    Parameters
    ----------
    graph : NetGraph
    masks : mapping of str to Tensor of bool
        What is kept of the weights; parameters without edges are passed over.

    Returns
    -------
    dict of str to Tensor of bool
        By gate, in its shape.

    Examples
    --------
    >>> from prune_adapters.trace import to_graph
    >>> model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    >>> graph = to_graph(model.eval(), torch.ones(1, 3))
    >>> open_gates(graph, {"0.weight": torch.tensor([[True, False, True], [False, False, False]])})
    {'1.weight': tensor([ True, False])}
    """
    kept = {name: mask.cpu().numpy() for name, mask in masks.items() if graph.uses(name)}
    swept = ng.sweep(ng.with_weights(graph, kept))
    on_path = swept.accessible & swept.co_accessible
    found = {name: np.zeros(graph.parameters[name].shape, dtype=bool) for name in gates_of(graph)}
    for u in graph.unit_parameters:
        if u.role == "gate" and u.parameter:
            found[u.parameter].reshape(-1)[_acting(u, on_path[graph.slices[u.layer]])] = True
    return {name: torch.from_numpy(mask) for name, mask in found.items()}


def _acting(gate: ng.UnitParameter, units: np.ndarray) -> np.ndarray | slice:
    """Return the elements of a gate that act on any of some units."""
    if gate.index is None:
        return slice(None) if units.any() else slice(0)
    index = gate.index[units]
    return index[index >= 0]
