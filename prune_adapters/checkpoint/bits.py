"""The bits of a graph from a checkpoint, one tensor after the other, a few megabytes of values in memory at a time."""

from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise

import numpy as np
import torch

import netgraph as ng
from netgraph import ElementIndex
from netgraph.bits import PACKED_WIDTH, pack_columns, pack_rows
from netgraph.weights import pack_weights
from prune_adapters.checkpoint.stored import CHUNK_BYTES, StoredTensor
from prune_adapters.trace.kept import LARGEST, as_array

__all__ = ["Progress", "stream_bits"]

Progress = Callable[[int, int, str], None]
"""Is told the bytes done, the bytes in all and the tensor that is being read."""
Way = Callable[[np.ndarray, ng.Connection, StoredTensor], Iterator[int]]


def stream_bits(graph: ng.NetGraph, tensors: Mapping[str, StoredTensor], progress: Progress) -> np.ndarray:
    """Return the bits of a graph with the elements kept whose value in a file is not 0.

    Beside the bits, memory holds a chunk of a tensor; where the elements of a connection lie in the file neither row
    by row nor column by column, also one byte for each element of that tensor.

    Parameters
    ----------
    graph : NetGraph
    tensors : mapping of str to StoredTensor
        One for each edge parameter, of the parameter's shape.
    progress : callable

    Returns
    -------
    ndarray of uint64, shape of ``graph.bits``

    Raises
    ------
    WeightValueError
        A weight is NaN.
    CheckpointError
        A file ends before its tensors do.
    """
    bits = np.zeros(graph.bits.shape, dtype=np.uint64)  # takes memory only as it fills, unlike zeros_like
    plan = [(c, tensors[c.parameter], _way(c)) for c in graph.weighted]
    total = sum((stored.size if way is _gathered else c.size) * stored.dtype.itemsize for c, stored, way in plan)
    done = 0
    for (c, stored, way), (start, end) in zip(plan, pairwise(graph.word_starts), strict=True):
        progress(done, total, c.parameter)
        for count in way(bits[start:end], c, stored):
            done += count * stored.dtype.itemsize
            progress(done, total, c.parameter)
    return bits


def _way(c: ng.Connection) -> Way:
    """Return the function that fills the words of a connection, by the order in which its elements lie."""
    if c.contiguous_offset is not None:
        return _row_by_row
    if isinstance(c.index, ElementIndex) and c.groups == c.taps == 1 and c.width >= PACKED_WIDTH:
        return _column_by_column if c.index.strides[1:3] == (1, c.rows) else _gathered
    return _gathered


def _row_by_row(words: np.ndarray, c: ng.Connection, stored: StoredTensor) -> Iterator[int]:
    """Fill the words in the order of the file; yield how many elements were read."""
    start, width = c.contiguous_offset or 0, c.width
    rows = _chunk(stored, width)
    if width < PACKED_WIDTH:
        rows = -(-rows // 64) * 64  # rows without padding: so that every chunk but the last ends with a word
    filled = 0
    for first, values in _chunks(stored, start, start + c.size, rows * width):
        try:
            packed = pack_weights(as_array(values.reshape(-1, width)), dtype="bfloat16")
        except ng.WeightValueError:
            raise _nan(values, stored, first) from None
        words[filled : filled + len(packed)] = packed
        filled += len(packed)
        yield values.numel()


def _column_by_column(words: np.ndarray, c: ng.Connection, stored: StoredTensor) -> Iterator[int]:
    """Fill the words of a weight that is stored (in, out), a few columns at a time."""
    start = c.index.offset if isinstance(c.index, ElementIndex) else 0
    columns = -(-_chunk(stored, c.rows) // 64) * 64
    by_row = words.reshape(c.rows, -1)
    filled = 0
    for first, values in _chunks(stored, start, start + c.size, columns * c.rows):
        packed = pack_columns(_not_zero(values, stored, first).reshape(-1, c.rows))
        by_row[:, filled : filled + packed.shape[1]] = packed
        filled += packed.shape[1]
        yield values.numel()


def _gathered(words: np.ndarray, c: ng.Connection, stored: StoredTensor) -> Iterator[int]:
    """Fill the words of a connection whose elements lie in an order of their own, once the whole tensor is read."""
    kept = np.empty(stored.size, dtype=bool)
    for first, values in _chunks(stored, 0, stored.size, _chunk(stored, 1)):
        kept[first : first + values.numel()] = _not_zero(values, stored, first)
        yield values.numel()
    rows = -(-max(CHUNK_BYTES // max(c.width, 1), 1) // 64) * 64
    filled = 0
    for start in range(0, c.rows, rows):
        packed = pack_rows(kept[c.elements_of(start, min(start + rows, c.rows))].reshape(-1, c.width))
        words[filled : filled + len(packed)] = packed
        filled += len(packed)


def _chunk(stored: StoredTensor, width: int) -> int:
    """Return how many groups of `width` elements make a chunk, at least 1."""
    return max(CHUNK_BYTES // max(width * stored.dtype.itemsize, 1), 1)


def _chunks(stored: StoredTensor, start: int, stop: int, step: int) -> Iterator[tuple[int, torch.Tensor]]:
    """Yield chunks of a tensor with the number of their first element."""
    return zip(range(start, stop, step), stored.chunks(start, stop, step), strict=True) if step else iter(())


def _not_zero(values: torch.Tensor, stored: StoredTensor, first: int) -> np.ndarray:
    if values.dtype in LARGEST:
        values = values.half()
    if bool(values.isnan().any()):
        raise _nan(values, stored, first)
    return (values != 0).numpy()


def _nan(values: torch.Tensor, stored: StoredTensor, first: int) -> ng.WeightValueError:
    """Return the error that names the first NaN of a chunk."""
    number = first + int(values.float().isnan().to(torch.uint8).argmax())
    return ng.WeightValueError(f"weight {stored.name!r}: element {number} is NaN; expected numbers")
