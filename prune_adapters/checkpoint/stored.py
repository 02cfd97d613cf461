"""A tensor inside a file: where its bytes lie, and reading them a few at a time."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

import torch

from prune_adapters.errors import CheckpointError

__all__ = ["CHUNK_BYTES", "StoredTensor"]

CHUNK_BYTES = 4 << 20
"""About how many bytes of a file are in memory at a time."""


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """A tensor that stays in its file until it is read.

    Parameters
    ----------
    name : str
        As the file has it.
    path : Path
    dtype : torch.dtype
    shape : tuple of int
    offset : int
        First byte of the tensor in the file.
    strides : tuple of int or None
        Steps between elements where they do not lie in flat order.

    Examples
    --------
    >>> stored = StoredTensor("w", Path("m.safetensors"), torch.bfloat16, (4, 3), 128)
    >>> stored.size, stored.nbytes
    (12, 24)
    """

    name: str
    path: Path
    dtype: torch.dtype
    shape: tuple[int, ...]
    offset: int
    strides: tuple[int, ...] | None = None

    @property
    def size(self) -> int:
        """Number of elements."""
        return torch.Size(self.shape).numel()

    @property
    def nbytes(self) -> int:
        """Bytes that the values take in memory."""
        return self.size * self.dtype.itemsize

    def tensor(self) -> torch.Tensor:
        """Return the values, read into memory."""
        span = self._span()
        flat = next(self._pieces(0, span, span)) if span else torch.empty(0, dtype=self.dtype)
        strides = torch.empty(self.shape, device="meta").stride() if self.strides is None else self.strides
        return flat.as_strided(self.shape, strides)

    def chunks(self, start: int, stop: int, step: int) -> Iterator[torch.Tensor]:
        """Yield the elements from `start` to `stop` in flat order, `step` at a time.

        A chunk is good until the next one is asked for: all lie in the same memory.
        """
        if self.strides is None:
            yield from self._pieces(start, stop, step)
        else:
            yield from self.tensor().reshape(-1)[start:stop].split(step)

    def _span(self) -> int:
        """Return how many elements lie between the first and the last, both included."""
        if self.strides is None or not self.size:
            return self.size
        return 1 + sum((size - 1) * stride for size, stride in zip(self.shape, self.strides, strict=True))

    def _pieces(self, start: int, stop: int, step: int) -> Iterator[torch.Tensor]:
        """Yield elements in the order of the file."""
        width = self.dtype.itemsize
        memory = bytearray(min(step, stop - start) * width)
        with open(self.path, "rb", buffering=0) as file:
            file.seek(self.offset + start * width)
            for first in range(start, stop, step):
                count = min(step, stop - first)
                self._fill(file, memoryview(memory)[: count * width])
                yield torch.frombuffer(memory, dtype=self.dtype, count=count)

    def _fill(self, file: FileIO, memory: memoryview) -> None:
        done = 0
        while done < len(memory):
            count = file.readinto(memory[done:])
            if not count:
                raise CheckpointError(f"{os.fspath(self.path)}: ends inside tensor {self.name!r}; copy the file again")
            done += count
