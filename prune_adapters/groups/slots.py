"""Channel slots: what the indices of a channel dimension stand for, and which of them must go together.

Every index of a dimension that could be made smaller is a slot. Two slots are coupled where an operator needs them at
the same index (a residual sum, a norm after a convolution), so a class of coupled slots goes as a whole or stays as a
whole. A pinned class always stays, and the reason is kept in words.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from prune_adapters.groups.raw import Source

__all__ = ["Coupling", "Slots", "Whole"]


@dataclass(frozen=True, eq=False)
class Slots:
    """A tensor one of whose dimensions may become smaller.

    Parameters
    ----------
    numbers : ndarray of int64, shape (n,)
        Slot of each index along the dimension.
    dim : int
        The dimension, counted from the front.
    shape : tuple of int
        Shape of the tensor.
    uniform : ndarray of bool, shape (n,)
        Whether the value, if it does not depend on the input, is the same at all positions and at all image sizes.
    """

    numbers: np.ndarray
    dim: int
    shape: tuple[int, ...]
    uniform: np.ndarray


@dataclass(frozen=True)
class Whole:
    """A tensor that keeps its size.

    Parameters
    ----------
    shape : tuple of int
    constant : bool
        Whether it was made of parameters and constants only.
    source : Source or None
        The parameter whose elements it holds, if that is one which a forward uses by itself.
    """

    shape: tuple[int, ...]
    constant: bool = False
    source: "Source | None" = None


class Coupling:
    """Classes of slots (a union-find) and the reasons of those that must stay."""

    def __init__(self) -> None:
        self._parent = np.zeros(0, dtype=np.int64)
        self._reasons: dict[int, str] = {}
        self._joints: dict[int, tuple[str, ...]] = {}

    def __len__(self) -> int:
        return len(self._parent)

    def new(self, size: int) -> np.ndarray:
        """Return `size` new slots, each a class of its own: ndarray of int64."""
        slots = np.arange(len(self), len(self) + size)
        self._parent = np.concatenate([self._parent, slots])
        return slots

    def roots(self, slots: np.ndarray) -> np.ndarray:
        """Return one slot that stands for the class of each of `slots`."""
        found = self._parent[slots]
        while not np.array_equal(above := self._parent[found], found):
            found = above
        self._parent[slots] = found
        return found

    def join(self, first: np.ndarray, second: np.ndarray, why: str = "") -> None:
        """Couple ``first[i]`` with ``second[i]``; a class that is joined to a pinned one is pinned."""
        for a, b in zip(first.tolist(), second.tolist(), strict=True):
            low, high = sorted((self._root(a), self._root(b)))
            if low != high:
                self._parent[high] = low
                joints = (*self._joints.get(low, ()), *self._joints.pop(high, ()), why)
                self._joints[low] = tuple(dict.fromkeys(joint for joint in joints if joint))
                if high in self._reasons:
                    self._reasons.setdefault(low, self._reasons[high])

    def pin(self, slots: np.ndarray, reason: str) -> None:
        """Let the classes of `slots` stay; a class keeps the first reason it was given."""
        for root in np.unique(self.roots(slots)).tolist():
            self._reasons.setdefault(root, reason)

    def reason(self, slot: int) -> str | None:
        """Return why the class of a slot must stay, None if nothing says so."""
        return self._reasons.get(self._root(slot))

    def joints(self, slot: int) -> tuple[str, ...]:
        """Return what has coupled the class of a slot, in words."""
        return self._joints.get(self._root(slot), ())

    def pinned(self, slots: np.ndarray) -> np.ndarray:
        """Return which of `slots` must stay: ndarray of bool."""
        return np.isin(self.roots(slots), np.array(list(self._reasons), dtype=np.int64))

    def _root(self, slot: int) -> int:
        while (above := int(self._parent[slot])) != slot:
            slot = above
        return slot
