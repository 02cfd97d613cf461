"""Ranking: the highest scores among arrays, without joining them.

A single selection is one call of `prune_adapters.ops.keep_largest`. Where many prefixes of one ranking are wanted, each
array is sorted once, and the value of the n-th highest score is found by bisection over the bits of a float: as many
binary searches as the float has bits, each exact at any size.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from prune_adapters.ops import keep_largest, unpack_mask

__all__ = ["Pool", "nth_highest"]


@dataclass(frozen=True, slots=True, eq=False)
class Pool:
    """Scores that compete with each other.

    Parameters
    ----------
    values : tuple of ndarray, shape (size,)
        All float32 or all float64, without NaN.
    ordered : tuple of ndarray, optional
        The same arrays, each sorted from low to high.

    Examples
    --------
    >>> pool = Pool((np.array([1.0, 3.0]), np.array([3.0, 2.0, 3.0])))
    >>> [kept.astype(int).tolist() for kept in pool.top(2)]
    [[0, 1], [1, 0, 0]]
    """

    values: tuple[np.ndarray, ...]
    ordered: tuple[np.ndarray, ...] | None = None

    @property
    def size(self) -> int:
        """Number of scores."""
        return sum(array.size for array in self.values)

    def sorted(self) -> "Pool":
        """Return the same pool, ready to be asked often."""
        return Pool(self.values, tuple(np.sort(array) for array in self.values))

    def top(self, count: int) -> list[np.ndarray]:
        """Return which scores are the `count` highest: ndarrays of bool. Of equal ones the earlier are taken."""
        if self.ordered is None or count == 0:
            return self._largest(count)
        bound = nth_highest(self._at_least, count, self.values[0].dtype)
        kept = [array > bound for array in self.values]
        equal = count - sum(int(np.count_nonzero(k)) for k in kept)
        for array, k in zip(self.values, kept, strict=True):
            if equal > 0:
                first = np.flatnonzero(array == bound)[:equal]
                k[first] = True
                equal -= first.size
        return kept

    def _largest(self, count: int) -> list[np.ndarray]:
        bits, _ = keep_largest([torch.from_numpy(array) for array in self.values], count)
        return [unpack_mask(own, array.shape).numpy() for own, array in zip(bits, self.values, strict=True)]

    def _at_least(self, bound: np.floating) -> int:
        assert self.ordered is not None
        return sum(array.size - int(np.searchsorted(array, bound, side="left")) for array in self.ordered)


def nth_highest(at_least: Callable[[np.floating], int], count: int, dtype: np.dtype) -> np.floating:
    """Return the highest number that at least `count` scores reach.

    Parameters
    ----------
    at_least : callable
        Tells how many scores are at or above a number.
    count : int
        Between 1 and the number of scores.
    dtype : dtype
        float32 or float64.

    Returns
    -------
    float32 or float64

    Examples
    --------
    >>> scores = np.array([4.0, -1.0, 0.5], dtype=np.float32)
    >>> float(nth_highest(lambda bound: int((scores >= bound).sum()), 2, scores.dtype))
    0.5
    """
    low, high = (_key(np.array(bound, dtype)) for bound in (-np.inf, np.inf))
    while low < high:
        middle = (low + high + 1) // 2
        if at_least(_number(middle, dtype)) >= count:
            low = middle
        else:
            high = middle - 1
    return _number(low, dtype)


def _key(number: np.ndarray) -> int:
    """Return an integer that grows with the number: its bits, those below the sign turned over if it is negative."""
    bits = int(number.view(f"i{number.itemsize}"))
    return bits if bits >= 0 else bits ^ (2 ** (8 * number.itemsize - 1) - 1)


def _number(key: int, dtype: np.dtype) -> np.floating:
    bits = key if key >= 0 else key ^ (2 ** (8 * dtype.itemsize - 1) - 1)
    return dtype.type(np.array(bits, dtype=f"i{dtype.itemsize}").view(dtype))
