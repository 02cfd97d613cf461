"""Weights of one layer for several sub-networks at once: generated from a node's features, or the same for all."""

from collections.abc import Sequence
from math import prod, sqrt

import torch
from torch import nn
from torch.nn import functional

__all__ = ["GeneratedWeight", "SharedWeight"]


class GeneratedWeight(nn.Module):
    """A linear layer of its own for one weight tensor: features of a node in, all elements of the weight out.

    Reconstructed from the abstract of the first version of [1]_ ("an individual fully connection layer for each
    node"); viewing and cropping are those of MetaPruning [2]_.

    Parameters
    ----------
    shape : sequence of int
        Of the weight in the dense model, (out, in, ...).
    hidden : int
        Features of a node.
    rank : int, optional
        Go through so many numbers in between: ``rank + 1`` instead of ``hidden + 1`` numbers a weight. For wide
        networks; at least `hidden` saves nothing.

    Raises
    ------
    ValueError
        `rank` is below 1.

    Notes
    -----
    The bias starts as He's noise for the layer, of variance ``2 / fan_in``; what the features add starts with that
    variance divided by their number, so that the weights start near He's scale whatever the sub-network.

    References
    ----------
    .. [1] Zhang, Yu, Rong, Ou, "GraphPruning", arXiv 1911.09817 (2019), abstracts of both versions.
    .. [2] Liu et al., "MetaPruning", ICCV 2019, section 3.1.

    Examples
    --------
    >>> generator = GeneratedWeight((8, 4, 3, 3), 32)
    >>> [tuple(weight.shape) for weight in generator(torch.rand(2, 32), 5)]
    [(5, 4, 3, 3), (5, 4, 3, 3)]
    >>> sum(p.numel() for p in generator.parameters()) / (8 * 4 * 9)
    33.0
    """

    def __init__(self, shape: Sequence[int], hidden: int, *, rank: int | None = None) -> None:
        super().__init__()
        if rank is not None and rank < 1:
            raise ValueError(f"rank: expected at least 1, or None for a generator in one piece, got {rank}")
        self.shape = tuple(shape)
        self.narrow = None if rank is None else nn.Linear(hidden, rank, bias=False)
        self.wide = nn.Linear(hidden if rank is None else rank, prod(self.shape))
        scale = _he_scale(self.shape)
        nn.init.normal_(self.wide.bias, std=scale)
        nn.init.normal_(self.wide.weight, std=scale / sqrt(self.wide.in_features))
        if self.narrow is not None:
            nn.init.normal_(self.narrow.weight, std=1 / sqrt(hidden))

    def forward(self, features: torch.Tensor, rows: int) -> tuple[torch.Tensor, ...]:
        """Return the first rows of the weight for each sub-network; the others are not computed.

        Parameters
        ----------
        features : Tensor, shape (n_candidates, hidden)
        rows : int
            How many entries along the first dimension are wanted.

        Returns
        -------
        tuple of Tensor, shape (rows, *shape[1:])
        """
        n_elements = rows * prod(self.shape[1:])
        if self.narrow is not None:
            features = self.narrow(features)
        flat = functional.linear(features, self.wide.weight[:n_elements], self.wide.bias[:n_elements])
        return flat.view(len(features), rows, *self.shape[1:]).unbind()


class SharedWeight(nn.Module):
    """One weight tensor for all sub-networks, whatever the features: the slimmable baseline [1]_.

    Parameters
    ----------
    shape : sequence of int
        Of the weight in the dense model, (out, in, ...).

    References
    ----------
    .. [1] Yu and Huang, "Universally Slimmable Networks and Improved Training Techniques", ICCV 2019.

    Examples
    --------
    >>> one, other = SharedWeight((8, 4))(torch.rand(2, 32), 5)
    >>> one.shape, torch.equal(one, other)
    (torch.Size([5, 4]), True)
    """

    def __init__(self, shape: Sequence[int]) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(tuple(shape)))
        nn.init.normal_(self.weight, std=_he_scale(self.weight.shape))

    def forward(self, features: torch.Tensor, rows: int) -> tuple[torch.Tensor, ...]:
        """Return the first rows of the weight, once for each sub-network.

        Parameters
        ----------
        features : Tensor, shape (n_candidates, hidden)
            Only counted.
        rows : int

        Returns
        -------
        tuple of Tensor, shape (rows, *shape[1:])
        """
        return (self.weight[:rows],) * len(features)


def _he_scale(shape: Sequence[int]) -> float:
    """Return the standard deviation of He's start for a layer followed by ReLU."""
    return sqrt(2 / prod(shape[1:]))
