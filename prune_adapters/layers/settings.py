"""The settings of a convolution: what sparse and regular ones share, in one dimension or two."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import nn
from torch.nn import functional as F

__all__ = ["Settings", "Sizes"]

Sizes: TypeAlias = int | Sequence[int]


@dataclass(frozen=True)
class Settings:
    """How a convolution goes over its input; one number for each dimension.

    Parameters
    ----------
    in_channels, out_channels : int
    kernel_size, stride, dilation : tuple of int
    padding : tuple of int, "valid" or "same"
    groups : int
    padding_mode : {"zeros", "reflect", "replicate", "circular"}
    """

    in_channels: int
    out_channels: int
    kernel_size: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...] | str
    dilation: tuple[int, ...]
    groups: int
    padding_mode: str

    @classmethod
    def of(cls, layer: nn.Conv1d | nn.Conv2d) -> "Settings":
        """Return the settings of a dense convolution."""
        return cls(
            layer.in_channels,
            layer.out_channels,
            layer.kernel_size,
            layer.stride,
            layer.padding,
            layer.dilation,
            layer.groups,
            layer.padding_mode,
        )

    @classmethod
    def made(cls, n_dimensions: int, arguments: tuple) -> "Settings":
        """Return the settings from the arguments of a torch layer, which checks them."""
        kind: Any = nn.Conv1d if n_dimensions == 1 else nn.Conv2d
        *sizes, padding_mode = arguments
        return cls.of(kind(*sizes, False, padding_mode, device="meta"))

    def dense(self, bias: bool, device: torch.device | str | None, dtype: torch.dtype | None) -> nn.Conv1d | nn.Conv2d:
        """Return a dense convolution with these settings."""
        kind: Any = nn.Conv1d if len(self.kernel_size) == 1 else nn.Conv2d
        sizes = self.in_channels, self.out_channels, self.kernel_size, self.stride, self.padding, self.dilation
        made: nn.Conv1d | nn.Conv2d = kind(*sizes, self.groups, bias, self.padding_mode, device, dtype)
        return made

    @property
    def weight_shape(self) -> torch.Size:
        """Shape of the dense weight."""
        return torch.Size((self.out_channels, self.in_channels // self.groups, *self.kernel_size))

    def padded(self, x: torch.Tensor) -> tuple[torch.Tensor, tuple[int, int]]:
        """Return the input as a kernel of two dimensions takes it, and the zeros that the kernel is to add.

        What only torch can add (another mode than zeros, or more on one side than on the other) is added here.
        """
        before, after = self._both_sides()
        zeros = before if before == after and self.padding_mode == "zeros" else (0,) * len(before)
        if zeros != before or zeros != after:
            sides = [side for pair in zip(reversed(before), reversed(after), strict=True) for side in pair]
            x = F.pad(x, sides, mode="constant" if self.padding_mode == "zeros" else self.padding_mode)
        return (x.unsqueeze(-2), (0, zeros[0])) if len(zeros) == 1 else (x, (zeros[0], zeros[1]))

    def inner(self, weight: torch.Tensor) -> torch.Tensor:
        """Return a dense weight, or its mask, as plans have it: all inputs in columns, a kernel of two dimensions."""
        whole = _whole_inputs(weight, self.groups)
        return whole.unsqueeze(2) if len(self.kernel_size) == 1 else whole

    def outer(self, whole: torch.Tensor) -> torch.Tensor:
        """Return the dense weight that a plan holds; the inverse of `inner`."""
        return _own_inputs(whole, self.groups).reshape(self.weight_shape)

    @property
    def steps(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """Stride and dilation of a kernel of two dimensions."""
        return _two(self.stride), _two(self.dilation)

    def _both_sides(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        if self.padding == "valid":
            return (0,) * len(self.kernel_size), (0,) * len(self.kernel_size)
        if self.padding == "same":
            total = [d * (k - 1) for d, k in zip(self.dilation, self.kernel_size, strict=True)]
            return tuple(t // 2 for t in total), tuple(t - t // 2 for t in total)
        assert not isinstance(self.padding, str)
        return self.padding, self.padding

    def text(self) -> str:
        """Return what the layer prints, in the words of torch."""
        text = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"
        zeros = (0,) * len(self.kernel_size)
        text += f", padding={self.padding}" if self.padding != zeros else ""
        text += f", dilation={self.dilation}" if math.prod(self.dilation) > 1 else ""
        text += f", groups={self.groups}" if self.groups > 1 else ""
        return text + (f", padding_mode={self.padding_mode}" if self.padding_mode != "zeros" else "")


def _two(sizes: Sequence[int]) -> tuple[int, int]:
    """Return sizes of one dimension or two as those of two."""
    return (1, sizes[0]) if len(sizes) == 1 else (sizes[0], sizes[1])


def _whole_inputs(weight: torch.Tensor, groups: int) -> torch.Tensor:
    """Return a grouped weight with all inputs in columns, zeros between the groups: (outputs, all inputs, ...)."""
    if groups == 1:
        return weight
    outputs, inputs = weight.shape[:2]
    whole = weight.new_zeros(groups, outputs // groups, groups, inputs, *weight.shape[2:])
    number = torch.arange(groups, device=weight.device)
    whole[number, :, number] = weight.unflatten(0, (groups, -1))
    return whole.flatten(2, 3).flatten(0, 1)


def _own_inputs(whole: torch.Tensor, groups: int) -> torch.Tensor:
    """Return of each output the inputs of its own group; the inverse of `_whole_inputs`."""
    if groups == 1:
        return whole
    parts = whole.unflatten(1, (groups, -1)).unflatten(0, (groups, -1))
    number = torch.arange(groups, device=whole.device)
    return parts[number, :, number].flatten(0, 1)
