"""One call that sweeps a graph over the weights of a model, wherever they are."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from netgraph import NetGraph, Sweep, sweep_weights, trim
from netgraph.weights import checked_weights
from prune_adapters.sweeps.passes import Passes
from prune_adapters.sweeps.places import Places

__all__ = ["TensorSweep", "consistent_elements", "masks_by_operators", "sweep_by_operators", "sweep_on_device"]

FLOATS = (torch.float32, torch.float64, torch.float16, torch.bfloat16)


@dataclass(frozen=True, slots=True, eq=False)
class TensorSweep:
    """What one forward and one backward pass find out: `netgraph.Sweep` in tensors.

    Parameters
    ----------
    accessible, nonzero, co_accessible : Tensor of bool, shape (n_units,)
        Live units, units whose value is not identically 0, units that some output depends on. The units of a layer
        are ``graph.slices[layer]``.
    consistent : Tensor of int64, shape (n_weighted,)
        Number of consistent elements of each weighted connection.
    """

    accessible: torch.Tensor
    nonzero: torch.Tensor
    co_accessible: torch.Tensor
    consistent: torch.Tensor


def sweep_on_device(graph: NetGraph, weights: Mapping[str, torch.Tensor]) -> TensorSweep:
    """Return what the weights reach, without moving them: kept is what is not 0.

    Parameters
    ----------
    graph : NetGraph
        Gives the structure.
    weights : mapping of str to Tensor
        Values, or bool masks, in the shape of the parameter, all on one device. -0.0 is 0. Parameters without an
        entry keep the elements that they have in `graph`; gates and constant sources count as in `graph`.

    Returns
    -------
    TensorSweep
        On the device of the weights; equal to `netgraph.sweep` of ``netgraph.with_weights(graph, weights)``.

    Raises
    ------
    KeyError
        A name is not a parameter of this graph.
    ValueError
        There are no weights, they are on several devices, or one has another shape than its parameter.
    WeightValueError
        A weight on the CPU is NaN. Elsewhere nobody waits to look, and a NaN counts as kept.

    Notes
    -----
    On the CPU the kernels of netgraph read the weights where they lie. On other devices each connection is one
    operator forward and one back, and the host does not wait for any, so a training step may sweep each time; only a
    cyclic graph makes it wait, once a round. The graph holds what it has sent to a device.

    Examples
    --------
    >>> import netgraph as ng
    >>> index = ng.ElementIndex(0, (2, 2, 1, 1))
    >>> graph = ng.NetGraph({"x": 2, "y": 1}, [ng.Connection("w", "x", "y", 1, 2, index=index)], [0b11], [0, 1], [2])
    >>> found = sweep_on_device(graph, {"w": torch.tensor([-0.0, 0.5])})
    >>> found.co_accessible, found.consistent
    (tensor([False,  True,  True]), tensor([1]))
    """
    device = _device(weights)
    if device.type != "cpu":
        return sweep_by_operators(graph, weights)
    _, found = _with_weights(graph, weights)
    flags = (found.accessible, found.nonzero, found.co_accessible, found.consistent)
    return TensorSweep(*(torch.from_numpy(array) for array in flags))


def consistent_elements(graph: NetGraph, weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return which elements of each parameter are consistent: the masks of `netgraph.trim`, on the device.

    Parameters
    ----------
    graph, weights
        As `sweep_on_device` takes them; it raises the same errors.

    Returns
    -------
    dict of str to Tensor of bool
        Shape of the parameter, for each parameter with at least one edge. An element with several uses is kept if
        it is consistent in any of them; one without a use is removed.

    Examples
    --------
    >>> import netgraph as ng
    >>> index = ng.ElementIndex(0, (2, 2, 1, 1))
    >>> graph = ng.NetGraph({"x": 2, "y": 1}, [ng.Connection("w", "x", "y", 1, 2, index=index)], [0b11], [0], [2])
    >>> consistent_elements(graph, {"w": torch.tensor([1.0, 0.5])})
    {'w': tensor([ True, False])}
    """
    if _device(weights).type == "cpu":
        masks = trim(_with_weights(graph, weights)[0]).masks()
        return {name: torch.from_numpy(mask) for name, mask in masks.items()}
    return masks_by_operators(graph, weights)


def sweep_by_operators(graph: NetGraph, weights: Mapping[str, torch.Tensor]) -> TensorSweep:
    """Return `sweep_on_device` by operators, on any device.

    Parameters
    ----------
    graph, weights
        As `sweep_on_device` takes them.

    Returns
    -------
    TensorSweep

    Examples
    --------
    >>> import netgraph as ng
    >>> graph = ng.from_biadjacency([[[1, 1]]])
    >>> sweep_by_operators(graph, {"weight1": torch.tensor([[0.0, 2.0]])}).consistent
    tensor([1])
    """
    passes = _passes(graph, weights)
    return TensorSweep(passes.live, passes.nonzero, passes.co, passes.counts())


def masks_by_operators(graph: NetGraph, weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return `consistent_elements` by operators, on any device.

    Parameters
    ----------
    graph, weights
        As `sweep_on_device` takes them.

    Returns
    -------
    dict of str to Tensor of bool

    Examples
    --------
    >>> import netgraph as ng
    >>> graph = ng.from_biadjacency([[[1, 1]]])
    >>> masks_by_operators(graph, {"weight1": torch.tensor([[0.0, 2.0]])})
    {'weight1': tensor([[False,  True]])}
    """
    passes = _passes(graph, weights)
    return {name: passes.mask(name) for name in graph.edge_parameters}


def _with_weights(graph: NetGraph, weights: Mapping[str, torch.Tensor]) -> tuple[NetGraph, Sweep]:
    return sweep_weights(graph, {name: _array(weight) for name, weight in weights.items()}, dtype="bfloat16")


def _passes(graph: NetGraph, weights: Mapping[str, torch.Tensor]) -> Passes:
    device = _device(weights)
    stand_ins = {name: np.broadcast_to(np.float32(0), tuple(weight.shape)) for name, weight in weights.items()}
    checked_weights(graph, stand_ins)
    return Passes(Places(graph, weights, device))


def _device(weights: Mapping[str, torch.Tensor]) -> torch.device:
    devices = {weight.device for weight in weights.values()}
    if len(devices) != 1:
        found = ", ".join(sorted(map(str, devices))) or "no weights"
        raise ValueError(f"weights: expected tensors on one device, got {found}")
    return devices.pop()


def _array(weight: torch.Tensor) -> np.ndarray:
    """Return the weight as an array, without a copy; numpy has no bfloat16 and takes it as uint16."""
    weight = weight.detach()
    if weight.dtype == torch.bfloat16:
        return weight.view(torch.int16).numpy().view(np.uint16)
    return weight.numpy() if weight.dtype in (*FLOATS, torch.bool, torch.uint8) else weight.float().numpy()
