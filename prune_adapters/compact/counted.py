"""Norms that know how many channels there were before some were removed.

Layer, group and RMS norm divide by statistics over channels. A removed channel whose value c is known leaves them as
they were if it goes on being counted: n stays the divisor, c is part of the sum, and (c - mean)^2 part of the sum of
squares. That sum over all removed channels is ``spread + m (average - mean)^2``, where m is their number, `average`
the mean of their values and `spread` the sum of squared differences to it. So two numbers a group hold all of them,
none where all are 0.
"""

from typing import cast

import torch
from torch import nn

__all__ = ["CountedGroupNorm", "CountedLayerNorm", "CountedRMSNorm", "with_count"]


class _Counted(nn.Module):
    """What the three norms share.

    Parameters
    ----------
    original_size : int
        Channels of a group before any was removed.
    removed_average, removed_spread : Tensor, shape (n_groups,), or None
        See above; None where every removed channel was 0.
    """

    original_size: int
    removed_average: torch.Tensor | None
    removed_spread: torch.Tensor | None

    def extra_repr(self) -> str:
        """Return what the norm prints, with the size that its statistics are over."""
        return f"{super().extra_repr()}, original_size={self.original_size}"

    def _offset(self, mean: torch.Tensor) -> torch.Tensor:
        """Return how far the mean lies from that of the removed channels."""
        return mean if self.removed_average is None else mean - _at(self.removed_average, mean.dtype)

    def _affine(self, y: torch.Tensor) -> torch.Tensor:
        """Return `y`, channels last, after scale and bias."""
        weight, bias = self._parameters["weight"], self._parameters.get("bias")
        if weight is None:
            return y
        if bias is None:
            return y * weight
        return torch.addcmul(_at(bias, y.dtype), y, _at(weight, y.dtype))


class CountedLayerNorm(_Counted, nn.LayerNorm):
    """`torch.nn.LayerNorm` over the last dimension, with statistics that count removed channels."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the channels of `x` normalised as if the removed ones were there."""
        wide, n_removed = _wide(x), self.original_size - self.normalized_shape[0]
        total = wide.sum(dim=-1, keepdim=True)
        if self.removed_average is not None:
            total = total + n_removed * _at(self.removed_average, wide.dtype)
        mean = total / self.original_size
        centred = wide - mean
        squares = centred.square().sum(dim=-1, keepdim=True) + n_removed * self._offset(mean).square()
        if self.removed_spread is not None:
            squares = squares + self.removed_spread
        return _at(self._affine(centred * torch.rsqrt(squares / self.original_size + self.eps)), x.dtype)


class CountedRMSNorm(_Counted, nn.RMSNorm):
    """`torch.nn.RMSNorm` over the last dimension, with a mean square that counts removed channels.

    `removed_average` is always None, and `removed_spread` the sum of the squares themselves.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the channels of `x` normalised as if the removed ones were there."""
        wide = _wide(x)
        squares = wide.square().sum(dim=-1, keepdim=True)
        if self.removed_spread is not None:
            squares = squares + self.removed_spread
        eps = torch.finfo(wide.dtype).eps if self.eps is None else self.eps
        return _at(self._affine(wide * torch.rsqrt(squares / self.original_size + eps)), x.dtype)


class CountedGroupNorm(_Counted, nn.GroupNorm):
    """`torch.nn.GroupNorm` whose groups may have lost different channels, with statistics that count them.

    Parameters
    ----------
    group_sizes : tuple of int
        Channels that each group still has.
    """

    group_sizes: tuple[int, ...]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the channels of `x` normalised as if the removed ones were there."""
        flat = _wide(x).reshape(*x.shape[:2], -1)
        total = self._over_groups(flat.mean(dim=2))
        if self.removed_average is not None:
            total = total + self._by_removed(_at(self.removed_average, flat.dtype)[None])
        mean = total / self.original_size
        centred = flat - self._over_channels(mean)[:, :, None]
        squares = self._over_groups(centred.square().mean(dim=2)) + self._by_removed(self._offset(mean).square())
        if self.removed_spread is not None:
            squares = squares + self.removed_spread
        scale = self._over_channels(torch.rsqrt(squares / self.original_size + self.eps))
        y = self._affine((centred * scale[:, :, None]).transpose(1, 2)).transpose(1, 2)
        return _at(y, x.dtype).reshape(x.shape)

    def _over_groups(self, channels: torch.Tensor) -> torch.Tensor:
        """Return the sum of each group."""
        return torch.stack([part.sum(dim=1) for part in channels.split(self.group_sizes, dim=1)], dim=1)

    def _over_channels(self, groups: torch.Tensor) -> torch.Tensor:
        """Return the value of its group for each channel."""
        columns = zip(groups.split(1, dim=1), self.group_sizes, strict=True)
        return torch.cat([column.expand(-1, size) for column, size in columns], dim=1)

    def _by_removed(self, groups: torch.Tensor) -> torch.Tensor:
        """Return the value of each group times the number of channels that it has lost."""
        columns = zip(groups.split(1, dim=1), self.group_sizes, strict=True)
        return torch.cat([column * (self.original_size - size) for column, size in columns], dim=1)


def _wide(x: torch.Tensor) -> torch.Tensor:
    """Return `x` in the precision in which torch computes statistics: at least float32."""
    return _at(x, torch.promote_types(x.dtype, torch.float32))


def _at(tensor: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Return a tensor as `dtype`; where it is so already no call is made that a program would show."""
    return tensor if tensor.dtype == dtype else tensor.to(dtype)


KINDS: dict[type[nn.Module], type[_Counted]] = {
    nn.LayerNorm: CountedLayerNorm,
    nn.RMSNorm: CountedRMSNorm,
    nn.GroupNorm: CountedGroupNorm,
}


def with_count(norm: nn.Module, keep: torch.Tensor, constants: torch.Tensor | None = None) -> None:
    """Turn a norm in place into one that has lost channels but goes on counting them.

    A group that has lost all its channels is gone; where each other group has all of its own the type stays torch's.

    Parameters
    ----------
    norm : Module
        A LayerNorm or RMSNorm over the last dimension, or a GroupNorm, its parameters sliced already.
    keep : Tensor of bool, shape (n_channels,)
        The channels that stay.
    constants : Tensor of float64, shape (n_channels,), optional
        Values of the channels that go; all of them are 0 by default.
    """
    groups = norm.num_groups if isinstance(norm, nn.GroupNorm) else 1
    by_group = keep.reshape(groups, -1)
    left = by_group.any(dim=1)
    sizes = by_group[left].sum(dim=1).tolist()
    _resize(norm, sizes)
    if all(size == by_group.shape[1] for size in sizes):
        return
    norm.__class__ = KINDS[type(norm)]
    values = None if constants is None else constants.reshape(groups, -1)[left]
    _hold(cast(_Counted, norm), sizes, values, ~by_group[left])


def _resize(norm: nn.Module, sizes: list[int]) -> None:
    if isinstance(norm, nn.GroupNorm):
        norm.num_groups, norm.num_channels = len(sizes), sum(sizes)
        return
    assert isinstance(norm, (nn.LayerNorm, nn.RMSNorm))
    norm.normalized_shape = (sum(sizes),)


def _hold(norm: _Counted, sizes: list[int], values: torch.Tensor | None, removed: torch.Tensor) -> None:
    """Remember the sizes, and what the removed constants add to the statistics, if they add anything."""
    norm.original_size = removed.shape[1]
    if isinstance(norm, CountedGroupNorm):
        norm.group_sizes = tuple(sizes)
    average = spread = None
    if values is not None and bool(values[removed].any()):
        mean = torch.zeros(len(values), dtype=torch.float64)
        if not isinstance(norm, nn.RMSNorm):
            mean = torch.where(removed, values, 0.0).sum(dim=1) / removed.sum(dim=1).clamp_min(1)
            average = mean
        spread = torch.where(removed, (values - mean[:, None]).square(), 0.0).sum(dim=1)
    weight = norm._parameters["weight"]
    for name, value in (("removed_average", average), ("removed_spread", spread)):
        norm.register_buffer(name, value if value is None or weight is None else value.to(weight))
