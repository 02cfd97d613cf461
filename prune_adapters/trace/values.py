"""What a traced tensor can be: units, a parameter that was only moved, or a constant.

`Units` carries unit ids. `Weight` carries, for each element, which parameter element it is. `Constant` is everything
that does not depend on an input; its value is computed only when a rule asks for it (an index operand, say).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

__all__ = ["PRESENT", "ZERO", "Constant", "Tokens", "Units", "Value", "Weight"]

ZERO = -1
"""Id of an element that is identically zero (padding)."""

PRESENT = -2
"""Id of an element that is a constant other than zero."""


@dataclass(frozen=True, eq=False)
class Units:
    """A tensor whose elements belong to units.

    Parameters
    ----------
    ids : Tensor of int64
        Same rank as the tensor; size 1 on dimensions along which the unit does not change. `ZERO` and `PRESENT` mark
        constant elements.
    shape : tuple of int
        Shape of the tensor itself.
    """

    ids: torch.Tensor
    shape: tuple[int, ...]

    @property
    def sources(self) -> tuple[str, ...]:
        """Always empty: no parameter is what the units are."""
        return ()

    def at_rank(self, rank: int) -> "Units":
        """Return the same units with leading dimensions of size 1, up to `rank` dimensions."""
        lead = (1,) * (rank - len(self.shape))
        return Units(self.ids.reshape(lead + tuple(self.ids.shape)), lead + self.shape)

    def transposed(self) -> "Units":
        """Return the same units with the last two dimensions exchanged."""
        return Units(self.ids.transpose(-1, -2), (*self.shape[:-2], self.shape[-1], self.shape[-2]))

    def expanded(self) -> torch.Tensor:
        """Return the ids at the shape of the tensor, without copying."""
        return self.ids.expand(self.shape)


@dataclass(frozen=True, eq=False)
class Tokens:
    """An integer input that only an embedding may turn into units."""

    name: str
    shape: tuple[int, ...]

    @property
    def sources(self) -> tuple[str, ...]:
        """Always empty: no parameter is what the tokens are."""
        return ()


@dataclass(frozen=True, eq=False)
class Weight:
    """A parameter after operations that only move its elements.

    Parameters
    ----------
    shape : tuple of int
    name : str or None
        The parameter, while its elements lie in it at fixed steps.
    offset, strides : int, tuple of int
        Where they lie.
    index : ndarray of int64 or None
        Otherwise: for each element its number in the numbering of all parameters; `ZERO` or `PRESENT` for a constant
        that stands between them.
    names : tuple of str
        The parameters that the elements come from, if `name` is None.
    """

    shape: tuple[int, ...]
    name: str | None
    offset: int = 0
    strides: tuple[int, ...] = ()
    index: np.ndarray | None = None
    names: tuple[str, ...] = ()

    @classmethod
    def whole(cls, name: str, shape: tuple[int, ...]) -> "Weight":
        """Return the parameter as it is stored."""
        return cls(shape, name, 0, torch.empty(shape, device="meta").stride())

    def viewed(self) -> torch.Tensor:
        """Return a stand-in without data that lies in memory as the elements lie in the parameter."""
        return torch.empty(0, device="meta").as_strided(self.shape, self.strides, self.offset)

    def rearranged(self, order: Sequence[int], shape: Sequence[int], starts: dict[str, int]) -> "Weight":
        """Return the parameter with its axes permuted, then reshaped."""
        if self.index is None:
            view = self.viewed().permute(*order)
            flat = view.reshape(shape)
            if flat.untyped_storage()._cdata == view.untyped_storage()._cdata:
                return Weight(tuple(flat.shape), self.name, int(flat.storage_offset()), flat.stride())
        moved = self.numbers(starts).transpose(order).reshape(shape)
        return Weight(moved.shape, None, index=np.ascontiguousarray(moved), names=self.sources)

    @property
    def sources(self) -> tuple[str, ...]:
        """Names of the parameters that the elements come from."""
        return (self.name,) if self.name else self.names

    def at_rank(self, rank: int) -> "Weight":
        """Return the same elements with leading dimensions of size 1, up to `rank` dimensions."""
        lead = (1,) * (rank - len(self.shape))
        index = None if self.index is None else self.index.reshape(lead + self.shape)
        steps = () if index is not None else (0,) * len(lead) + self.strides
        return Weight(lead + self.shape, self.name, self.offset, steps, index, self.names)

    def stretched(self, shape: tuple[int, ...]) -> "Weight":
        """Return the same elements repeated to a larger shape."""
        if self.index is not None:
            return Weight(shape, None, index=np.broadcast_to(self.index, shape), names=self.names)
        return Weight(shape, self.name, self.offset, self.viewed().expand(shape).stride())

    def chunk(self, position: int, count: int) -> "Weight":
        """Return one of `count` equal parts along the first axis."""
        size = self.shape[0] // count
        shape, start = (size, *self.shape[1:]), position * size
        if self.index is not None:
            return Weight(shape, None, index=self.index[start : start + size], names=self.names)
        return Weight(shape, self.name, self.offset + start * self.strides[0], self.strides)

    def transposed(self, starts: dict[str, int]) -> "Weight":
        """Return the same elements with the last two axes exchanged."""
        order = list(range(len(self.shape)))
        order[-2:] = reversed(order[-2:])
        return self.rearranged(order, [self.shape[axis] for axis in order], starts)

    def numbers(self, starts: dict[str, int]) -> np.ndarray:
        """Return the number of each element in the numbering of all parameters: ndarray of int64."""
        if self.index is not None:
            return self.index
        flat = np.full(self.shape, starts[self.sources[0]] + self.offset, dtype=np.int64)
        for axis, (size, stride) in enumerate(zip(self.shape, self.strides, strict=True)):
            steps = np.arange(size, dtype=np.int64) * stride
            flat += steps.reshape([size if a == axis else 1 for a in range(len(self.shape))])
        return flat


@dataclass(frozen=True, eq=False)
class Constant:
    """A tensor that does not depend on an input.

    Parameters
    ----------
    shape : tuple of int
    compute : callable or None
        Returns the value, None where it cannot be known.
    sources : tuple of str
        Parameters that it was computed from.
    buffer : str or None
        The buffer that it is, as it is stored.
    is_stored : bool
        Whether it was computed from a buffer.
    vanishes : bool
        Whether it is zero once all its parameters are (a sum of two tables is, the exponential of one is not).
    """

    shape: tuple[int, ...]
    compute: Callable[[], torch.Tensor | None] | None = None
    sources: tuple[str, ...] = ()
    buffer: str | None = None
    is_stored: bool = False
    vanishes: bool = False

    @classmethod
    def zeros(cls, shape: Sequence[int]) -> "Constant":
        """Return a tensor that is zero whatever the weights are."""
        return cls(tuple(shape), lambda: torch.zeros(tuple(shape)))

    def at_rank(self, rank: int) -> "Constant":
        """Return the same elements with leading dimensions of size 1, up to `rank` dimensions."""
        return self.reshaped((1,) * (rank - len(self.shape)) + self.shape)

    def reshaped(self, shape: Sequence[int]) -> "Constant":
        """Return the same elements in another shape."""

        def compute() -> torch.Tensor | None:
            found = self.value()
            return None if found is None else found.reshape(tuple(shape))

        known = compute if self.compute else None
        return Constant(tuple(shape), known, self.sources, self.buffer, self.is_stored, self.vanishes)

    def value(self) -> torch.Tensor | None:
        """Return the value, or None where it cannot be known, as on the meta device."""
        known = self.compute() if self.compute else None
        return None if known is None or known.is_meta else known

    def known(self) -> torch.Tensor | None:
        """Return the value if no parameter or buffer has a part in it: those count as present whatever they are."""
        return None if self.sources or self.buffer or self.is_stored else self.value()

    @property
    def is_zero(self) -> bool:
        """Whether every element is known to be 0."""
        known = self.known()
        return known is not None and not known.is_meta and not bool(known.any())


Value = Units | Tokens | Weight | Constant
