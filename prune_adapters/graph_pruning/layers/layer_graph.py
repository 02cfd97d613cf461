"""The graph of a model's prunable layers: who feeds whom, and whom a short-cut joins."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from torch import nn

from prune_adapters.counts import count_macs
from prune_adapters.graph_pruning.layers.blocks import in_blocks
from prune_adapters.graph_pruning.layers.producers import followed
from prune_adapters.graph_pruning.space.space import WidthSpace
from prune_adapters.trace.tracer import to_graph

__all__ = ["LayerGraph", "layer_graph"]


@dataclass(frozen=True, eq=False, repr=False)
class LayerGraph:
    """The prunable layers of a model, or its blocks, as an undirected graph; made by `layer_graph`.

    Parameters
    ----------
    space : WidthSpace
    nodes : tuple of str
        Module paths in the order of the computation: layers with weights whose output channels a width counts.
        Grouped convolutions are no nodes, as their outputs are coupled with their inputs.
    edges : ndarray of int64, shape (m, 2)
        Pairs i < j: node i feeds node j through norms, activations, pooling, sums and layers that are no nodes. Behind
        a sum this is the last layer of each branch; what it stands on is told by the short-cuts.
    shortcuts : ndarray of int64, shape (s, 2)
        Pairs i < j that are no edges: a sum joins the two.
    outputs : tuple of int
        The width that each node writes, by its place in ``space.widths``.
    inputs, inner : tuple of tuple of int
        The widths that each node reads, none for the fixed input; those that only its own layers know, none of a
        single layer.
    owners : mapping of str to int
        For every layer that a width shapes but that is no node, a depthwise convolution or an earlier layer of a block:
        the node it belongs to.
    """

    space: WidthSpace
    nodes: tuple[str, ...]
    edges: np.ndarray
    shortcuts: np.ndarray
    outputs: tuple[int, ...]
    inputs: tuple[tuple[int, ...], ...]
    inner: tuple[tuple[int, ...], ...]
    owners: Mapping[str, int]

    def adjacency(self, *, edges: bool = True, shortcuts: bool = True) -> np.ndarray:
        """Return the normalised adjacency ``D^-1/2 (A + I) D^-1/2`` of Kipf and Welling.

        Parameters
        ----------
        edges, shortcuts : bool
            Without both it is the identity: every layer by itself.

        Returns
        -------
        ndarray of float64, shape (n_nodes, n_nodes)
        """
        joined = np.eye(len(self.nodes))
        for wanted, pairs in ((edges, self.edges), (shortcuts, self.shortcuts)):
            if wanted:
                joined[pairs[:, 0], pairs[:, 1]] = joined[pairs[:, 1], pairs[:, 0]] = 1.0
        scale = joined.sum(axis=1) ** -0.5
        return scale[:, None] * joined * scale

    def static_features(self) -> np.ndarray:
        """Return what does not depend on the widths: ndarray of float64, shape (n_nodes, 6), each column in [0, 1].

        The columns are the place in the network, the logarithms of input and output channels, kernel size, stride,
        and the logarithm of the multiply-adds, all of the whole model.
        """
        macs = count_macs(self.space.model, self.space.example_inputs).by_layer()
        rows = [
            (i, *_sizes(self.space.model.get_submodule(p)), macs.get(p, (1, 1))[0]) for i, p in enumerate(self.nodes)
        ]
        columns = np.array(rows, dtype=np.float64)
        columns[:, [1, 2, 5]] = np.log(columns[:, [1, 2, 5]])
        span = columns.max(axis=0) - columns.min(axis=0)
        return (columns - columns.min(axis=0)) / np.where(span > 0, span, 1.0)

    def __repr__(self) -> str:
        sizes = f"{len(self.nodes)} nodes, {len(self.edges)} edges, {len(self.shortcuts)} short-cuts"
        return f"LayerGraph: {sizes}, {len(self.space.widths)} widths"


def layer_graph(space: WidthSpace, *, blocks: bool = False) -> LayerGraph:
    """Return the graph of a model's prunable layers.

    Reconstructed from the abstract of [1]_, which views a model as a graph of layers joined by data and short-cuts.

    Parameters
    ----------
    space : WidthSpace
    blocks : bool
        Let a node stand for a block instead of a layer, as in [2]_: a module that ends in a sum, and every other of
        its type. A block is named by its last layer.

    Returns
    -------
    LayerGraph

    References
    ----------
    .. [1] Zhang et al., Graph Pruning for Model Compression, Applied Intelligence 52, 2022.
    .. [2] Liu et al., MetaPruning, ICCV 2019.

    Examples
    --------
    >>> import torch
    >>> from prune_adapters.graph_pruning.space.space import width_space
    >>> layers = [nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2)]
    >>> graph = layer_graph(width_space(nn.Sequential(*layers), torch.ones(1, 3)))
    >>> graph, graph.nodes, graph.edges.tolist()
    (LayerGraph: 2 nodes, 1 edges, 0 short-cuts, 2 widths, ('0', '2'), [[0, 1]])
    """
    traced = to_graph(space.model, space.example_inputs, masks={})
    writers = {path: number for number, width in enumerate(space.widths) for path in width.layers}
    grouped = {path for path, module in space.model.named_modules() if getattr(module, "groups", 1) > 1}
    joined = followed(traced, set(writers) - grouped, set(writers) & grouped)
    if blocks:
        joined = in_blocks(joined, traced, space.model)
    members = [
        [path, *(own for own, node in joined.owners.items() if node == n and own not in grouped)]
        for n, path in enumerate(joined.nodes)
    ]
    written = [{writers[path] for path in own} for own in members]
    read = [{width for path in own for width in _read_by(path, space)} for own in members]
    outputs = [writers[path] for path in joined.nodes]
    inner = [own - {output} for own, output in zip(written, outputs, strict=True)]
    return LayerGraph(
        space,
        joined.nodes,
        _pairs(joined.edges),
        _pairs(joined.shortcuts - joined.edges),
        tuple(outputs),
        tuple(tuple(sorted(own - within)) for own, within in zip(read, inner, strict=True)),
        tuple(tuple(sorted(own)) for own in inner),
        dict(joined.owners),
    )


def _read_by(path: str, space: WidthSpace) -> set[int]:
    """Return the widths that a layer reads."""
    return {number for number, width in enumerate(space.widths) if any(path in group.inputs for group in width.groups)}


def _pairs(pairs: Iterable[tuple[int, int]]) -> np.ndarray:
    return np.array(sorted(pairs), dtype=np.int64).reshape(-1, 2)


def _sizes(layer: nn.Module) -> tuple[int, int, int, int]:
    """Return input and output channels, kernel size and stride."""
    if isinstance(layer, nn.MultiheadAttention):
        return layer.embed_dim, layer.embed_dim, 1, 1
    weight = layer.get_parameter("weight")
    kernel, stride = getattr(layer, "kernel_size", (1,))[0], getattr(layer, "stride", (1,))[0]
    return weight.shape[1], weight.shape[0], kernel, stride
