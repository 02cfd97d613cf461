"""Convolutions of two dimensions whose weight is sparse, in three forms.

======================= ======================================= ==========================================
operator                what is kept or removed as one          values
======================= ======================================= ==========================================
`pair_conv2d`           the kernel of a pair of channels        (n_pairs, height, width)
`sparse_conv2d`         a single tap of a kernel                (n_values,)
`block_conv2d`          kernels between two groups of channels  (n_blocks, out_block, in_block, height, width)
======================= ======================================= ==========================================

Tables say where the values lie; `prune_adapters.plans` makes them, in the order that the operators take them. The
compiled kernels sum the terms of an output in the order of the tables, so results have the same bits whatever the
number of threads; they work in float32 and float64, and take bfloat16, which is summed in float32 and rounded once.
"""

from collections.abc import Sequence

import torch

from prune_adapters.ops import reference
from prune_adapters.ops.arguments import ConvArguments, Pair, number_pair
from prune_adapters.ops.autograd import TABLES, Call, fake_gradients, register_layer
from prune_adapters.ops.define import define, wide_on_cpu
from prune_adapters.ops.reference.blocks_gather import output_size

__all__ = ["block_conv2d", "pair_conv2d", "sparse_conv2d"]


def pair_conv2d(
    x: torch.Tensor,
    values: torch.Tensor,
    bias: torch.Tensor | None,
    ptr: torch.Tensor,
    idx: torch.Tensor,
    t_ptr: torch.Tensor,
    t_idx: torch.Tensor,
    t_perm: torch.Tensor,
    stride: Pair = 1,
    padding: Pair = 0,
    dilation: Pair = 1,
) -> torch.Tensor:
    """Return the convolution of x with kernels for some pairs of channels.

    The cost is that of the pairs: ``n_pairs * height * width`` products for each position of the result.

    Parameters
    ----------
    x : Tensor, shape (batch, in_channels, in_height, in_width)
        Floating point; float32 and float64 are the fast ones on a CPU.
    values : Tensor, shape (n_pairs, height, width)
        The kernel of each pair, by output and then by input channel.
    bias : Tensor or None, shape (out_channels,)
    ptr, idx : Tensor of int32, shapes (out_channels + 1,) and (n_pairs,)
        The pairs of output channel ``o`` are ``ptr[o]`` up to ``ptr[o + 1]``; ``idx`` is the input channel of each.
    t_ptr, t_idx, t_perm : Tensor of int32, shapes (in_channels + 1,), (n_pairs,) and (n_pairs,)
        The same by input and then by output channel: where the pairs of an input begin, the output channel of each,
        and its place in `values`.
    stride, padding, dilation : int or (int, int), optional
        As in `torch.nn.functional.conv2d`.

    Returns
    -------
    Tensor, shape (batch, out_channels, out_height, out_width)
        Contiguous.

    Raises
    ------
    ValueError
        Shapes, dtypes or devices do not fit each other.
    RuntimeError
        A table points to a channel or a place that does not exist; the gradients are differentiated again.

    Examples
    --------
    >>> plan = [torch.tensor(t, dtype=torch.int32) for t in ([0, 1], [1], [0, 0, 1], [0], [0])]
    >>> x = torch.stack([torch.ones(1, 3), torch.tensor([[1.0, 2.0, 4.0]])])[None]
    >>> pair_conv2d(x, torch.tensor([[[1.0, -1.0]]]), None, *plan)
    tensor([[[[-1., -2.]]]])
    """
    call = ConvArguments("pair_conv2d", x, values, bias, (ptr, idx, t_ptr, t_idx, t_perm))
    call.check_values("(n_pairs, height, width)", 3)
    call.check_channels(1, 1)
    return call.run(_pair_conv2d, tuple(values.shape[1:]), (stride, padding, dilation))


def sparse_conv2d(
    x: torch.Tensor,
    values: torch.Tensor,
    bias: torch.Tensor | None,
    ptr: torch.Tensor,
    idx: torch.Tensor,
    t_ptr: torch.Tensor,
    t_idx: torch.Tensor,
    t_perm: torch.Tensor,
    kernel_size: Pair,
    stride: Pair = 1,
    padding: Pair = 0,
    dilation: Pair = 1,
) -> torch.Tensor:
    """Return the convolution of x with kernels of which single taps are kept.

    Parameters
    ----------
    x : Tensor, shape (batch, in_channels, in_height, in_width)
        Floating point; float32 and float64 are the fast ones on a CPU.
    values : Tensor, shape (n_values,)
        The kept elements of the weight in row-major order.
    bias : Tensor or None, shape (out_channels,)
    ptr, idx : Tensor of int32, shapes (out_channels + 1,) and (n_values,)
        The values of output channel ``o`` are ``ptr[o]`` up to ``ptr[o + 1]``; ``idx`` is the place of each in the
        weight of that channel, ``(input channel * height + row) * width + column``.
    t_ptr, t_idx, t_perm : Tensor of int32, shapes (in_channels + 1,), (n_values,) and (n_values,)
        The same by input and then by output channel: where the values of an input begin,
        ``(output channel * height + row) * width + column`` of each, and its place in `values`.
    kernel_size : int or (int, int)
        Height and width.
    stride, padding, dilation : int or (int, int), optional
        As in `torch.nn.functional.conv2d`.

    Returns
    -------
    Tensor, shape (batch, out_channels, out_height, out_width)
        Contiguous.

    Raises
    ------
    ValueError
        Shapes, dtypes or devices do not fit each other.
    RuntimeError
        A table points to a channel, a tap or a place that does not exist; the gradients are differentiated again.

    Examples
    --------
    >>> plan = [torch.tensor(t, dtype=torch.int32) for t in ([0, 1], [1], [0, 1], [1], [0])]
    >>> x = torch.tensor([[[[1.0, 2.0, 4.0]]]])
    >>> sparse_conv2d(x, torch.tensor([3.0]), None, *plan, kernel_size=(1, 2))
    tensor([[[[ 6., 12.]]]])
    """
    call = ConvArguments("sparse_conv2d", x, values, bias, (ptr, idx, t_ptr, t_idx, t_perm))
    call.check_values("(n_values,)", 1)
    call.check_channels(1, 1)
    kernel = number_pair("sparse_conv2d: kernel_size", kernel_size, least=1)
    return call.run(_sparse_conv2d, kernel, (kernel, stride, padding, dilation))


def block_conv2d(
    x: torch.Tensor,
    values: torch.Tensor,
    bias: torch.Tensor | None,
    ptr: torch.Tensor,
    idx: torch.Tensor,
    t_ptr: torch.Tensor,
    t_idx: torch.Tensor,
    t_perm: torch.Tensor,
    stride: Pair = 1,
    padding: Pair = 0,
    dilation: Pair = 1,
) -> torch.Tensor:
    """Return the convolution of x with kernels between some groups of channels.

    Channels are grouped in order: group ``g`` of the outputs is channels ``g * out_block`` up to
    ``(g + 1) * out_block``, and likewise for the inputs.

    Parameters
    ----------
    x : Tensor, shape (batch, in_groups * in_block, in_height, in_width)
        Floating point; float32 and float64 are the fast ones on a CPU.
    values : Tensor, shape (n_blocks, out_block, in_block, height, width)
        The kernels of each block, by group of outputs and then by group of inputs.
    bias : Tensor or None, shape (out_groups * out_block,)
    ptr, idx : Tensor of int32, shapes (out_groups + 1,) and (n_blocks,)
        The blocks of output group ``o`` are ``ptr[o]`` up to ``ptr[o + 1]``; ``idx`` is the input group of each.
    t_ptr, t_idx, t_perm : Tensor of int32, shapes (in_groups + 1,), (n_blocks,) and (n_blocks,)
        The same by input and then by output group: where the blocks of an input group begin, the output group of each,
        and its place in `values`.
    stride, padding, dilation : int or (int, int), optional
        As in `torch.nn.functional.conv2d`.

    Returns
    -------
    Tensor, shape (batch, out_groups * out_block, out_height, out_width)
        Contiguous.

    Raises
    ------
    ValueError
        Shapes, dtypes or devices do not fit each other.
    RuntimeError
        A table points to a group or a place that does not exist; the gradients are differentiated again.

    Examples
    --------
    >>> plan = [torch.tensor(t, dtype=torch.int32) for t in ([0, 1], [0], [0, 1], [0], [0])]
    >>> x = torch.tensor([1.0, 10.0]).view(1, 2, 1, 1)
    >>> block_conv2d(x, torch.tensor([[1.0, 2.0], [3.0, 4.0]]).view(1, 2, 2, 1, 1), None, *plan).flatten()
    tensor([21., 43.])
    """
    call = ConvArguments("block_conv2d", x, values, bias, (ptr, idx, t_ptr, t_idx, t_perm))
    call.check_values("(n_blocks, out_block, in_block, height, width)", 5)
    call.check_channels(values.shape[1], values.shape[2])
    return call.run(_block_conv2d, tuple(values.shape[3:]), (stride, padding, dilation))


def _fake(x: torch.Tensor, values: torch.Tensor, bias: object, ptr: torch.Tensor, *rest: object) -> torch.Tensor:
    *_, stride, padding, dilation = rest
    numbers: tuple = (stride, padding, dilation)
    sparse = len(rest) == 8  # kernel_size comes before the stride
    kernel: Sequence[int] = rest[4] if sparse else values.shape[-2:]  # type: ignore[assignment]
    outputs = (ptr.shape[0] - 1) * (values.shape[1] if values.dim() == 5 else 1)
    return x.new_empty(x.shape[0], outputs, *output_size(x.shape[2:], kernel, *numbers))


WINDOW = "int[2] stride, int[2] padding, int[2] dilation"


def _define(name: str, numbers: str) -> Call:
    define(
        f"{name}(Tensor x, Tensor values, Tensor? bias, {TABLES}, {numbers}) -> Tensor",
        wide_on_cpu(getattr(reference, name)),
        fake=_fake,
    )
    define(
        f"{name}_backward(Tensor grad, Tensor x, Tensor values, {TABLES}, {numbers}, bool[3] needs)"
        " -> (Tensor, Tensor, Tensor)",
        wide_on_cpu(getattr(reference, f"{name}_backward")),
        fake=fake_gradients,
    )
    return register_layer(name)


_pair_conv2d = _define("pair_conv2d", WINDOW)
_sparse_conv2d = _define("sparse_conv2d", f"int[2] kernel_size, {WINDOW}")
_block_conv2d = _define("block_conv2d", WINDOW)
