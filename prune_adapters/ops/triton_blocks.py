"""The products of block_linear in Triton, which reaches the tensor cores of Hopper and later at their full width.

Import this file only where triton is installed. Its kernels and those of csrc/cuda have the same arguments: a product
of rows with blocks (`rows`: the forward pass, or the gradient of the inputs on transposed tables), and a product of
two matrices where there are blocks (`sampled`: the gradient of the values). Block sides are multiples of 16.
"""

# mypy: disable-error-code="no-untyped-def,no-untyped-call"

import itertools
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import triton
import triton.language as tl

__all__ = ["Config", "row_configs", "rows", "sampled", "sampled_configs", "sampled_splits"]

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
SEARCH_STEPS = 31
"""Halvings after which one of 2 ** 31 groups is found."""


@dataclass(frozen=True)
class Config:
    """Tile of a kernel: rows, columns and depth of a step; how many warps and stages; whether tiles come by TMA."""

    rows: int
    columns: int
    depth: int
    warps: int = 4
    stages: int = 3
    described: bool = False


@triton.jit(do_not_specialize=["batch", "groups", "other_groups"])
def _rows_kernel(
    x, values, bias, y, ptr, idx, perm, batch, groups, other_groups, width, depth,
    HAS_BIAS: tl.constexpr, TRANSPOSED: tl.constexpr, DESCRIBED: tl.constexpr, PRECISION: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, DEPTH: tl.constexpr,
):  # fmt: skip
    tiles = width // COLUMNS
    across = groups * tiles
    part, row_tile = tl.program_id(0) % across, tl.program_id(0) // across
    group, first_column = part // tiles, part % tiles * COLUMNS
    first, last = tl.load(ptr + group), tl.load(ptr + group + 1)
    number, column = row_tile * ROWS + tl.arange(0, ROWS), first_column + tl.arange(0, COLUMNS)
    inner = tl.arange(0, DEPTH)
    read = tl.minimum(number, batch - 1).to(tl.int64)[:, None] * (other_groups * depth)
    steps = depth // DEPTH
    sums = tl.zeros((ROWS, COLUMNS), tl.float32)
    for step in range((last - first) * steps):
        block, start = first + step // steps, step % steps * DEPTH
        other = tl.load(idx + block)
        place = tl.load(perm + block) if TRANSPOSED else block
        if DESCRIBED:
            left = x.load([row_tile * ROWS, other * depth + start])
            if TRANSPOSED:
                right = values.load([place * depth + start, first_column])
            else:
                right = values.load([place * width + first_column, start]).T
        else:
            left = tl.load(x + read + (other * depth + start + inner)[None, :])
            if TRANSPOSED:
                right = tl.load(values + (place * depth + start + inner)[:, None] * width + column[None, :])
            else:
                right = tl.load(values + (place * width + column)[None, :] * depth + (start + inner)[:, None])
        sums = tl.dot(left, right, sums, input_precision=PRECISION)
    if HAS_BIAS:
        sums += tl.load(bias + group * width + column)[None, :].to(tl.float32)
    target = y + number.to(tl.int64)[:, None] * (groups * width) + (group * width + column)[None, :]
    tl.store(target, sums.to(y.dtype.element_ty), mask=number[:, None] < batch)


@triton.jit
def _group_of(tile, ptr, groups, depth, COLUMNS: tl.constexpr, SEARCH: tl.constexpr):
    """Return the last group whose tiles begin at `tile` or before."""
    low, high = 0, groups
    for _ in range(SEARCH):
        middle = (low + high) // 2
        there = tl.load(ptr + middle) * depth // COLUMNS + middle <= tile
        low, high = tl.where(there, middle, low), tl.where(there, high, middle)
    return low


@triton.jit(do_not_specialize=["batch", "batch_a_split", "groups", "other_groups", "blocks"])
def _sampled_kernel(
    grad, x, out, ptr, idx, batch, batch_a_split, groups, other_groups, blocks, width, depth,
    PRECISION: tl.constexpr, SEARCH: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr, DEPTH: tl.constexpr,
):  # fmt: skip
    tall = width // ROWS
    tile, first_row = tl.program_id(0) // tall, tl.program_id(0) % tall * ROWS
    split = tl.program_id(1)
    group = _group_of(tile, ptr, groups, depth, COLUMNS, SEARCH)
    first, last = tl.load(ptr + group), tl.load(ptr + group + 1)
    column = (tile - (first * depth // COLUMNS + group)) * COLUMNS + tl.arange(0, COLUMNS)
    good = (column >= 0) & (column < (last - first) * depth)
    block, inside = first + column // depth, column % depth
    other = tl.load(idx + block, mask=good, other=0)
    # 16 neighbours of a column are in one block, which the compiler cannot see: it would read 2 bytes at a time.
    read = tl.max_contiguous(tl.multiple_of(other * depth + inside, 16), 16)
    write = tl.max_contiguous(tl.multiple_of(block * (width * depth) + inside, 16), 16)
    output = first_row + tl.arange(0, ROWS)
    begin = split * batch_a_split
    end = tl.minimum(begin + batch_a_split, batch)
    sums = tl.zeros((ROWS, COLUMNS), tl.float32)
    for start in range(begin, end, DEPTH):
        number = start + tl.arange(0, DEPTH)
        row = number.to(tl.int64)[:, None]
        there = number[:, None] < end
        left = tl.load(grad + row * (groups * width) + (group * width + output)[None, :], mask=there, other=0.0)
        right = tl.load(x + row * (other_groups * depth) + read[None, :], mask=there & good[None, :], other=0.0)
        sums = tl.dot(tl.trans(left), right, sums, input_precision=PRECISION)
    target = out + split.to(tl.int64) * blocks * width * depth + output[:, None] * depth + write[None, :]
    tl.store(target, sums.to(out.dtype.element_ty), mask=good[None, :])


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
        Default: the fastest of `row_configs`, timed once for each size and dtype.

    Returns
    -------
    Tensor, shape (batch, n_groups * width)
    """
    ptr, idx, perm = tables
    n_blocks, depth, width = values.shape if transposed else (values.shape[0], values.shape[2], values.shape[1])
    groups, others = len(ptr) - 1, x.shape[1] // depth
    y = x.new_empty(len(x), groups * width)
    if not y.numel():
        return y
    if not n_blocks:
        return y.zero_() if bias is None else y.copy_(bias.expand_as(y))

    def run(own: Config) -> None:
        grid = (triton.cdiv(len(x), own.rows) * groups * (width // own.columns),)
        left, right = (_described(x, values, own, transposed)) if own.described else (x, values)
        given = left, right, y if bias is None else bias, y, ptr, idx, ptr if perm is None else perm
        sizes = len(x), groups, others, width, depth
        flags = bias is not None, transposed, own.described, _precision(x)
        _rows_kernel[grid](*given, *sizes, *flags, own.rows, own.columns, own.depth, **_launch(own))

    aligned = x.data_ptr() % 16 == 0 == values.data_ptr() % 16
    choices = [own for own in row_configs(width, depth, x) if aligned or not own.described]
    run(config or _fastest(("rows", transposed, aligned, width, depth, *_bucket(x)), choices, run))
    return y


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
        Default: the fastest of `sampled_configs`, timed once for each size and dtype.

    Returns
    -------
    Tensor, shape (n_blocks, width, depth)
        The batch may be summed in parts, which are added in a fixed order: the same on every run on one device.
    """
    ptr, idx = tables
    groups, others, n_blocks = len(ptr) - 1, x.shape[1] // depth, len(idx)
    found = x.new_empty(n_blocks, width, depth)
    if not found.numel() or not len(x):
        return found.zero_()
    splits = sampled_splits(n_blocks * width * depth, len(x), x.device)
    out = found[None] if splits == 1 else x.new_empty((splits, *found.shape), dtype=torch.float32)
    a_split = triton.cdiv(triton.cdiv(len(x), splits), 64) * 64

    def run(own: Config) -> None:
        tiles = n_blocks * depth // own.columns + groups
        sizes = len(x), a_split, groups, others, n_blocks, width, depth
        flags = _precision(x), min(SEARCH_STEPS, groups.bit_length())
        grid = tiles * (width // own.rows), splits
        _sampled_kernel[grid](
            grad, x, out, ptr, idx, *sizes, *flags, own.rows, own.columns, own.depth, **_launch(own)
        )  # fmt: skip

    run(config or _fastest(("sampled", splits, width, depth, *_bucket(x)), sampled_configs(width, depth, x), run))
    return found if splits == 1 else found.copy_(out.sum(0))


def row_configs(width: int, depth: int, x: torch.Tensor) -> list[Config]:
    """Return the tiles to try for blocks of `width` outputs and `depth` inputs, the most likely one first."""
    columns, inner = _power_in(width, 256), _power_in(depth, 64)
    if x.element_size() > 2:
        return [Config(64, min(columns, 64), min(inner, 32))]
    described = [_has_tma(x)] if inner == 64 and columns >= 64 else [False]
    if columns == 256:
        sides = [(128, 256, 8), (128, 128, 8)]
    elif columns == 128:
        sides = [(128, 128, 8), (128, 128, 4)]
    elif columns == 64:
        sides = [(128, 64, 4), (256, 64, 8)]
    else:
        sides = [(128, columns, 4)]
    kinds = sorted({False, *described}, reverse=True)
    # Triton spends two of the stages on looking the group up (3.6): three tiles are under way.
    return [Config(r, c, inner, warps, 5, kind) for kind in kinds for r, c, warps in sides]


def sampled_configs(width: int, depth: int, x: torch.Tensor) -> list[Config]:
    """Return the tiles to try for the gradient of values, the most likely one first."""
    tall = _power_in(width, 128)
    if x.element_size() > 2:
        return [Config(min(tall, 64), 64, 32)]
    columns = 128
    choices = [Config(tall, columns, 64, 8 if tall == 128 else 4, 4), Config(tall, columns, 64, 4, 3)]
    return choices if tall >= 64 else [Config(tall, columns, 64, 4, 3)]


def sampled_splits(n_values: int, batch: int, device: torch.device) -> int:
    """Return in how many parts the batch is cut: enough tiles for two a processor, and no part below 512 rows."""
    processors = torch.cuda.get_device_properties(device).multi_processor_count if device.type == "cuda" else 2
    tiles = max(1, n_values // (128 * 128))
    return max(1, min(2 * processors // tiles, batch // 512, 16))


def _power_in(size: int, most: int) -> int:
    """Return the largest power of 2 that divides a size, at most `most`."""
    return min(size & -size, most)


def _precision(x: torch.Tensor) -> str:
    """Return how float32 is multiplied: as torch is told to."""
    return "tf32" if x.is_cuda and torch.backends.cuda.matmul.allow_tf32 else "ieee"


def _has_tma(x: torch.Tensor) -> bool:
    return INTERPRETED or (x.is_cuda and torch.cuda.get_device_capability(x.device) >= (9, 0))


def _launch(config: Config) -> dict[str, int]:
    return {"num_warps": config.warps, "num_stages": config.stages}


def _described(x: torch.Tensor, values: torch.Tensor, config: Config, transposed: bool) -> tuple[object, object]:
    from triton.tools.tensor_descriptor import TensorDescriptor

    matrix = values.flatten(0, 1)
    box = [config.depth, config.columns] if transposed else [config.columns, config.depth]
    return tuple(
        TensorDescriptor(given, list(given.shape), list(given.stride()), own)
        for given, own in ((x, [config.rows, config.depth]), (matrix, box))
    )


def _bucket(x: torch.Tensor) -> tuple[object, ...]:
    """Return what of x decides which tile is fastest: batches within a factor of 2 share a choice."""
    return len(x).bit_length(), x.shape[1], x.dtype, x.device, _precision(x)


_chosen: dict[tuple[object, ...], Config] = {}


def _fastest(key: tuple[object, ...], configs: Sequence[Config], run: Callable[[Config], None]) -> Config:
    if key in _chosen:
        return _chosen[key]
    if len(configs) == 1 or INTERPRETED or torch.cuda.is_current_stream_capturing():
        return configs[0]
    _chosen[key] = min(configs, key=lambda config: _time(lambda: run(config)))
    return _chosen[key]


def _time(run: Callable[[], None], repeats: int = 5) -> float:
    """Return the least milliseconds that one run takes; infinity if the device has too little memory for its tiles."""
    try:
        run()
    except triton.runtime.errors.OutOfResources:
        return float("inf")
    events = [torch.cuda.Event(enable_timing=True) for _ in range(repeats + 1)]
    for event in events[:-1]:
        event.record()
        run()
    events[-1].record()
    torch.cuda.synchronize()
    return min(a.elapsed_time(b) for a, b in itertools.pairwise(events))
