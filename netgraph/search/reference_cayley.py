"""The Cayley graphs of the annealers in Python, see native/cayley.hpp: rows of elements as integers, one bit each."""

import numpy as np

from netgraph.search.reference_models import NEVER, TRIES, Random

__all__ = ["HEADER", "CayleyModel"]

HEADER = 3
"""Cells before the generators: s, t and r of the group Z_s x|_r Z_t."""


class CayleyModel:
    """Generators of a group, each followed by its inverse; a last one alone is its own.

    Parameters
    ----------
    cells : ndarray of uint32, shape (1, 3 + degree)
    """

    def __init__(self, cells: np.ndarray) -> None:
        self.cells = cells.copy()
        self._s, self._t, r = cells[0, :HEADER].tolist()
        self._degree = cells.shape[1] - HEADER
        self._powers = [pow(r, b, self._s) for b in range(self._t)]
        self._before = cells.copy()

    def propose(self, random: Random, tries: int = TRIES) -> bool:
        """Make a random move; False if none is found."""
        generators = self.cells[0, HEADER:]
        for _ in range(tries if self._degree else 0):
            place = random.below(self._degree)
            alone = place + 1 == self._degree and self._degree % 2 == 1
            place -= 0 if alone else place % 2
            element = random.below(self._s * self._t)
            other = self._inverse(element)
            if element == 0 or (element == other) != alone or element in generators.tolist():
                continue
            self._before = self.cells.copy()
            generators[place : place + 2] = element if alone else (element, other)
            return True
        return False

    def energy(self) -> int:
        """Return the sum of hops from one node, NEVER if some node is not reached."""
        nodes, rows, total, reached = self._s * self._t, [1] + [0] * (self._t - 1), 0, 1
        while reached < nodes:
            total += nodes - reached
            rows = self._spread(rows)
            now = sum(row.bit_count() for row in rows)
            if now == reached:
                return NEVER
            reached = now
        return total

    def take_back(self) -> None:
        """Undo the last move."""
        self.cells = self._before.copy()

    def before(self) -> np.ndarray:
        """Return the cells as they were before the last move."""
        return self._before.copy()

    def _inverse(self, element: int) -> int:
        a, b = divmod(element, self._t)
        back = -b % self._t
        return -a * self._powers[back] % self._s * self._t + back

    def _spread(self, rows: list[int]) -> list[int]:
        found, all_bits = rows.copy(), (1 << self._s) - 1
        for element in self.cells[0, HEADER:].tolist():
            a, down = divmod(element, self._t)
            for b, row in enumerate(rows):
                by = self._powers[b] * a % self._s
                found[(b + down) % self._t] |= (row << by | row >> (self._s - by)) & all_bits
        return found
