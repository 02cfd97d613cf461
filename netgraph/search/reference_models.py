"""The models of the annealers in Python and numpy; see native/swaps.hpp, two_hops.hpp and lifts.hpp."""

import numpy as np

__all__ = ["NEVER", "TRIES", "LiftModel", "PairModel", "Random", "SwapModel", "sum_of_hops"]

NEVER = 2**63 - 1
"""The energy of a graph that is not connected."""

TRIES = 64
"""How often a random move is drawn anew before a step passes without one."""

EDGE = 128
"""What a joined pair adds to its count of paths of length two."""

WORD, HALF = 2**64 - 1, 2**32 - 1


class Random:
    """Splitmix64, see native/random.hpp.

    Parameters
    ----------
    state : int
    """

    def __init__(self, state: int) -> None:
        self.state = state

    def next(self) -> int:
        """Return 64 random bits."""
        self.state = (self.state + 0x9E3779B97F4A7C15) & WORD
        z = self.state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & WORD
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & WORD
        return z ^ (z >> 31)

    def below(self, bound: int) -> int:
        """Return a number from 0 to ``bound - 1``."""
        return (self.next() >> 32) * bound >> 32

    def uniform(self) -> float:
        """Return a number between 0 and 1."""
        return ((self.next() >> 11) + 0.5) * 2.0**-53


def sum_of_hops(table: np.ndarray, sources: np.ndarray) -> int:
    """Return the sum of hops from the sources to all nodes, NEVER if one is not reached.

    Parameters
    ----------
    table : ndarray of int, shape (n_nodes, degree)
        Neighbours; a node among its own is not counted.
    sources : ndarray of int

    Returns
    -------
    int
    """
    bit = np.arange(len(sources))
    rows = np.zeros((len(table), -(-len(sources) // 64)), dtype=np.uint64)
    rows[sources, bit // 64] = np.uint64(1) << (bit % 64).astype(np.uint64)
    total, reached, everything = 0, len(sources), len(sources) * len(table)
    while reached < everything:
        total += everything - reached
        rows = rows | np.bitwise_or.reduce(rows[table], axis=1, initial=0)
        now = int(np.bitwise_count(rows).sum())
        if now == reached:
            return NEVER
        reached = now
    return total


class SwapModel:
    """A table of neighbours, in which a node stands where it has fewer neighbours than the table has columns.

    Parameters
    ----------
    cells : ndarray of uint16, shape (n_nodes, degree)
    """

    def __init__(self, cells: np.ndarray) -> None:
        self.cells = cells.copy()
        self._n, self._d = cells.shape
        self._swap: tuple[int, int, int, int] = (0, 0, 0, 0)
        self._places: list[tuple[int, int]] = []

    def propose(self, random: Random, tries: int = TRIES) -> bool:
        """Make a random double edge swap; False if none is found."""
        for _ in range(tries):
            ends, places = random.next(), random.next()
            a, c = (ends >> 32) * self._n >> 32, (ends & HALF) * self._n >> 32
            i, j = (places >> 32) * self._d >> 32, (places & HALF) * self._d >> 32
            b, d = int(self.cells[a, i]), int(self.cells[c, j])
            if a == c or b in (a, c, d) or d in (a, c) or d in self.cells[a] or b in self.cells[c]:
                continue
            self._swap = (a, b, c, d)
            self._places = [(a, i), (b, self._place(b, a)), (c, j), (d, self._place(d, c))]
            self._make(a, b, c, d)
            return True
        return False

    def energy(self) -> int:
        """Return the sum of hops over ordered pairs."""
        return sum_of_hops(self.cells, np.arange(self._n))

    def take_back(self) -> None:
        """Undo the last swap."""
        a, b, c, d = self._swap
        self._write(self.cells, (b, a, d, c))

    def before(self) -> np.ndarray:
        """Return the cells as they were before the last swap."""
        a, b, c, d = self._swap
        cells = self.cells.copy()
        self._write(cells, (b, a, d, c))
        return cells

    def _make(self, a: int, b: int, c: int, d: int) -> None:
        self._write(self.cells, (d, c, b, a))

    def _write(self, cells: np.ndarray, values: tuple[int, int, int, int]) -> None:
        for place, value in zip(self._places, values, strict=True):
            cells[place] = value

    def _place(self, u: int, v: int) -> int:
        return int(np.flatnonzero(self.cells[u] == v)[0])


class PairModel(SwapModel):
    """The same with counts of paths of length two for every pair of nodes.

    Parameters
    ----------
    cells : ndarray of uint16, shape (n_nodes, degree)
    cycles : bool
        The energy is the number of 4-cycles, not the number of pairs more than two hops apart.
    """

    def __init__(self, cells: np.ndarray, *, cycles: bool) -> None:
        super().__init__(cells)
        self._cycles = cycles
        joined = np.zeros((self._n, self._n), dtype=np.int64)
        joined[np.arange(self._n)[:, None], self.cells] = 1
        np.fill_diagonal(joined, 0)
        self._counts = joined @ joined + EDGE * joined
        pairs = self._counts[np.triu_indices(self._n, 1)]
        self._apart, both = int((pairs == 0).sum()), pairs & (EDGE - 1)
        self._squares = int((both * (both - 1) // 2).sum())
        self._most_apart = self._apart

    def energy(self) -> int:
        """Return the pairs more than two hops apart, or the 4-cycles if no more pairs are than at the start."""
        if not self._cycles:
            return self._apart
        return NEVER if self._apart > self._most_apart else self._squares // 2

    def take_back(self) -> None:
        """Undo the last swap."""
        a, b, c, d = self._swap
        self._exchange(a, d, c, b)

    def _make(self, a: int, b: int, c: int, d: int) -> None:
        self._exchange(a, b, c, d)

    def _exchange(self, a: int, b: int, c: int, d: int) -> None:
        """Edges a - b and c - d become a - d and c - b; the places are those of the last swap."""
        at_a, at_b, at_c, at_d = self._places
        if self._swap != (a, b, c, d):  # taken back: b and d have changed their places
            at_b, at_d = at_d, at_b
        self.cells[at_a], self.cells[at_b] = a, b
        self._change(a, b, -1)
        self.cells[at_c], self.cells[at_d] = c, d
        self._change(c, d, -1)
        self._change(a, d, 1)
        self.cells[at_a], self.cells[at_d] = d, a
        self._change(c, b, 1)
        self.cells[at_c], self.cells[at_b] = b, c

    def _change(self, a: int, b: int, sign: int) -> None:
        of_a, of_b = (self.cells[v][self.cells[v] != v].astype(np.int64) for v in (a, b))
        rows = np.concatenate([[a], of_a, np.full(len(of_b), a)])
        columns = np.concatenate([[b], np.full(len(of_a), b), of_b])
        by = np.where(np.arange(len(rows)) == 0, EDGE, 1)
        pairs = (np.minimum(rows, columns), np.maximum(rows, columns))
        less = self._counts[pairs] - (by if sign < 0 else 0)
        self._apart -= sign * int((less == 0).sum())
        self._squares += sign * int((less[1:] & (EDGE - 1)).sum())
        self._counts[pairs] = less + (by if sign > 0 else 0)


class LiftModel:
    """Arcs of a graph with a cyclic symmetry; see native/hops.hpp.

    Parameters
    ----------
    cells : ndarray of uint32, shape (n_rows, degree)
    group : int
        Order of the rotation.
    """

    def __init__(self, cells: np.ndarray, group: int) -> None:
        self.cells = cells.copy()
        self._rows, self._d = cells.shape
        self._group = group
        where = {(cell // self._d, int(arc)): cell for cell, arc in enumerate(cells.reshape(-1))}
        self._reverse = [
            where[arc >> 8, self._back(row, arc)] for row in range(self._rows) for arc in cells[row].tolist()
        ]
        self._changes: list[tuple[int, int]] = []
        self._pairs: list[tuple[int, int]] = []

    def propose(self, random: Random, tries: int = TRIES) -> bool:
        """Make a random move; False if none is found."""
        n_cells = self._rows * self._d
        for _ in range(tries):
            cell, other = random.below(n_cells), random.below(n_cells)
            turns = random.below(8) == 0 or cell == other or other == self._reverse[cell]
            if self._turn(cell, random) if turns else self._exchange(cell, other, random):
                return True
        return False

    def energy(self) -> int:
        """Return the sum of hops from one node of each orbit to all nodes."""
        targets, shifts = (self.cells >> 8).astype(np.int64), (self.cells & 0xFF).astype(np.int64)
        turns = np.arange(self._group)[:, None]
        table = targets[:, None] * self._group + (shifts[:, None] + turns) % self._group
        return sum_of_hops(table.reshape(-1, self._d), np.arange(self._rows) * self._group)

    def take_back(self) -> None:
        """Undo the last move."""
        self.cells = self.before()
        for a, b in self._pairs:
            self._reverse[a], self._reverse[b] = b, a

    def before(self) -> np.ndarray:
        """Return the cells as they were before the last move."""
        cells = self.cells.copy()
        for cell, arc in self._changes:
            cells.reshape(-1)[cell] = arc
        return cells

    def _arc(self, row: int, shift: int) -> int:
        return row << 8 | shift % self._group

    def _back(self, row: int, arc: int) -> int:
        return self._arc(row, -(arc & 0xFF))

    def _allowed(self, row: int, arc: int) -> bool:
        turned_back = arc >> 8 == row and 2 * (arc & 0xFF) % self._group == 0
        return not turned_back and arc not in self.cells[row].tolist()

    def _turn(self, cell: int, random: Random) -> bool:
        arc = self._arc(int(self.cells.reshape(-1)[cell]) >> 8, random.below(self._group))
        if not self._allowed(cell // self._d, arc):
            return False
        self._changes, self._pairs = [], []
        self._join(cell, self._reverse[cell], arc)
        return True

    def _exchange(self, cell: int, other: int, random: Random) -> bool:
        r, m, k = random.below(self._group), cell // self._d, other // self._d
        here, there = (int(self.cells.reshape(-1)[c]) for c in (cell, other))
        first, second = self._arc(there >> 8, r + (there & 0xFF)), self._arc(here >> 8, (here & 0xFF) - r)
        same = (m == k and first == second) or (first == self._back(k, second) and m == second >> 8)
        if not self._allowed(m, first) or not self._allowed(k, second) or same:
            return False
        of_cell, of_other = self._reverse[cell], self._reverse[other]
        self._changes, self._pairs = [], [(cell, of_cell), (other, of_other)]
        self._join(cell, of_other, first)
        self._join(other, of_cell, second)
        return True

    def _join(self, start: int, end: int, arc: int) -> None:
        flat = self.cells.reshape(-1)
        self._changes += [(start, int(flat[start])), (end, int(flat[end]))]
        flat[start], flat[end] = arc, self._back(start // self._d, arc)
        self._reverse[start], self._reverse[end] = end, start
