"""Products with blocks out of what torch has for a GPU: gather what each group reads, then one batched product.

The arguments are those of the kernels (csrc/cuda): blocks ``ptr[g] .. ptr[g + 1] - 1`` of group g read group ``idx[b]``
of the other side, and block b lies at ``perm[b]`` of the values, or at b where perm is None.
"""

from collections.abc import Sequence

import torch
from torch.nn import functional
from torch.utils.weak import WeakTensorKeyDictionary

__all__ = ["block_rows", "block_sampled", "fold_columns", "output_size", "unfold_columns"]

_padded: WeakTensorKeyDictionary = WeakTensorKeyDictionary()


def block_rows(
    x: torch.Tensor,
    values: torch.Tensor,
    bias: torch.Tensor | None,
    ptr: torch.Tensor,
    idx: torch.Tensor,
    perm: torch.Tensor | None,
    transposed: bool,
    tile: int = -1,
) -> torch.Tensor:
    """Return x times the blocks, plus the bias.

    Parameters
    ----------
    x : Tensor, shape (batch, n_others * depth)
    values : Tensor, shape (n_blocks, width, depth), or (n_blocks, depth, width) if `transposed`
    bias : Tensor, shape (n_groups * width,), or None
    ptr, idx, perm : Tensor of int32
    transposed : bool
    tile : int
        Chooses a tile of the compiled kernel; means nothing here.

    Returns
    -------
    Tensor, shape (batch, n_groups * width)
    """
    n_groups, (depth, width) = len(ptr) - 1, values.shape[1:] if transposed else values.shape[:0:-1]
    blocks = values if perm is None else values[perm.long()]
    deep = blocks if transposed else blocks.transpose(1, 2)
    right = _with_a_zero(deep)[_blocks_of_groups(ptr, idx)].reshape(n_groups, -1, width)
    y = torch.bmm(_gathered(x, ptr, idx, depth), right).transpose(0, 1).reshape(len(x), n_groups * width)
    return y if bias is None else y.add_(bias)


def block_sampled(
    grad: torch.Tensor, x: torch.Tensor, ptr: torch.Tensor, idx: torch.Tensor, width: int, depth: int
) -> torch.Tensor:
    """Return the gradient of the values, ``grad[:, outputs].T @ x[:, inputs]`` of each block.

    Parameters
    ----------
    grad : Tensor, shape (batch, n_groups * width)
    x : Tensor, shape (batch, n_others * depth)
    ptr, idx : Tensor of int32
    width, depth : int
        Outputs and inputs of a block.

    Returns
    -------
    Tensor, shape (n_blocks, width, depth)
    """
    n_groups, places = len(ptr) - 1, _blocks_of_groups(ptr, idx)
    left = grad.view(len(grad), n_groups, width).permute(1, 2, 0)
    products = torch.bmm(left, _gathered(x, ptr, idx, depth)).view(n_groups, width, places.shape[1], depth)
    found = x.new_empty(len(idx) + 1, width, depth)  # the last one is that of the groups with fewer blocks
    found[places.flatten()] = products.transpose(1, 2).flatten(0, 1)
    return found[:-1]


def unfold_columns(
    x: torch.Tensor, kernel_size: tuple[int, int], stride: list[int], padding: list[int], dilation: list[int]
) -> torch.Tensor:
    """Return what each output pixel of a convolution reads.

    Parameters
    ----------
    x : Tensor, shape (batch, channels, height, width)
    kernel_size, stride, padding, dilation : sequence of int

    Returns
    -------
    Tensor, shape (batch * out_height * out_width, kernel positions * channels)
        The channels of a kernel position lie side by side.
    """
    pixels = functional.pad(x.permute(0, 2, 3, 1), (0, 0, padding[1], padding[1], padding[0], padding[0])).contiguous()
    batch, *_, channels = pixels.shape
    height, width = output_size(x.shape[2:], kernel_size, stride, padding, dilation)
    over_batch, over_height, over_width, _ = pixels.stride()
    steps = stride[0] * over_height, stride[1] * over_width, dilation[0] * over_height, dilation[1] * over_width
    windows = pixels.as_strided((batch, height, width, *kernel_size, channels), (over_batch, *steps, 1))
    return windows.reshape(batch * height * width, -1)


def fold_columns(
    columns: torch.Tensor,
    size: torch.Size,
    kernel_size: tuple[int, int],
    stride: list[int],
    padding: list[int],
    dilation: list[int],
) -> torch.Tensor:
    """Return the sum over all reads of each pixel: the transpose of `unfold_columns`.

    Parameters
    ----------
    columns : Tensor
        As `unfold_columns` returns it.
    size : Size
        (batch, channels, height, width) of the result.
    kernel_size, stride, padding, dilation : sequence of int

    Returns
    -------
    Tensor
        Summed in float32 at least, one kernel position after the other.
    """
    batch, channels, height, width = size
    out_height, out_width = output_size(size[2:], kernel_size, stride, padding, dilation)
    windows = columns.view(batch, out_height, out_width, *kernel_size, channels)
    dtype = torch.promote_types(columns.dtype, torch.float32)
    pixels = columns.new_zeros(batch, height + 2 * padding[0], width + 2 * padding[1], channels, dtype=dtype)
    for row in range(kernel_size[0]):
        for column in range(kernel_size[1]):
            top, left = row * dilation[0], column * dilation[1]
            rows = slice(top, top + stride[0] * (out_height - 1) + 1, stride[0])
            across = slice(left, left + stride[1] * (out_width - 1) + 1, stride[1])
            pixels[:, rows, across] += windows[:, :, :, row, column]
    inside = pixels[:, padding[0] : padding[0] + height, padding[1] : padding[1] + width]
    return inside.permute(0, 3, 1, 2).to(columns.dtype).contiguous()


def output_size(
    size: torch.Size, kernel_size: Sequence[int], stride: Sequence[int], padding: Sequence[int], dilation: Sequence[int]
) -> tuple[int, int]:
    """Return height and width of what a convolution returns.

    Parameters
    ----------
    size : Size
        Height and width of its input.
    kernel_size, stride, padding, dilation : sequence of int

    Returns
    -------
    tuple of int
    """
    height, width = (
        (size[k] + 2 * padding[k] - dilation[k] * (kernel_size[k] - 1) - 1) // stride[k] + 1 for k in range(2)
    )
    return height, width


def _gathered(x: torch.Tensor, ptr: torch.Tensor, idx: torch.Tensor, depth: int) -> torch.Tensor:
    """Return what the groups read: Tensor, shape (n_groups, batch, inputs of a group)."""
    places, n_groups = _blocks_of_groups(ptr, idx), len(ptr) - 1
    reads = functional.pad(idx, (0, 1)).index_select(0, places.flatten())
    inputs = x.view(len(x), x.shape[1] // depth, depth).index_select(1, reads)
    return inputs.view(len(x), n_groups, places.shape[1] * depth).transpose(0, 1)


def _with_a_zero(blocks: torch.Tensor) -> torch.Tensor:
    return torch.cat([blocks, blocks.new_zeros(1, *blocks.shape[1:])])


def _blocks_of_groups(ptr: torch.Tensor, idx: torch.Tensor) -> torch.Tensor:
    """Return the numbers of the blocks of each group, filled up to the longest with a number one too large.

    Remembered for each `ptr`, since the longest is not known before the device has answered.
    """
    if ptr not in _padded:
        counts = ptr.diff()
        across = torch.arange(int(counts.max()) if len(counts) else 0, device=ptr.device)
        _padded[ptr] = torch.where(across < counts[:, None], ptr[:-1, None] + across, len(idx))
    return _padded[ptr]
