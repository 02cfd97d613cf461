"""Linear layers that hold and multiply kept weights only."""

from typing import TypeVar

import torch
from torch import nn

import netgraph as ng
from prune_adapters.layers.base import SparseLayer, take_values
from prune_adapters.layers.pattern import block_size, check_mask, graph_block, kept_of, start_bias, start_values
from prune_adapters.plans import BlockPlan, SparsePlan

__all__ = ["RegularLinear", "SparseLinear"]

LinearT = TypeVar("LinearT", bound="_Linear")


class _Linear(SparseLayer):
    """What both have: sizes, and the way from a dense layer and back."""

    plan: "SparsePlan | BlockPlan"

    @classmethod
    def from_dense(cls: type[LinearT], layer: nn.Linear, mask: torch.Tensor | None = None) -> LinearT:
        """Return the layer that computes what a dense one does under a mask.

        Parameters
        ----------
        layer : Linear
            Not changed; its values are copied.
        mask : Tensor of bool, optional
            None: what `apply_masks` remembers, or else what is not 0.

        Raises
        ------
        MaskError
            The mask has another shape or dtype than the weight.
        """
        made = cls.__new__(cls)
        plan = cls._plan(kept_of(layer, mask))
        SparseLayer.__init__(made, plan, plan.from_dense(layer.weight), layer.bias)
        return made.train(layer.training)

    @staticmethod
    def _plan(mask: torch.Tensor) -> "SparsePlan | BlockPlan":
        raise NotImplementedError

    def _fresh(self, mask: torch.Tensor, bias: bool, like: torch.Tensor) -> None:
        """Begin as torch does, by the fan-in that the mask leaves to each output."""
        plan = self._plan(mask).to(like.device)
        start = start_bias(mask, like).requires_grad_() if bias else None
        SparseLayer.__init__(self, plan, plan.from_dense(start_values(mask, like).requires_grad_()), start)

    @property
    def in_features(self) -> int:
        """Number of inputs."""
        return self.plan.shape[1]

    @property
    def out_features(self) -> int:
        """Number of outputs."""
        return self.plan.shape[0]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return ``x @ weight.T + bias``: shape (..., out_features)."""
        return self.plan.linear(x, self.values, self.bias)

    def to_dense(self) -> nn.Linear:
        """Return a `torch.nn.Linear` with the same weights, zeros where removed."""
        like = self.values
        dense = nn.Linear(self.in_features, self.out_features, self.bias is not None, like.device, like.dtype)
        take_values(dense, self)
        return dense

    def extra_repr(self) -> str:
        """Return sizes and density."""
        text = f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}"
        return f"{text}, density={self.density:.3g}"


class SparseLinear(_Linear):
    """A linear layer with a mask of any form, stored and multiplied as a sparse matrix.

    Computes what `torch.nn.Linear` computes whose removed weights are 0.

    Parameters
    ----------
    in_features, out_features : int
    mask : Tensor of bool, shape (out_features, in_features)
        True = kept.
    bias : bool
    device, dtype
        As in torch.

    Attributes
    ----------
    values : Parameter, shape (number of kept weights,)
    bias : Parameter, shape (out_features,), or None

    Raises
    ------
    MaskError
        The mask has another shape or dtype.

    Notes
    -----
    Weights begin as those of `torch.nn.Linear`, but by the fan-in that the mask leaves to each output, as
    `correct_fan_in` does it.

    Examples
    --------
    >>> import torch, prune_adapters as pa
    >>> layer = pa.SparseLinear(4, 2, mask=torch.tensor([[True, False, False, True], [False, True, False, False]]))
    >>> layer(torch.ones(3, 4)).shape, layer.values.shape, list(layer.state_dict())
    (torch.Size([3, 2]), torch.Size([3]), ['weight', 'bias'])
    >>> layer.to_dense()
    Linear(in_features=4, out_features=2, bias=True)
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        mask: torch.Tensor,
        bias: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        check_mask(type(self).__name__, mask, (out_features, in_features))
        self._fresh(mask, bias, torch.empty(0, device=device, dtype=dtype))

    @staticmethod
    def _plan(mask: torch.Tensor) -> SparsePlan:
        return SparsePlan.from_mask(mask)


class RegularLinear(_Linear):
    """A linear layer whose channels are joined in blocks by a relational graph.

    Each node of the graph owns a block of the inputs and one of the outputs (`netgraph.relational_biadjacency`); the
    blocks of joined nodes are dense matrices. At equal density that is about twice as fast as `SparseLinear` on a
    CPU, and what matrix units of GPUs want.

    Parameters
    ----------
    in_features, out_features : int
        Multiples of the number of nodes, the inputs also of ``n_nodes * share_neighbours``.
    graph : NodeGraph
    bias : bool
    self_loops : bool
        Whether a node reads its own inputs.
    share_neighbours : int
        See `netgraph.relational_biadjacency`. Blocks have as many outputs as before and so many times fewer inputs.
    device, dtype
        As in torch.

    Raises
    ------
    ValueError
        The features are no multiple of the nodes; `SparseLinear` takes the mask then.
    ChannelsBelowNodesError
        There are fewer features than nodes.

    Examples
    --------
    >>> import torch, netgraph as ng, prune_adapters as pa
    >>> ring = ng.generators.circulant(4, degree=2)
    >>> layer = pa.RegularLinear(32, 64, ring)
    >>> layer.values.shape, layer.density, layer(torch.ones(3, 32)).shape
    (torch.Size([8, 16, 8]), 0.5, torch.Size([3, 64]))
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        graph: ng.NodeGraph,
        bias: bool = True,
        *,
        self_loops: bool = False,
        share_neighbours: int = 1,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        graph_block(type(self).__name__, graph, out_features, in_features, share_neighbours)
        joined = ng.relational_biadjacency(
            graph, out_features, in_features, self_loops=self_loops, share_neighbours=share_neighbours
        )
        self._fresh(torch.from_numpy(joined), bias, torch.empty(0, device=device, dtype=dtype))

    @staticmethod
    def _plan(mask: torch.Tensor) -> BlockPlan:
        return BlockPlan.from_mask(mask, block=block_size(mask))
