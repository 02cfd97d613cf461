"""The sparse convolutions in plain torch: a dense weight of the tables, and torch's convolution.

The gradients of the values are taken out of those of the dense weight.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F

from prune_adapters.ops.reference.linear import block_rows

__all__ = [
    "block_conv2d",
    "block_conv2d_backward",
    "pair_conv2d",
    "pair_conv2d_backward",
    "sparse_conv2d",
    "sparse_conv2d_backward",
]

Gradients = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


def pair_conv2d(
    x: torch.Tensor,
    values: torch.Tensor,
    bias: torch.Tensor | None,
    ptr: torch.Tensor,
    idx: torch.Tensor,
    t_ptr: torch.Tensor,
    t_idx: torch.Tensor,
    t_perm: torch.Tensor,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
) -> torch.Tensor:
    """Return the convolution with kernels for some channel pairs; see `prune_adapters.ops.pair_conv2d`."""
    weight = _pair_weight(values, ptr, idx, len(t_ptr) - 1)
    return F.conv2d(x, weight, bias, list(stride), list(padding), list(dilation))


def pair_conv2d_backward(
    grad: torch.Tensor,
    x: torch.Tensor,
    values: torch.Tensor,
    ptr: torch.Tensor,
    idx: torch.Tensor,
    t_ptr: torch.Tensor,
    t_idx: torch.Tensor,
    t_perm: torch.Tensor,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    needs: Sequence[bool],
) -> Gradients:
    """Return the gradients of `pair_conv2d` that are needed, the others of shape (0,)."""
    weight = _pair_weight(values, ptr, idx, len(t_ptr) - 1)
    grad_x, grad_weight, grad_bias = _gradients(grad, x, weight, stride, padding, dilation, needs)
    return grad_x, grad_weight[block_rows(ptr, idx), idx] if needs[1] else grad_weight, grad_bias


def sparse_conv2d(
    x: torch.Tensor,
    values: torch.Tensor,
    bias: torch.Tensor | None,
    ptr: torch.Tensor,
    idx: torch.Tensor,
    t_ptr: torch.Tensor,
    t_idx: torch.Tensor,
    t_perm: torch.Tensor,
    kernel_size: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
) -> torch.Tensor:
    """Return the convolution with some taps of the kernels; see `prune_adapters.ops.sparse_conv2d`."""
    weight = _tap_weight(values, ptr, idx, len(t_ptr) - 1, kernel_size)
    return F.conv2d(x, weight, bias, list(stride), list(padding), list(dilation))


def sparse_conv2d_backward(
    grad: torch.Tensor,
    x: torch.Tensor,
    values: torch.Tensor,
    ptr: torch.Tensor,
    idx: torch.Tensor,
    t_ptr: torch.Tensor,
    t_idx: torch.Tensor,
    t_perm: torch.Tensor,
    kernel_size: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    needs: Sequence[bool],
) -> Gradients:
    """Return the gradients of `sparse_conv2d` that are needed, the others of shape (0,)."""
    weight = _tap_weight(values, ptr, idx, len(t_ptr) - 1, kernel_size)
    grad_x, grad_weight, grad_bias = _gradients(grad, x, weight, stride, padding, dilation, needs)
    return grad_x, grad_weight.flatten(1)[block_rows(ptr, idx), idx] if needs[1] else grad_weight, grad_bias


def block_conv2d(
    x: torch.Tensor,
    values: torch.Tensor,
    bias: torch.Tensor | None,
    ptr: torch.Tensor,
    idx: torch.Tensor,
    t_ptr: torch.Tensor,
    t_idx: torch.Tensor,
    t_perm: torch.Tensor,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
) -> torch.Tensor:
    """Return the convolution with kernels for blocks of channels; see `prune_adapters.ops.block_conv2d`."""
    weight = _block_weight(values, ptr, idx, len(t_ptr) - 1)
    return F.conv2d(x, weight, bias, list(stride), list(padding), list(dilation))


def block_conv2d_backward(
    grad: torch.Tensor,
    x: torch.Tensor,
    values: torch.Tensor,
    ptr: torch.Tensor,
    idx: torch.Tensor,
    t_ptr: torch.Tensor,
    t_idx: torch.Tensor,
    t_perm: torch.Tensor,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    needs: Sequence[bool],
) -> Gradients:
    """Return the gradients of `block_conv2d` that are needed, the others of shape (0,)."""
    weight = _block_weight(values, ptr, idx, len(t_ptr) - 1)
    grad_x, grad_weight, grad_bias = _gradients(grad, x, weight, stride, padding, dilation, needs)
    if needs[1]:
        blocks = grad_weight.unflatten(0, (-1, values.shape[1])).unflatten(2, (-1, values.shape[2])).transpose(1, 2)
        grad_weight = blocks[block_rows(ptr, idx), idx]
    return grad_x, grad_weight, grad_bias


def _pair_weight(values: torch.Tensor, ptr: torch.Tensor, idx: torch.Tensor, inputs: int) -> torch.Tensor:
    weight = values.new_zeros(len(ptr) - 1, inputs, *values.shape[1:])
    weight[block_rows(ptr, idx), idx] = values
    return weight


def _tap_weight(
    values: torch.Tensor, ptr: torch.Tensor, idx: torch.Tensor, inputs: int, kernel_size: Sequence[int]
) -> torch.Tensor:
    height, width = kernel_size
    weight = values.new_zeros(len(ptr) - 1, inputs * height * width)
    weight[block_rows(ptr, idx), idx] = values
    return weight.view(-1, inputs, height, width)


def _block_weight(values: torch.Tensor, ptr: torch.Tensor, idx: torch.Tensor, inputs: int) -> torch.Tensor:
    return _pair_weight(values, ptr, idx, inputs).transpose(1, 2).flatten(2, 3).flatten(0, 1).contiguous()


def _gradients(
    grad: torch.Tensor,
    x: torch.Tensor,
    weight: torch.Tensor,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    needs: Sequence[bool],
) -> Gradients:
    """Return the gradients of x, of the dense weight and of the bias that are needed, the others of shape (0,)."""
    none = x.new_empty(0)
    grad_x = grad_weight = none
    if len(x) == 0 or weight.numel() == 0:  # torch wants channels on both sides
        grad_x, grad_weight = torch.zeros_like(x), torch.zeros_like(weight)
    elif needs[0] or needs[1]:
        grad_x, grad_weight, _ = torch.ops.aten.convolution_backward(
            grad, x, weight, None, stride, padding, dilation, False, [0, 0], 1, [needs[0], needs[1], False]
        )
    grad_bias = grad.sum((0, 2, 3)) if needs[2] else none
    return grad_x if needs[0] else none, grad_weight if needs[1] else none, grad_bias
