"""Convolutions that know about constant input channels which are no longer there.

Zero padding is what makes them necessary. A removed channel with the constant value c adds c times the sum of its taps
inside the image, but beside the border only some of the taps see c, the others see padding. What is added is a map over
positions, which depends on the size of the image. All removed constants together are one channel of ones with a
kernel of its own, so the map costs as much as one more input channel of a single image.
"""

import torch
from torch import nn
from torch.nn import functional

__all__ = ["ConstantConv1d", "ConstantConv2d", "ConstantConv3d", "with_constants"]


class _WithOnes:
    """What the three convolutions share: one more input channel, which is 1 everywhere."""

    ones_weight: nn.Parameter

    def _with_map(self, x: torch.Tensor, y: torch.Tensor, convolve: object) -> torch.Tensor:
        assert isinstance(self, nn.modules.conv._ConvNd)
        assert callable(convolve)
        ones = x.new_ones((1, *x.shape[-len(self.kernel_size) :]))
        return y + convolve(ones, self.ones_weight, None, self.stride, self.padding, self.dilation)


class ConstantConv1d(_WithOnes, nn.Conv1d):
    """`torch.nn.Conv1d` plus the effect of constant input channels that were removed."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the convolution of `x` plus the map of the removed constants at its size."""
        return self._with_map(x, super().forward(x), functional.conv1d)


class ConstantConv2d(_WithOnes, nn.Conv2d):
    """`torch.nn.Conv2d` plus the effect of constant input channels that were removed."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the convolution of `x` plus the map of the removed constants at its size."""
        return self._with_map(x, super().forward(x), functional.conv2d)


class ConstantConv3d(_WithOnes, nn.Conv3d):
    """`torch.nn.Conv3d` plus the effect of constant input channels that were removed."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the convolution of `x` plus the map of the removed constants at its size."""
        return self._with_map(x, super().forward(x), functional.conv3d)


KINDS: dict[type[nn.Module], type[nn.Module]] = {
    nn.Conv1d: ConstantConv1d,
    nn.Conv2d: ConstantConv2d,
    nn.Conv3d: ConstantConv3d,
}


def with_constants(layer: nn.Module, ones_weight: torch.Tensor) -> None:
    """Turn a convolution in place into one that adds the map of a channel of ones.

    Parameters
    ----------
    layer : Module
        A Conv1d, Conv2d or Conv3d that pads with zeros. Changed in place, so that it stays wherever it is registered.
    ones_weight : Tensor, shape (n_outputs, 1, *kernel_size)
        The kernels of the channel of ones.
    """
    layer.__class__ = KINDS[type(layer)]
    layer.register_parameter("ones_weight", nn.Parameter(ones_weight, layer.weight.requires_grad))  # type: ignore[arg-type]
