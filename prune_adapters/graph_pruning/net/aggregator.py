"""Graph convolutions in plain torch: each node takes in what its neighbours know."""

from itertools import pairwise

import torch
from torch import nn

__all__ = ["Aggregator"]


class Aggregator(nn.Module):
    """Layers ``H = ReLU(A H W + b)`` over a small graph, with the normalised adjacency A of [2]_.

    Reconstructed from the abstracts of [1]_, which name graph convolutions and no sizes.

    Parameters
    ----------
    adjacency : Tensor, shape (n_nodes, n_nodes)
        ``D^-1/2 (A + I) D^-1/2``, of `LayerGraph.adjacency`. The identity means that no node hears of another.
    features : int
        Of a node.
    hidden : int
        Numbers that a node has after each layer.
    layers : int
        How many steps along edges a feature travels. 0: one layer without the graph, ``H = ReLU(X W + b)``.

    Raises
    ------
    ValueError
        `hidden` is below 1 or `layers` below 0, or the adjacency is not square.

    Notes
    -----
    Weights are drawn as Glorot's from torch's random numbers, biases are 0, as in the graph layers of torch_geometric.

    References
    ----------
    .. [1] Zhang, Yu, Rong, Ou, "GraphPruning", arXiv 1911.09817 (2019), abstracts of both versions.
    .. [2] Kipf and Welling, "Semi-Supervised Classification with Graph Convolutional Networks", ICLR 2017, equation 2.

    Examples
    --------
    >>> joined = torch.tensor([[0.5, 0.5], [0.5, 0.5]])
    >>> aggregator = Aggregator(joined, 3, hidden=4, layers=1)
    >>> one, other = aggregator(torch.eye(2, 3))
    >>> one.shape, torch.equal(one, other)
    (torch.Size([4]), True)
    """

    adjacency: torch.Tensor

    def __init__(self, adjacency: torch.Tensor, features: int, *, hidden: int = 32, layers: int = 2) -> None:
        super().__init__()
        if adjacency.dim() != 2 or adjacency.shape[0] != adjacency.shape[1]:
            raise ValueError(f"adjacency: expected shape (n_nodes, n_nodes), got {tuple(adjacency.shape)}")
        if hidden < 1 or layers < 0:
            raise ValueError(f"expected hidden of at least 1 and layers of at least 0, got {hidden} and {layers}")
        mixing = adjacency if layers else torch.eye(len(adjacency), dtype=adjacency.dtype)
        self.register_buffer("adjacency", mixing.to(torch.float32), persistent=False)
        sizes = [features] + [hidden] * max(layers, 1)
        self.weights = nn.ParameterList(torch.empty(*pair) for pair in pairwise(sizes))
        self.biases = nn.ParameterList(torch.zeros(size) for size in sizes[1:])
        for weight in self.weights:
            nn.init.xavier_uniform_(weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the aggregated features of all nodes.

        Parameters
        ----------
        x : Tensor, shape (..., n_nodes, features)

        Returns
        -------
        Tensor, shape (..., n_nodes, hidden)
            Not negative.
        """
        for weight, bias in zip(self.weights, self.biases, strict=True):
            x = torch.relu(self.adjacency @ (x @ weight) + bias)
        return x
