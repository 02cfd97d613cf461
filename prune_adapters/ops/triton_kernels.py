"""The kernels of `prune_adapters.ops.triton_blocks`, which says what they compute.

Import this file only where triton is installed.
"""

# mypy: disable-error-code="no-untyped-def,no-untyped-call"

import triton
import triton.language as tl

__all__: list[str] = []


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
def _group_of(tile, tiles, ptr, groups, depth, COLUMNS: tl.constexpr, SEARCH: tl.constexpr):
    """Return the last group whose tiles begin at `tile` or before; if groups are equal, without a search."""
    guess = (tile.to(tl.int64) * groups // tiles).to(tl.int32)
    begin = tl.load(ptr + guess) * depth // COLUMNS + guess
    end = tl.load(ptr + guess + 1) * depth // COLUMNS + guess + 1
    right = (begin <= tile) & (tile < end)
    low, high = tl.where(right, guess, 0), tl.where(right, guess + 1, groups)
    for _ in range(tl.where(right, 0, SEARCH)):
        middle = (low + high) // 2
        there = tl.load(ptr + middle) * depth // COLUMNS + middle <= tile
        low, high = tl.where(there, middle, low), tl.where(there, high, middle)
    return low


@triton.jit(do_not_specialize=["batch", "batch_a_split", "tiles", "groups", "other_groups", "blocks"])
def _sampled_kernel(
    grad, x, out, ptr, idx, batch, batch_a_split, tiles, groups, other_groups, blocks, width, depth,
    PRECISION: tl.constexpr, SEARCH: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr, DEPTH: tl.constexpr,
):  # fmt: skip
    tall = width // ROWS
    tile, first_row = tl.program_id(0) // tall, tl.program_id(0) % tall * ROWS
    split = tl.program_id(1)
    group = _group_of(tile, tiles, ptr, groups, depth, COLUMNS, SEARCH)
    first, last = tl.load(ptr + group), tl.load(ptr + group + 1)
    first_column = (tile - (first * depth // COLUMNS + group)) * COLUMNS
    column = first_column + tl.arange(0, COLUMNS)
    good = (column >= 0) & (column < (last - first) * depth)
    block, inside = first + column // depth, column % depth
    other = tl.load(idx + block, mask=good, other=0)
    # 16 neighbours of a column are in one block, which the compiler cannot see: it would read 2 bytes at a time.
    read = tl.max_contiguous(tl.multiple_of(other * depth + inside, 16), 16)
    write = tl.max_contiguous(tl.multiple_of(block * (width * depth) + inside, 16), 16)
    output = first_row + tl.arange(0, ROWS)
    begin = split * batch_a_split
    # A tile after the last of its group has nothing to sum.
    end = tl.where(first_column < (last - first) * depth, tl.minimum(begin + batch_a_split, batch), begin)
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


@triton.jit(do_not_specialize=["batch", "batch_a_split", "tiles", "groups", "blocks"])
def _sampled_pieces_kernel(
    grad, x, out, ptr, idx, batch, batch_a_split, tiles, groups, blocks, width, depth,
    SEARCH: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr, DEPTH: tl.constexpr, PIECES: tl.constexpr,
):  # fmt: skip
    """As `_sampled_kernel`, by TMA: the columns of a tile are one piece of a block or two, each a box of its own."""
    tall = width // ROWS
    tile, first_row = tl.program_id(0) // tall, tl.program_id(0) % tall * ROWS
    split = tl.program_id(1)
    group = _group_of(tile, tiles, ptr, groups, depth, COLUMNS * PIECES, SEARCH)
    first, last = tl.load(ptr + group), tl.load(ptr + group + 1)
    a_block = depth // COLUMNS
    most = (last - first) * a_block
    piece = (tile - (first * depth // (COLUMNS * PIECES) + group)) * PIECES
    good = (piece >= 0) & (piece < most)
    block, inside = first + piece // a_block, piece % a_block * COLUMNS
    read = tl.load(idx + block, mask=good, other=0) * depth + inside
    # Where a group has an odd number of pieces, its last one is read in place of the second and not stored.
    second = tl.minimum(piece + PIECES - 1, most - 1)
    second_block, second_inside = first + second // a_block, second % a_block * COLUMNS
    second_read = tl.load(idx + second_block, mask=good, other=0) * depth + second_inside
    begin = split * batch_a_split
    end = tl.where(good, tl.minimum(begin + batch_a_split, batch), begin)
    sums, more = tl.zeros((ROWS, COLUMNS), tl.float32), tl.zeros((ROWS, COLUMNS), tl.float32)
    for start in range(begin, end, DEPTH):
        left = grad.load([start, group * width + first_row]).T
        sums = tl.dot(left, x.load([start, read]), sums)
        if PIECES == 2:
            more = tl.dot(left, x.load([start, second_read]), more)
    output, column = first_row + tl.arange(0, ROWS), tl.arange(0, COLUMNS)
    target = out + split.to(tl.int64) * blocks * width * depth + output[:, None] * depth + column[None, :]
    place = block.to(tl.int64) * (width * depth) + inside
    tl.store(target + place, sums.to(out.dtype.element_ty), mask=good)
    if PIECES == 2:
        second_place = second_block.to(tl.int64) * (width * depth) + second_inside
        tl.store(target + second_place, more.to(out.dtype.element_ty), mask=good & (second > piece))
