"""How CUDA computes block_linear and block_conv2d: in Triton, by the compiled kernel, or by a gather and torch.bmm.

======== ==================================================================================================
triton   where triton is installed and the sides of a block are multiples of 16: `prune_adapters.ops.triton_blocks`
kernel   where the compiled operators are: csrc/cuda/block_rows.cuh, block_sampled.cuh, block_plain.cuh
gather   everywhere: `prune_adapters.ops.reference.blocks_gather`
======== ==================================================================================================

float32 is exact in `kernel`, and follows ``torch.backends.cuda.matmul.allow_tf32`` in the other two.
"""

import functools
import importlib
import importlib.util
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType

import torch

from prune_adapters.ops.define import define, operators
from prune_adapters.ops.reference import blocks_gather

__all__ = [
    "ROUTES",
    "block_conv2d",
    "block_conv2d_backward",
    "block_linear",
    "block_linear_backward",
    "blocks_by",
    "compiled_kernels",
    "route_for",
]

ROUTES = ("triton", "kernel", "gather")
Flags = Sequence[bool]
Tables = tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]

_forced = [os.environ.get("NETGRAPH_BLOCKS", "")]
if _forced[0] not in ("", *ROUTES):
    raise ValueError(f"NETGRAPH_BLOCKS: expected one of {', '.join(ROUTES)}, got {_forced[0]!r}")


@contextmanager
def blocks_by(route: str) -> Iterator[None]:
    """Within the context, compute products with blocks on CUDA in one way.

    The environment variable ``NETGRAPH_BLOCKS`` chooses one for a whole process. A product that the way cannot do is
    done in another.

    Parameters
    ----------
    route : {"triton", "kernel", "gather", ""}
        The empty string: whichever suits.

    Raises
    ------
    ValueError
        There is no such way.

    Examples
    --------
    >>> with blocks_by("gather"):
    ...     pass
    >>> with blocks_by("magic"):
    ...     pass
    Traceback (most recent call last):
    ValueError: route: expected one of triton, kernel, gather, got 'magic'
    """
    if route not in ("", *ROUTES):
        raise ValueError(f"route: expected one of {', '.join(ROUTES)}, got {route!r}")
    before, _forced[0] = _forced[0], route
    try:
        yield
    finally:
        _forced[0] = before


def route_for(x: torch.Tensor, width: int, depth: int) -> str:
    """Return in which way a product with blocks of `width` outputs and `depth` inputs is computed.

    Parameters
    ----------
    x : Tensor
        Its dtype and device count.
    width, depth : int

    Returns
    -------
    {"triton", "kernel", "gather"}
    """
    there = {"triton": _suits_triton(x, width, depth), "kernel": compiled_kernels(x.device.type), "gather": True}
    possible = [way for way in ROUTES if there[way]]
    if _forced[0] in possible:
        return _forced[0]
    tf32 = x.dtype == torch.float32 and torch.backends.cuda.matmul.allow_tf32
    if x.element_size() == 2 or tf32:
        return possible[0]
    return "kernel" if "kernel" in possible else "gather"


def block_linear(
    x: torch.Tensor,
    values: torch.Tensor,
    bias: torch.Tensor | None,
    ptr: torch.Tensor,
    idx: torch.Tensor,
    t_ptr: torch.Tensor,
    t_idx: torch.Tensor,
    t_perm: torch.Tensor,
) -> torch.Tensor:
    """Return ``x @ weight.T + bias``; arguments as the operator ``block_linear`` has them."""
    return _rows(x, values, bias, (ptr, idx, None), transposed=False)


def block_linear_backward(
    grad: torch.Tensor,
    x: torch.Tensor,
    values: torch.Tensor,
    ptr: torch.Tensor,
    idx: torch.Tensor,
    t_ptr: torch.Tensor,
    t_idx: torch.Tensor,
    t_perm: torch.Tensor,
    needs: Flags,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return the gradients of x, values and bias that are needed; the others have shape (0,)."""
    none = grad.new_empty(0)
    return (
        _rows(grad, values, None, (t_ptr, t_idx, t_perm), transposed=True) if needs[0] else none,
        _sampled(grad, x, (ptr, idx, None), *values.shape[1:]) if needs[1] else none,
        grad.sum(0) if needs[2] else none,
    )


def block_conv2d(
    x: torch.Tensor,
    values: torch.Tensor,
    bias: torch.Tensor | None,
    ptr: torch.Tensor,
    idx: torch.Tensor,
    t_ptr: torch.Tensor,
    t_idx: torch.Tensor,
    t_perm: torch.Tensor,
    stride: list[int],
    padding: list[int],
    dilation: list[int],
) -> torch.Tensor:
    """Return the convolution; arguments as the operator ``block_conv2d`` has them.

    The inputs of each output pixel are written out (im2col, channels last), then the convolution is a `block_linear`
    whose blocks are those of every kernel position.
    """
    kernel, placing = _kernel_size(values), (stride, padding, dilation)
    columns = blocks_gather.unfold_columns(x, kernel, *placing)
    y = _rows(columns, _tap_blocks(values), bias, _tap_tables(x, values, ptr, idx), transposed=False)
    size = blocks_gather.output_size(x.shape[2:], kernel, *placing)
    return y.view(len(x), *size, y.shape[1]).permute(0, 3, 1, 2).contiguous()


def block_conv2d_backward(
    grad: torch.Tensor,
    x: torch.Tensor,
    values: torch.Tensor,
    ptr: torch.Tensor,
    idx: torch.Tensor,
    t_ptr: torch.Tensor,
    t_idx: torch.Tensor,
    t_perm: torch.Tensor,
    stride: list[int],
    padding: list[int],
    dilation: list[int],
    needs: Flags,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return the gradients of x, values and bias that are needed; the others have shape (0,)."""
    kernel, placing, none = _kernel_size(values), (stride, padding, dilation), grad.new_empty(0)
    pixels, dx, dv = grad.permute(0, 2, 3, 1).reshape(-1, grad.shape[1]), none, none
    if needs[0]:
        tables = _transposed_tap_tables(values, t_ptr, t_idx, t_perm)
        columns = _rows(pixels, _tap_blocks(values), None, tables, transposed=True)
        dx = blocks_gather.fold_columns(columns, x.shape, kernel, *placing)
    if needs[1]:
        columns = blocks_gather.unfold_columns(x, kernel, *placing)
        found = _sampled(pixels, columns, _tap_tables(x, values, ptr, idx), *values.shape[1:3])
        dv = found.view(len(values), *kernel, *values.shape[1:3]).permute(0, 3, 4, 1, 2).contiguous()
    return dx, dv, grad.sum((0, 2, 3)) if needs[2] else none


def _kernel_size(values: torch.Tensor) -> tuple[int, int]:
    return values.shape[3], values.shape[4]


def _tap_blocks(values: torch.Tensor) -> torch.Tensor:
    """Return a block for each kernel position, those of one block one after the other."""
    return values.permute(0, 3, 4, 1, 2).reshape(-1, *values.shape[1:3])


def _tap_tables(x: torch.Tensor, values: torch.Tensor, ptr: torch.Tensor, idx: torch.Tensor) -> Tables:
    """Return the tables of `_tap_blocks` over the columns, whose groups are those of each kernel position in turn."""
    n_taps, n_groups = values[0, 0, 0].numel(), x.shape[1] // values.shape[2]
    taps = torch.arange(n_taps, dtype=idx.dtype, device=idx.device)
    return ptr * n_taps, (idx[:, None] + n_groups * taps).flatten(), None


def _transposed_tap_tables(
    values: torch.Tensor, t_ptr: torch.Tensor, t_idx: torch.Tensor, t_perm: torch.Tensor
) -> Tables:
    n_taps, n_blocks = values[0, 0, 0].numel(), len(t_idx)
    taps = torch.arange(n_taps, dtype=t_ptr.dtype, device=t_ptr.device)[:, None]
    ptr = torch.cat([(t_ptr[:-1] + n_blocks * taps).flatten(), t_ptr[-1:] * n_taps])
    return ptr, t_idx.repeat(n_taps), (t_perm * n_taps + taps).flatten()


def _rows(
    x: torch.Tensor, values: torch.Tensor, bias: torch.Tensor | None, tables: Tables, *, transposed: bool
) -> torch.Tensor:
    depth, width = (values.shape[1], values.shape[2]) if transposed else (values.shape[2], values.shape[1])
    route = route_for(x, width, depth)
    if route == "triton":
        return _triton().rows(x, values, bias, tables, transposed)
    if route == "kernel":
        return torch.ops.prune_adapters._block_rows(x, values, bias, *tables, transposed, -1)
    return blocks_gather.block_rows(x, values, bias, *tables, transposed)


def _sampled(grad: torch.Tensor, x: torch.Tensor, tables: Tables, width: int, depth: int) -> torch.Tensor:
    route, (ptr, idx, _) = route_for(x, width, depth), tables
    if route == "triton":
        return _triton().sampled(grad, x, (ptr, idx), width, depth)
    if route == "kernel":
        return torch.ops.prune_adapters._block_sampled(grad, x, ptr, idx, width, depth)
    return blocks_gather.block_sampled(grad, x, ptr, idx, width, depth)


@functools.cache
def _triton() -> ModuleType:
    return importlib.import_module("prune_adapters.ops.triton_blocks")


@functools.cache
def _triton_is_there() -> bool:
    return importlib.util.find_spec("triton") is not None


def _suits_triton(x: torch.Tensor, width: int, depth: int) -> bool:
    sizes = width % 16 == depth % 16 == 0
    return (
        sizes
        and x.dtype != torch.float64
        and _triton_is_there()
        and (x.is_cuda or os.environ.get("TRITON_INTERPRET") == "1")
    )


@functools.cache
def compiled_kernels(device_type: str = "cuda") -> bool:
    """Return whether torch was given the compiled kernels for a kind of device."""
    return torch._C._dispatch_has_kernel_for_dispatch_key("prune_adapters::_block_rows", device_type.upper())


define(
    "_block_rows(Tensor x, Tensor values, Tensor? bias, Tensor ptr, Tensor idx, Tensor? perm, bool transposed, "
    "int tile) -> Tensor",
    blocks_gather.block_rows,
    fake=lambda x, values, bias, ptr, idx, perm, transposed, tile: x.new_empty(
        x.shape[0], (ptr.shape[0] - 1) * values.shape[2 if transposed else 1]
    ),
)
define(
    "_block_sampled(Tensor grad, Tensor x, Tensor ptr, Tensor idx, int width, int depth) -> Tensor",
    blocks_gather.block_sampled,
    fake=lambda grad, x, ptr, idx, width, depth: x.new_empty(idx.shape[0], width, depth),
)
for _layer in (block_linear, block_linear_backward, block_conv2d, block_conv2d_backward):
    operators.impl(_layer.__name__, _layer, "CUDA")
