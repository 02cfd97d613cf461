"""The plan of a convolution that keeps or removes the whole kernel of each pair of channels."""

from typing import ClassVar

import torch

from prune_adapters import ops
from prune_adapters.errors import PlanError
from prune_adapters.ops.arguments import Pair
from prune_adapters.plans.conv import ConvPlan

__all__ = ["PairPlan"]


class PairPlan(ConvPlan):
    """Where the kernels of a convolution are, if each pair of channels has a whole one or none.

    The values of a layer have shape (n_pairs, height, width): by output, then by input channel. Make one with
    `from_mask`, or with `from_state` what was saved.

    Parameters
    ----------
    shape, ptr, idx, t_ptr, t_idx, t_perm
        See `ConvPlan`.

    Examples
    --------
    >>> plan = PairPlan.from_mask(torch.tensor([[True, False], [True, True]])[:, :, None, None].expand(2, 2, 1, 3))
    >>> plan
    PairPlan(2 x 2 x 1 x 3, 3 pairs, density 0.75)
    >>> plan.from_dense(torch.arange(12.0).view(2, 2, 1, 3)).flatten(1)
    tensor([[ 0.,  1.,  2.],
            [ 6.,  7.,  8.],
            [ 9., 10., 11.]])
    >>> plan.conv2d(torch.ones(1, 2, 1, 3), torch.ones(3, 1, 3)).flatten()
    tensor([3., 6.])
    """

    by_taps: ClassVar[bool] = False

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
        """Return the convolution of x; see `prune_adapters.ops.pair_conv2d`.

        Parameters
        ----------
        x : Tensor, shape (batch, in_channels, in_height, in_width)
        values : Tensor, shape (n_pairs, height, width)
        bias : Tensor, shape (out_channels,), optional
        stride, padding, dilation : int or (int, int), optional
            As in `torch.nn.functional.conv2d`.

        Returns
        -------
        Tensor, shape (batch, out_channels, out_height, out_width)
        """
        return ops.pair_conv2d(x, values, bias, *self.tables, stride, padding, dilation)

    @classmethod
    def _kept(cls, mask: torch.Tensor) -> torch.Tensor:
        pairs = mask.flatten(2)
        kept, whole = pairs.any(2), pairs.all(2)
        if not torch.equal(kept, whole):
            raise PlanError(
                f"PairPlan: expected each pair of channels kept or removed whole, got {int((kept ^ whole).sum())} of "
                f"{kept.numel()} kept in part; use TapPlan"
            )
        return kept
