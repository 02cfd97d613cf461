"""The annealers of `netgraph._native` in Python: the same moves from the same random numbers, step by step.

Fallback where the kernels are missing, and their oracle. A chain takes its cells, an option of its model and the state
of its random numbers, and is used as the classes of the same names in ``_native.pyi``.
"""

import math
from typing import Generic, Protocol, TypeVar

import numpy as np

from netgraph.search.reference_cayley import CayleyModel
from netgraph.search.reference_models import NEVER, TRIES, LiftModel, PairModel, Random, SwapModel

__all__ = ["Cayley", "Lifts", "Model", "Swaps", "TwoHops", "swap_edges"]


class Model(Protocol):
    """A graph whose random moves can be made, judged and taken back."""

    cells: np.ndarray

    def propose(self, random: Random, tries: int = TRIES) -> bool:
        """Make a random move; False if none is found."""

    def energy(self) -> int:
        """Return the energy of the graph as it is."""

    def take_back(self) -> None:
        """Undo the last move."""

    def before(self) -> np.ndarray:
        """Return the cells as they were before the last move."""


M = TypeVar("M", bound=Model)


class _Annealer(Generic[M]):
    """Metropolis' walk over the graphs of a model."""

    def __init__(self, model: M, random: int) -> None:
        self._model = model
        self._random = Random(random)
        self.energy = self.best = model.energy()
        self.accepted = 0
        self.at_best = True
        self._best_cells = model.cells.copy()

    @property
    def random(self) -> int:
        return self._random.state

    def restore(self, cells: np.ndarray, best: int, accepted: int, at_best: bool) -> None:
        self._best_cells, self.best, self.accepted, self.at_best = cells.copy(), best, accepted, at_best

    def run(self, steps: int, temperature: float, enough: int) -> int:
        for step in range(steps):
            if self.best <= enough:
                return step
            if not self._model.propose(self._random):
                continue
            limit = self.energy + math.floor(-temperature * math.log(self._random.uniform()))
            found = self._model.energy()
            if found > limit:
                self._model.take_back()
            else:
                self._accept(found)
        return steps

    def rise(self, count: int) -> float:
        rises = []
        for _ in range(count):
            if not self._model.propose(self._random):
                continue
            found = self._model.energy()
            self._model.take_back()
            if self.energy < found < NEVER:
                rises.append(found - self.energy)
        return sum(rises) / len(rises) if rises else 0.0

    def evaluate(self, times: int) -> int:
        return [self._model.energy() for _ in range(times)][-1]

    def cells(self, out: np.ndarray) -> None:
        out[:] = self._model.cells

    def best_cells(self, out: np.ndarray) -> None:
        out[:] = self._model.cells if self.at_best else self._best_cells

    def _accept(self, found: int) -> None:
        if self.at_best and found > self.best:
            self._best_cells = self._model.before()
            self.at_best = False
        if found < self.best:
            self.best, self.at_best = found, True
        self.energy = found
        self.accepted += 1


class Swaps(_Annealer[SwapModel]):
    """Double edge swaps; energy: the sum of hops over ordered pairs."""

    def __init__(self, cells: np.ndarray, option: int, random: int) -> None:
        super().__init__(SwapModel(cells), random)


class TwoHops(_Annealer[PairModel]):
    """Double edge swaps; energy: the pairs more than two hops apart or, by `option`, the 4-cycles."""

    def __init__(self, cells: np.ndarray, option: int, random: int) -> None:
        super().__init__(PairModel(cells, cycles=bool(option)), random)


class Lifts(_Annealer[LiftModel]):
    """Moves of whole orbits under a rotation of order `option`; energy: the sum of hops from one node of each orbit."""

    def __init__(self, cells: np.ndarray, option: int, random: int) -> None:
        super().__init__(LiftModel(cells, option), random)


class Cayley(_Annealer[CayleyModel]):
    """Moves of the generators of a Cayley graph; energy: the sum of hops from one node. There is no option."""

    def __init__(self, cells: np.ndarray, option: int, random: int) -> None:
        super().__init__(CayleyModel(cells), random)


def swap_edges(cells: np.ndarray, moves: int, tries: int, random: int) -> int:
    """Make up to `moves` random double edge swaps in the table `cells` in `tries`; return how many were made."""
    model, numbers, made = SwapModel(cells), Random(random), 0
    while made < moves and tries > 0:
        made += model.propose(numbers, 1)
        tries -= 1
    cells[:] = model.cells
    return made
