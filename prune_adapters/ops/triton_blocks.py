"""The products of block_linear in Triton, which reaches the tensor cores of Hopper and later at their full width.

Import this file only where triton is installed. Its kernels and those of csrc/cuda have the same arguments: a product
of rows with blocks (`rows`: the forward pass, or the gradient of the inputs on transposed tables), and a product of
two matrices where there are blocks (`sampled`: the gradient of the values). Block sides are multiples of 16.
"""

import torch
import triton
from triton.tools.tensor_descriptor import TensorDescriptor

from prune_adapters.ops import triton_kernels as kernels
from prune_adapters.ops import triton_tiles as choice
from prune_adapters.ops.triton_tiles import Config

__all__ = ["rows", "sampled"]

SEARCH_STEPS = 31
"""Halvings after which one of 2 ** 31 groups is found."""


def rows(
    x: torch.Tensor,
    values: torch.Tensor,
    bias: torch.Tensor | None,
    tables: tuple[torch.Tensor, torch.Tensor, torch.Tensor | None],
    transposed: bool,
    config: Config | None = None,
) -> torch.Tensor:
    """Return x times the blocks, plus the bias.

    Parameters
    ----------
    x : Tensor, shape (batch, n_others * depth)
    values : Tensor, shape (n_blocks, width, depth), or (n_blocks, depth, width) if `transposed`
    bias : Tensor, shape (n_groups * width,), or None
    tables : (ptr, idx, perm)
        Blocks ``ptr[g] .. ptr[g + 1] - 1`` of group g read group ``idx[b]`` of x and are ``values[perm[b]]``, or
        ``values[b]`` unless `transposed`.
    transposed : bool
    config : Config, optional
        Default: the fastest of `prune_adapters.ops.triton_tiles.row_configs`, timed once for each size and dtype.

    Returns
    -------
    Tensor, shape (batch, n_groups * width)
    """
    ptr = tables[0]
    n_blocks, depth, width = values.shape if transposed else (values.shape[0], values.shape[2], values.shape[1])
    groups = len(ptr) - 1
    y = x.new_empty(len(x), groups * width)
    if not y.numel():
        return y
    if not n_blocks:
        return y.zero_() if bias is None else y.copy_(bias.expand_as(y))
    sizes = groups, width, depth

    def run(own: Config) -> None:
        _rows(x, values, bias, y, tables, transposed, sizes, own)

    aligned = _aligned(x, values)
    key = "rows", transposed, aligned, n_blocks, *sizes, *_bucket(x)
    own = config or choice.known(key)
    if own is None:
        given = choice.row_configs(width, depth, x, tma=aligned and choice.has_tma(x))
        own = choice.fastest(key, given, run)
    run(own)
    return y


def _rows(
    x: torch.Tensor,
    values: torch.Tensor,
    bias: torch.Tensor | None,
    y: torch.Tensor,
    tables: tuple[torch.Tensor, torch.Tensor, torch.Tensor | None],
    transposed: bool,
    sizes: tuple[int, int, int],
    own: Config,
) -> None:
    (ptr, idx, perm), (groups, width, depth) = tables, sizes
    left, right = _row_operands(x, values, transposed, own) if own.described else (x, values)
    grid = (triton.cdiv(len(x), own.rows) * groups * (width // own.columns),)
    kernels._rows_kernel[grid](
        left, right, y if bias is None else bias, y, ptr, idx, ptr if perm is None else perm,
        len(x), groups, x.shape[1] // depth, width, depth,
        bias is not None, transposed, own.described, _precision(x), own.rows, own.columns, own.depth, **_launch(own),
    )  # fmt: skip


def _row_operands(
    x: torch.Tensor, values: torch.Tensor, transposed: bool, own: Config
) -> tuple[TensorDescriptor, TensorDescriptor]:
    sides = (own.depth, own.columns) if transposed else (own.columns, own.depth)
    return _box(x, own.rows, own.depth), _box(values.flatten(0, 1), *sides)


def sampled(
    grad: torch.Tensor,
    x: torch.Tensor,
    tables: tuple[torch.Tensor, torch.Tensor],
    width: int,
    depth: int,
    config: Config | None = None,
) -> torch.Tensor:
    """Return the gradient of the values: ``grad[:, own outputs].T @ x[:, own inputs]`` of each block.

    Parameters
    ----------
    grad : Tensor, shape (batch, n_groups * width)
    x : Tensor, shape (batch, n_others * depth)
    tables : (ptr, idx)
        As for `rows`.
    width, depth : int
        Outputs and inputs of a block.
    config : Config, optional
        Default: the fastest of `prune_adapters.ops.triton_tiles.sampled_configs`, timed once for each size and dtype.

    Returns
    -------
    Tensor, shape (n_blocks, width, depth)
        The batch may be summed in parts, which are added in a fixed order: the same on every run on one device.
    """
    n_blocks = len(tables[1])
    found = x.new_empty(n_blocks, width, depth)
    if not found.numel() or not len(x):
        return found.zero_()

    def run(own: Config) -> None:
        splits = own.splits or choice.sampled_splits(found.numel(), len(x), x.device)
        out = found[None] if splits == 1 else x.new_empty((splits, *found.shape), dtype=torch.float32)
        _sampled(grad, x, out, tables, own)
        if splits == 2:
            torch.add(out[0], out[1], out=found)
        elif splits > 2:
            found.copy_(out.sum(0))

    aligned = _aligned(grad, x)
    key = "sampled", aligned, n_blocks, grad.shape[1], width, depth, *_bucket(x)
    own = config or choice.known(key)
    if own is None:
        own = choice.fastest(key, choice.sampled_configs(width, depth, x, tma=aligned and choice.has_tma(x)), run)
    run(own)
    return found


def _sampled(
    grad: torch.Tensor, x: torch.Tensor, out: torch.Tensor, tables: tuple[torch.Tensor, torch.Tensor], own: Config
) -> None:
    """Write the gradient of each part of the batch to ``out[part]``."""
    splits, n_blocks, width, depth = out.shape
    groups = len(tables[0]) - 1
    a_split = triton.cdiv(triton.cdiv(len(x), splits), 128) * 128  # a multiple of every tile's depth
    n_tiles = n_blocks * depth // own.columns + groups
    grid, search = (n_tiles * (width // own.rows), splits), min(SEARCH_STEPS, groups.bit_length())
    sizes = len(x), a_split, n_tiles, groups
    if own.described:
        across = choice.piece(depth, own)
        kernels._sampled_pieces_kernel[grid](
            _box(grad, own.depth, own.rows), _box(x, own.depth, across), out, *tables, *sizes, n_blocks, width, depth,
            search, own.rows, across, own.depth, own.columns // across, **_launch(own),
        )  # fmt: skip
        return
    kernels._sampled_kernel[grid](
        grad, x, out, *tables, *sizes, x.shape[1] // depth, n_blocks, width, depth,
        _precision(x), search, own.rows, own.columns, own.depth, **_launch(own),
    )  # fmt: skip


def _aligned(*tensors: torch.Tensor) -> bool:
    return not any(tensor.data_ptr() % 16 for tensor in tensors)


def _precision(x: torch.Tensor) -> str:
    """Return how float32 is multiplied: as torch is told to."""
    return "tf32" if x.is_cuda and torch.backends.cuda.matmul.allow_tf32 else "ieee"


def _launch(config: Config) -> dict[str, int]:
    return {"num_warps": config.warps, "num_stages": config.stages}


def _box(matrix: torch.Tensor, rows: int, columns: int) -> TensorDescriptor:
    """Return how TMA copies so many rows and columns of a contiguous matrix at once."""
    return TensorDescriptor(matrix, list(matrix.shape), [matrix.shape[1], 1], [rows, columns])


def _bucket(x: torch.Tensor) -> tuple[object, ...]:
    """Return what of x decides which tile is fastest: batches within a factor of 2 share a choice."""
    return len(x).bit_length(), x.shape[1], x.dtype, x.device, _precision(x)
