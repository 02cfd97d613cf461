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
from typing import TypeAlias

import torch

from prune_adapters.ops import reference
from prune_adapters.ops.autograd import TABLES, Call, fake_gradients, register_layer
from prune_adapters.ops.define import define, narrow_on_cpu, wide_on_cpu
from prune_adapters.ops.reference.blocks_gather import output_size

__all__ = ["block_conv2d", "pair_conv2d", "sparse_conv2d"]

Pair: TypeAlias = int | Sequence[int]


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
    call = _Arguments("pair_conv2d", x, values, bias, (ptr, idx, t_ptr, t_idx, t_perm))
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
    call = _Arguments("sparse_conv2d", x, values, bias, (ptr, idx, t_ptr, t_idx, t_perm))
    call.check_values("(n_values,)", 1)
    call.check_channels(1, 1)
    kernel = _pair("sparse_conv2d: kernel_size", kernel_size, least=1)
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
    call = _Arguments("block_conv2d", x, values, bias, (ptr, idx, t_ptr, t_idx, t_perm))
    call.check_values("(n_blocks, out_block, in_block, height, width)", 5)
    call.check_channels(values.shape[1], values.shape[2])
    return call.run(_block_conv2d, tuple(values.shape[3:]), (stride, padding, dilation))


class _Arguments:
    """What the three have in common: tensors that have to fit each other."""

    def __init__(
        self,
        name: str,
        x: torch.Tensor,
        values: torch.Tensor,
        bias: torch.Tensor | None,
        tables: Sequence[torch.Tensor],
    ) -> None:
        self.name, self.x, self.values, self.bias, self.tables = name, x, values, bias, tables

    def check_values(self, shape: str, dim: int) -> None:
        x, values, count = self.x, self.values, self.tables[1].shape[0] if self.tables[1].dim() == 1 else -1
        if not x.is_floating_point():
            raise ValueError(f"{self.name}: expected x of a floating dtype, got {x.dtype}")
        if x.dim() != 4:
            raise ValueError(f"{self.name}: expected x of shape (batch, channels, height, width), got {tuple(x.shape)}")
        if values.dim() != dim:
            raise ValueError(f"{self.name}: expected values of shape {shape}, got {tuple(values.shape)}")
        self._check_tables(count)
        if values.shape[0] != count:
            raise ValueError(f"{self.name}: expected values of length {count}, as idx, got {values.shape[0]}")
        if 0 in values.shape[1:]:
            raise ValueError(f"{self.name}: expected sizes of at least 1, got values of shape {tuple(values.shape)}")
        for what, tensor in (("values", values), ("bias", self.bias)):
            if tensor is not None and tensor.device != x.device:
                raise ValueError(f"{self.name}: expected {what} on {x.device}, as x, got {tensor.device}")
            if tensor is not None and tensor.dtype != x.dtype and not torch.is_autocast_enabled(x.device.type):
                raise ValueError(f"{self.name}: expected {what} of dtype {x.dtype}, as x, got {tensor.dtype}")

    def _check_tables(self, count: int) -> None:
        for what, table in zip(("ptr", "idx", "t_ptr", "t_idx", "t_perm"), self.tables, strict=True):
            if table.dtype != torch.int32:
                raise ValueError(f"{self.name}: expected {what} of dtype torch.int32, got {table.dtype}")
            if table.device != self.x.device:
                raise ValueError(f"{self.name}: expected {what} on {self.x.device}, as x, got {table.device}")
            is_ptr = what.endswith("ptr")
            if table.dim() != 1 or table.shape[0] != (max(1, table.shape[0]) if is_ptr or count < 0 else count):
                wanted = "(channels + 1,)" if is_ptr else f"({count},), as idx" if count >= 0 else "(count,)"
                raise ValueError(f"{self.name}: expected {what} of shape {wanted}, got {tuple(table.shape)}")

    def check_channels(self, out_block: int, in_block: int) -> None:
        inputs, outputs = (self.tables[2].shape[0] - 1) * in_block, (self.tables[0].shape[0] - 1) * out_block
        if self.x.shape[1] != inputs:
            raise ValueError(f"{self.name}: expected x with {inputs} channels, as t_ptr has it, got {self.x.shape[1]}")
        if self.bias is not None and self.bias.shape != (outputs,):
            raise ValueError(f"{self.name}: expected bias of shape ({outputs},), got {tuple(self.bias.shape)}")

    def run(self, operator: Call, kernel: Sequence[int], numbers: Sequence[Pair]) -> torch.Tensor:
        named = ("kernel_size", "stride", "padding", "dilation")[-len(numbers) :]
        least = {"padding": 0}
        pairs = [
            _pair(f"{self.name}: {what}", number, least=least.get(what, 1))
            for what, number in zip(named, numbers, strict=True)
        ]
        _check_reach(self.name, self.x, kernel, *pairs[-2:])
        narrow = narrow_on_cpu(self.x, bfloat16=False)
        floats = [self.x, self.values, self.bias]
        if narrow:
            floats = [None if tensor is None else tensor.float() for tensor in floats]
        plain = [None if tensor is None else tensor.contiguous() for tensor in (*floats, *self.tables)]
        result = operator(*plain, *pairs)
        assert isinstance(result, torch.Tensor)
        return result.to(self.x.dtype) if narrow else result


def _pair(what: str, number: Pair, *, least: int) -> list[int]:
    pair = [number, number] if isinstance(number, int) else list(number)
    if len(pair) != 2 or min(pair) < least:
        raise ValueError(f"{what}: expected one or two numbers of at least {least}, got {number}")
    return pair


def _check_reach(
    name: str, x: torch.Tensor, kernel: Sequence[int], padding: Sequence[int], dilation: Sequence[int]
) -> None:
    spans = [(taps - 1) * step + 1 for taps, step in zip(kernel, dilation, strict=True)]
    sizes = [size + 2 * pad for size, pad in zip(x.shape[2:], padding, strict=True)]
    if min(x.shape[2:]) < 1 or spans[0] > sizes[0] or spans[1] > sizes[1]:
        raise ValueError(f"{name}: expected images of at least {tuple(spans)} with their padding, got {tuple(sizes)}")


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
