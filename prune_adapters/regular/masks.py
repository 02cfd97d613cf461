"""One mask for each convolution and linear layer of a model, from a graph of a few nodes."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import torch
from torch import nn

from netgraph import ChannelsBelowNodesError, NetGraph, NodeGraph
from netgraph.relational import relational_biadjacency
from prune_adapters.groups import CONVOLUTIONS, TRANSPOSED
from prune_adapters.masks import parameter_names, parameter_owners, resolve_name
from prune_adapters.trace import to_graph

__all__ = ["regular_masks"]

ALL_CONVOLUTIONS = (*CONVOLUTIONS, *TRANSPOSED)
Graphs = NodeGraph | Mapping[str, NodeGraph]


def regular_masks(
    model: nn.Module,
    example_inputs: torch.Tensor | Sequence[object] | Mapping[str, object],
    graph: Graphs,
    *,
    dense: str | Iterable[str] = "ends",
    self_loops: bool = False,
    share_neighbours: int = 1,
    seed: int = 1,
) -> dict[str, torch.Tensor]:
    """Return masks in which two channels of a layer are joined if their nodes are, all kernel positions alike.

    Each node owns a contiguous group of the channels of every layer, so one graph serves layers of any width, and a
    residual connection keeps each channel with its node. A d-regular graph on N nodes keeps d / N of the weights of a
    layer, (d + 1) / N with self-loops, exactly where N divides its input or its output channels.

    Parameters
    ----------
    model : Module
        Not changed. Linear layers and convolutions get a mask; grouped ones keep what the graph joins inside each
        group; depthwise ones, which have no choice of inputs, get none.
    example_inputs : Tensor, tuple or dict
        As `to_graph` takes them; the model is traced to find its ends.
    graph : NodeGraph, or mapping of str to NodeGraph
        One graph for all layers (as in the paper), or one for each named weight; the others stay dense.
    dense : "ends", or iterable of str
        Weights that get no mask: those that read an input of the model or make an output (the paper's choice), or
        the named ones, which may be none.
    self_loops : bool
        Whether a node reads its own channels: False as Regular Graph Pruning, True as You et al.
    share_neighbours : int
        Outputs in groups of so many times more channels read the same inputs (`ng.relational_biadjacency`). A graph
        with N / share_neighbours nodes then keeps what one of N nodes does.
    seed : int
        Chooses the nodes that own a channel more; the papers' code has 1.

    Returns
    -------
    dict of str to Tensor of bool
        In the order of ``named_parameters()``, on the CPU; `apply_masks` takes them.

    Raises
    ------
    ChannelsBelowNodesError
        A layer has fewer channels than the graph has nodes (or parts of nodes); the message names it.
    MaskError
        `dense` or `graph` names something that is no parameter.
    TraceError
        The model cannot be followed.
    ValueError
        A layer named in `graph` is no linear layer or convolution.

    References
    ----------
    .. [1] Chen et al., "Regular Graph Pruning", arXiv 2110.15192 (2021). It leaves the first convolution and the last
       linear layer dense.
    .. [2] You, Leskovec, He and Xie, "Graph Structure of Neural Networks", ICML (2020).

    Examples
    --------
    >>> import netgraph as ng
    >>> model = nn.Sequential(nn.Linear(3, 6), nn.ReLU(), nn.Linear(6, 3), nn.ReLU(), nn.Linear(3, 2))
    >>> triangle = ng.NodeGraph.from_edges(3, [(0, 1), (1, 2), (2, 0)])
    >>> regular_masks(model, torch.ones(1, 3), triangle)["2.weight"].int()
    tensor([[0, 0, 1, 1, 1, 1],
            [1, 1, 0, 0, 1, 1],
            [1, 1, 1, 1, 0, 0]], dtype=torch.int32)
    """
    owners, names = parameter_owners(model), parameter_names(model)
    layers = {name: held[0][0] for name, held in owners.items() if held[0][1] == "weight" and _takes_a_mask(held[0][0])}
    listed = [dense] if isinstance(dense, str) else dense
    left = _ends(to_graph(model, example_inputs)) if dense == "ends" else {resolve_name(n, names) for n in listed}
    graphs = dict.fromkeys(layers, graph) if isinstance(graph, NodeGraph) else _named(graph, names, layers)
    return {
        name: _mask(name, layers[name], graphs[name], self_loops, share_neighbours, seed)
        for name in layers
        if name in graphs and name not in left
    }


def _takes_a_mask(layer: nn.Module) -> bool:
    if isinstance(layer, ALL_CONVOLUTIONS):
        return layer.groups == 1 or layer.groups < min(layer.in_channels, layer.out_channels)
    return isinstance(layer, nn.Linear)


def _named(
    graphs: Mapping[str, NodeGraph], names: Mapping[str, str], layers: Mapping[str, nn.Module]
) -> dict[str, NodeGraph]:
    found = {resolve_name(name, names): graph for name, graph in graphs.items()}
    if other := [name for name in found if name not in layers]:
        raise ValueError(
            f"graph for {other[0]!r}: expected the weight of a linear layer or of a convolution that mixes"
        )
    return found


def _ends(graph: NetGraph) -> set[str]:
    """Return the weights that read an input of the model, or whose result reaches an output through wiring only."""
    first, last = (_layers_of(graph, units) for units in (graph.inputs, graph.outputs))
    place = {name: number for number, name in enumerate(graph.layers)}
    for wire in sorted(graph.wiring, key=lambda wire: place[wire.source]):
        if wire.source in first:
            first.add(wire.target)
    for wire in sorted(graph.wiring, key=lambda wire: -place[wire.target]):
        if wire.target in last:
            last.add(wire.source)
    return {use.parameter for use in graph.weighted if use.source in first or use.target in last}


def _layers_of(graph: NetGraph, units: np.ndarray) -> set[str]:
    return {name for name, own in graph.slices.items() if ((units >= own.start) & (units < own.stop)).any()}


def _mask(
    name: str, layer: nn.Module, graph: NodeGraph, self_loops: bool, share_neighbours: int, seed: int
) -> torch.Tensor:
    outputs, inputs = _widths(layer)
    try:
        joined = relational_biadjacency(
            graph, outputs, inputs, self_loops=self_loops, share_neighbours=share_neighbours, seed=seed
        )
    except ChannelsBelowNodesError as error:
        raise ChannelsBelowNodesError(f"{name!r}: {error}") from None
    pairs = torch.from_numpy(_of_own_group(joined, getattr(layer, "groups", 1)))
    if isinstance(layer, TRANSPOSED):
        pairs = pairs.unflatten(0, (layer.groups, -1)).transpose(1, 2).flatten(0, 1)
    weight = layer.get_parameter("weight")
    return pairs.reshape(*pairs.shape, *[1] * (weight.dim() - 2)).expand(weight.shape).contiguous()


def _widths(layer: nn.Module) -> tuple[int, int]:
    """Return the number of output and input channels."""
    if isinstance(layer, nn.Linear):
        return layer.out_features, layer.in_features
    assert isinstance(layer, ALL_CONVOLUTIONS)
    return layer.out_channels, layer.in_channels


def _of_own_group(joined: np.ndarray, groups: int) -> np.ndarray:
    """Return of each row the columns of its own group: ndarray of bool, shape (n_outputs, n_inputs / groups)."""
    blocks = joined.reshape(groups, len(joined) // groups, groups, -1)
    number = np.arange(groups)
    return blocks[number, :, number].reshape(len(joined), -1)
