"""What a node of the layer graph knows of a sub-network: how much of its layer is kept, and what its layer is."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from prune_adapters.graph_pruning.layers.layer_graph import LayerGraph

__all__ = ["NodeFeatures"]


class NodeFeatures(nn.Module):
    """The features of all nodes: kept share of the output and of the input channels, then what never changes.

    Where nodes are blocks the kept share of the channels inside a block comes third. Reconstructed from the abstracts
    of [1]_ and from MetaPruning [2]_, which gives its generators these shares.

    Parameters
    ----------
    graph : LayerGraph
    static : bool
        Append `LayerGraph.static_features`. Without them nodes differ by their place in the graph alone.

    References
    ----------
    .. [1] Zhang, Yu, Rong, Ou, "GraphPruning", arXiv 1911.09817 (2019), abstracts of both versions.
    .. [2] Liu et al., "MetaPruning", ICCV 2019, section 3.1.

    Examples
    --------
    >>> from prune_adapters.graph_pruning.layers.layer_graph import layer_graph
    >>> from prune_adapters.graph_pruning.space.space import width_space
    >>> model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    >>> features = NodeFeatures(layer_graph(width_space(model, torch.ones(1, 3))), static=False)
    >>> features([(2, 8), (4, 2)])
    tensor([[[0.5000, 1.0000],
             [1.0000, 0.5000]],
    <BLANKLINE>
            [[1.0000, 1.0000],
             [0.2500, 1.0000]]])
    """

    outputs: torch.Tensor
    sizes: torch.Tensor
    reads: torch.Tensor
    inner: torch.Tensor
    fixed: torch.Tensor

    def __init__(self, graph: LayerGraph, *, static: bool = True) -> None:
        super().__init__()
        sizes = [width.size for width in graph.space.widths]
        self.has_inner = any(graph.inner)
        fixed = graph.static_features() if static else np.empty((len(graph.nodes), 0))
        self.register_buffer("outputs", torch.tensor(graph.outputs, dtype=torch.int64), persistent=False)
        self.register_buffer("sizes", torch.tensor(sizes, dtype=torch.float32), persistent=False)
        self.register_buffer("reads", _membership(graph.inputs, len(sizes)), persistent=False)
        self.register_buffer("inner", _membership(graph.inner, len(sizes)), persistent=False)
        self.register_buffer("fixed", torch.tensor(fixed, dtype=torch.float32), persistent=False)

    @property
    def number(self) -> int:
        """Features of a node."""
        return 2 + self.has_inner + self.fixed.shape[1]

    def forward(self, candidates: Sequence[Sequence[int]]) -> torch.Tensor:
        """Return the features of each node in each sub-network.

        Parameters
        ----------
        candidates : sequence of counts
            For each sub-network the channel groups that each width keeps.

        Returns
        -------
        Tensor, shape (n_candidates, n_nodes, number)
            The shares are in (0, 1]; a node that reads the fixed input keeps all of it, 1.
        """
        counts = torch.tensor(candidates, dtype=self.sizes.dtype, device=self.sizes.device)
        shares = [(counts / self.sizes)[:, self.outputs], self._share(counts, self.reads)]
        if self.has_inner:
            shares.append(self._share(counts, self.inner))
        fixed = self.fixed.expand(len(candidates), -1, -1)
        return torch.cat([torch.stack(shares, dim=2), fixed], dim=2)

    def _share(self, counts: torch.Tensor, members: torch.Tensor) -> torch.Tensor:
        """Return the kept share of the widths of each node together, 1 where it has none."""
        kept, whole = counts @ members, self.sizes @ members
        return torch.where(whole > 0, kept / whole.clamp_min(1), 1.0)


def _membership(places: Sequence[Sequence[int]], n_widths: int) -> torch.Tensor:
    """Return which widths each node has, shape (n_widths, n_nodes)."""
    members = torch.zeros(n_widths, len(places))
    for node, own in enumerate(places):
        members[list(own), node] = 1
    return members
