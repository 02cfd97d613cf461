"""Convolutions that hold and multiply kept weights only, in one dimension or two."""

from typing import TypeVar

import torch
from torch import nn

import netgraph as ng
from prune_adapters.layers.base import Plan, SparseLayer, take_values
from prune_adapters.layers.pattern import block_size, check_mask, graph_block, kept_of, start_bias, start_values
from prune_adapters.layers.settings import Settings, Sizes
from prune_adapters.plans import BlockPlan, PairPlan, TapPlan

__all__ = ["RegularConv1d", "RegularConv2d", "SparseConv1d", "SparseConv2d"]

ConvT = TypeVar("ConvT", bound="_Convolution")


class _Convolution(SparseLayer):
    """What all convolutions have: settings, shapes, and the way from a dense layer and back."""

    plan: "PairPlan | TapPlan | BlockPlan"
    n_dimensions: int
    settings: Settings

    def __init__(self, settings: Settings, plan: Plan, values: torch.Tensor, bias: torch.Tensor | None) -> None:
        super().__init__(plan, values, bias)
        self.settings = settings

    @classmethod
    def from_dense(cls: type[ConvT], layer: nn.Conv1d | nn.Conv2d, mask: torch.Tensor | None = None) -> ConvT:
        """Return the layer that computes what a dense one does under a mask.

        Parameters
        ----------
        layer : Conv1d or Conv2d
            Not changed; its values are copied.
        mask : Tensor of bool, optional
            None: what `apply_masks` remembers, or else what is not 0.

        Raises
        ------
        MaskError
            The mask has another shape or dtype than the weight.
        """
        settings = Settings.of(layer)
        made = cls.__new__(cls)
        weight = layer.weight
        plan = cls._plan(settings.inner(kept_of(layer, mask)))
        _Convolution.__init__(made, settings, plan, plan.from_dense(settings.inner(weight)), layer.bias)
        return made.train(layer.training)

    @staticmethod
    def _plan(mask: torch.Tensor) -> "PairPlan | TapPlan | BlockPlan":
        raise NotImplementedError

    def _fresh(self, settings: Settings, mask: torch.Tensor, bias: bool, like: torch.Tensor) -> None:
        """Begin as torch does, by the fan-in that the mask leaves to each output."""
        plan = self._plan(settings.inner(mask)).to(like.device)
        weight = start_values(mask, like).requires_grad_()
        start = start_bias(mask, like).requires_grad_() if bias else None
        _Convolution.__init__(self, settings, plan, plan.from_dense(settings.inner(weight)), start)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the convolution of x, as torch's layer does: shape (batch, out_channels, ...) or without a batch."""
        batched = x if x.dim() == self.n_dimensions + 2 else x.unsqueeze(0)
        ready, zeros = self.settings.padded(batched)
        stride, dilation = self.settings.steps
        y = self.plan.conv2d(ready, self.values, self.bias, stride=stride, padding=zeros, dilation=dilation)
        if self.n_dimensions == 1:
            y = y.squeeze(2)
        return y if batched is x else y.squeeze(0)

    @property
    def weight_shape(self) -> torch.Size:
        """Shape of the dense weight."""
        return self.settings.weight_shape

    def _own_shape(self, whole: torch.Tensor) -> torch.Tensor:
        return self.settings.outer(whole)

    def _plan_shape(self, weight: torch.Tensor) -> torch.Tensor:
        return self.settings.inner(weight)

    def to_dense(self) -> nn.Conv1d | nn.Conv2d:
        """Return torch's convolution with the same weights, zeros where removed."""
        layer = self.settings.dense(self.bias is not None, self.values.device, self.values.dtype)
        take_values(layer, self)
        return layer

    def extra_repr(self) -> str:
        """Return the settings of the convolution, and the density."""
        bias = "" if self.bias is not None else ", bias=False"
        return f"{self.settings.text()}{bias}, density={self.density:.3g}"


class _Sparse(_Convolution):
    """A mask of any form."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Sizes,
        mask: torch.Tensor,
        stride: Sizes = 1,
        padding: Sizes | str = 0,
        dilation: Sizes = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        settings = Settings.made(
            self.n_dimensions,
            (in_channels, out_channels, kernel_size, stride, padding, dilation, groups, padding_mode),
        )
        check_mask(type(self).__name__, mask, settings.weight_shape)
        self._fresh(settings, mask, bias, torch.empty(0, device=device, dtype=dtype))

    @staticmethod
    def _plan(mask: torch.Tensor) -> "PairPlan | TapPlan | BlockPlan":
        pairs = mask.flatten(2)
        whole = torch.equal(pairs.any(dim=2), pairs.all(dim=2))
        return PairPlan.from_mask(mask) if whole else TapPlan.from_mask(mask)


class SparseConv2d(_Sparse):
    """A convolution with a mask of any form.

    Computes what `torch.nn.Conv2d` computes whose removed weights are 0. Where the mask keeps or removes the kernel of
    each pair of channels as a whole, kernels are stored (`PairPlan`), else single taps (`TapPlan`).

    Parameters
    ----------
    in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode, device, dtype
        As in `torch.nn.Conv2d`.
    mask : Tensor of bool, shape (out_channels, in_channels / groups, height, width)
        True = kept.

    Attributes
    ----------
    values : Parameter, shape (number of kernels, height, width) or (number of taps,)
    bias : Parameter, shape (out_channels,), or None

    Raises
    ------
    MaskError
        The mask has another shape or dtype.
    ValueError
        The settings are none of a convolution.

    Examples
    --------
    >>> import torch, prune_adapters as pa
    >>> mask = torch.rand(8, 4, 3, 3) < 0.5
    >>> layer = pa.SparseConv2d(4, 8, 3, mask, padding=1)
    >>> layer(torch.ones(2, 4, 6, 6)).shape, layer.weight.shape
    (torch.Size([2, 8, 6, 6]), torch.Size([8, 4, 3, 3]))
    """

    n_dimensions = 2


class SparseConv1d(_Sparse):
    """A convolution in one dimension with a mask of any form; see `SparseConv2d`.

    Parameters
    ----------
    in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode, device, dtype
        As in `torch.nn.Conv1d`.
    mask : Tensor of bool, shape (out_channels, in_channels / groups, length of the kernel)
        True = kept.

    Examples
    --------
    >>> import torch, prune_adapters as pa
    >>> pa.SparseConv1d(4, 8, 3, torch.rand(8, 4, 3) < 0.5)(torch.ones(2, 4, 9)).shape
    torch.Size([2, 8, 7])
    """

    n_dimensions = 1


class _Regular(_Convolution):
    """Channels joined in blocks by a relational graph."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Sizes,
        graph: ng.NodeGraph,
        stride: Sizes = 1,
        padding: Sizes | str = 0,
        dilation: Sizes = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        *,
        self_loops: bool = False,
        share_neighbours: int = 1,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        settings = Settings.made(
            self.n_dimensions, (in_channels, out_channels, kernel_size, stride, padding, dilation, 1, padding_mode)
        )
        graph_block(type(self).__name__, graph, out_channels, in_channels, share_neighbours)
        joined = ng.relational_biadjacency(
            graph, out_channels, in_channels, self_loops=self_loops, share_neighbours=share_neighbours
        )
        shape = settings.weight_shape
        mask = torch.from_numpy(joined).reshape(*shape[:2], *[1] * self.n_dimensions).expand(shape)
        self._fresh(settings, mask, bias, torch.empty(0, device=device, dtype=dtype))

    @staticmethod
    def _plan(mask: torch.Tensor) -> "PairPlan | TapPlan | BlockPlan":
        return BlockPlan.from_mask(mask, block=block_size(mask))


class RegularConv2d(_Regular):
    """A convolution whose channels are joined in blocks by a relational graph, all kernel positions alike.

    Parameters
    ----------
    in_channels, out_channels : int
        Multiples of the number of nodes, the inputs also of ``n_nodes * share_neighbours``.
    kernel_size, stride, padding, dilation, bias, padding_mode, device, dtype
        As in `torch.nn.Conv2d`.
    graph : NodeGraph
    self_loops : bool
        Whether a node reads its own inputs.
    share_neighbours : int
        See `netgraph.relational_biadjacency`. Blocks have as many outputs as before and so many times fewer inputs.

    Attributes
    ----------
    values : Parameter, shape (number of blocks, outputs of a block, inputs of a block, height, width)
    bias : Parameter, shape (out_channels,), or None

    Raises
    ------
    ValueError
        The channels are no multiple of the nodes; `SparseConv2d` takes the mask of `regular_masks` then.
    ChannelsBelowNodesError
        There are fewer channels than nodes.

    Examples
    --------
    >>> import torch, netgraph as ng, prune_adapters as pa
    >>> layer = pa.RegularConv2d(32, 64, 3, ng.generators.circulant(4, degree=2), padding=1)
    >>> layer.values.shape, layer.density, layer(torch.ones(2, 32, 6, 6)).shape
    (torch.Size([8, 16, 8, 3, 3]), 0.5, torch.Size([2, 64, 6, 6]))
    """

    n_dimensions = 2


class RegularConv1d(_Regular):
    """A convolution in one dimension whose channels are joined in blocks by a relational graph; see `RegularConv2d`.

    Parameters
    ----------
    in_channels, out_channels, kernel_size, graph, stride, padding, dilation, bias, padding_mode
        As `RegularConv2d` takes them.
    self_loops, share_neighbours, device, dtype
        As `RegularConv2d` takes them.

    Examples
    --------
    >>> import torch, netgraph as ng, prune_adapters as pa
    >>> pa.RegularConv1d(32, 64, 3, ng.generators.circulant(4, degree=2))(torch.ones(2, 32, 6)).shape
    torch.Size([2, 64, 4])
    """

    n_dimensions = 1
