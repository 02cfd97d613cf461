"""The plan of a convolution that keeps or removes single taps of its kernels."""

from typing import ClassVar

import torch

from prune_adapters import ops
from prune_adapters.ops.arguments import Pair
from prune_adapters.plans.conv import ConvPlan

__all__ = ["TapPlan"]


class TapPlan(ConvPlan):
    """Where the elements of the weight of a convolution are, if any of them can be missing.

    The values of a layer have shape (n_values,): the kept elements of the weight in row-major order. Where whole
    kernels are missing, a `PairPlan` is faster. Make one with `from_mask`, or with `from_state` what was saved.

    Parameters
    ----------
    shape, ptr, idx, t_ptr, t_idx, t_perm
        See `ConvPlan`.

    Examples
    --------
    >>> plan = TapPlan.from_mask(torch.tensor([True, False, True, False, False, True]).view(1, 2, 1, 3))
    >>> plan
    TapPlan(1 x 2 x 1 x 3, 3 values, density 0.5)
    >>> plan.from_dense(torch.arange(6.0).view(1, 2, 1, 3))
    tensor([0., 2., 5.])
    >>> plan.conv2d(torch.ones(1, 2, 1, 3), torch.tensor([1.0, 2.0, 3.0])).flatten()
    tensor([6.])
    """

    by_taps: ClassVar[bool] = True

    def conv2d(
        self,
        x: torch.Tensor,
        values: torch.Tensor,
        bias: torch.Tensor | None = None,
        *,
        stride: Pair = 1,
        padding: Pair = 0,
        dilation: Pair = 1,
    ) -> torch.Tensor:
        """Return the convolution of x; see `prune_adapters.ops.sparse_conv2d`.

        Parameters
        ----------
        x : Tensor, shape (batch, in_channels, in_height, in_width)
        values : Tensor, shape (n_values,)
        bias : Tensor, shape (out_channels,), optional
        stride, padding, dilation : int or (int, int), optional
            As in `torch.nn.functional.conv2d`.

        Returns
        -------
        Tensor, shape (batch, out_channels, out_height, out_width)
        """
        return ops.sparse_conv2d(x, values, bias, *self.tables, self.shape[2:], stride, padding, dilation)
