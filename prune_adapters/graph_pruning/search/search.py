"""The one loop that every search runs in, so that they differ in nothing but the candidates that they ask for."""

import os
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from prune_adapters.graph_pruning.search.candidate import (
    REWARDS,
    Evaluation,
    Objective,
    SearchResult,
    best_of,
    reward_of,
)
from prune_adapters.graph_pruning.search.evaluations import Evaluations
from prune_adapters.graph_pruning.space.budget import WidthBudget
from prune_adapters.graph_pruning.space.widths import Counts

__all__ = ["Algorithm", "Proposals", "Search", "number_of"]

Proposals = Generator[list[Counts], list[float], None]
"""Yields batches of candidates; is sent their rewards, higher is better, in order."""
Algorithm = Callable[[np.random.Generator], Proposals]
BAR = (
    TextColumn("candidate"),
    MofNCompleteColumn(),
    BarColumn(),
    TimeRemainingColumn(),
    TextColumn("{task.description}"),
)


@dataclass(frozen=True)
class Search:
    """What all searches have in common.

    Parameters
    ----------
    name : str
        Of the algorithm.
    settings : mapping of str to object
        Of the algorithm: all that its candidates depend on.
    objective : callable
    budget : WidthBudget
    evaluations : int
        Candidates in all, at least 1.
    reward : {"loss", "accuracy"}
    label : str
    seed : int, numpy Generator or None
    log : path, optional
    n_jobs : int
    progress : bool

    Raises
    ------
    ValueError
        `evaluations` is below 1, `n_jobs` is 0, or `reward` is neither "loss" nor "accuracy".
    """

    name: str
    settings: Mapping[str, object]
    objective: Objective
    budget: WidthBudget
    evaluations: int
    reward: str = "loss"
    label: str = ""
    seed: int | np.random.Generator | None = 0
    log: str | os.PathLike[str] | None = None
    n_jobs: int = 1
    progress: bool = True

    def __post_init__(self) -> None:
        if self.reward not in REWARDS:
            raise ValueError(f"reward: expected one of {', '.join(REWARDS)}, got {self.reward!r}")
        if self.evaluations < 1:
            raise ValueError(f"evaluations: expected at least 1, got {self.evaluations}")
        if self.n_jobs == 0:
            raise ValueError("n_jobs: expected a number of processes, or -1 for one on each core, got 0")

    def run(self, algorithm: Algorithm) -> SearchResult:
        """Return what an algorithm finds with exactly that many evaluations.

        Parameters
        ----------
        algorithm : callable
            Takes a numpy Generator, returns a generator of batches of candidates.
        """
        seed = number_of(self.seed)
        with self.evaluated(seed) as evaluated:
            proposals = algorithm(np.random.default_rng(seed))
            batch = next(proposals)[: evaluated.left]
            found = evaluated(batch)
            while evaluated.left:
                batch = proposals.send([reward_of(evaluation, self.reward) for evaluation in found])
                found = evaluated(batch[: evaluated.left])
            return best_of(evaluated.history, reward=self.reward)

    @contextmanager
    def evaluated(self, seed: int) -> Iterator[Evaluations]:
        """Give what evaluates candidates, with a bar on standard error.

        Parameters
        ----------
        seed : int

        Yields
        ------
        Evaluations
        """
        with Progress(*BAR, console=Console(stderr=True), disable=not self.progress) as bar:
            task = bar.add_task("", total=self.evaluations)
            best: list[Evaluation] = []

            def told(place: int, evaluation: Evaluation) -> None:
                best[:] = [max([*best, evaluation], key=lambda e: reward_of(e, self.reward))]
                shown = f"best loss {best[0].loss:.4f}, accuracy {best[0].accuracy:.1%}"
                bar.update(task, advance=1, description=shown)

            with Evaluations(
                self.objective,
                self.budget,
                limit=self.evaluations,
                log=self.log,
                description=self.description(seed),
                n_jobs=self.n_jobs,
                told=told,
            ) as evaluated:
                yield evaluated

    def description(self, seed: int) -> dict[str, object]:
        """Return what the history depends on, the number of evaluations left out: a longer search begins the same.

        Parameters
        ----------
        seed : int
        """
        space, cost = self.budget.space, self.budget.cost
        return {
            "algorithm": self.name,
            "settings": dict(self.settings),
            "reward": self.reward,
            "label": self.label,
            "seed": seed,
            "widths": [[width.name, width.size] for width in space.widths],
            "divisor": space.divisor,
            "limit": float(self.budget.limit),
            "lowest": self.budget.lowest,
            "costs": [float(cost(space.full)), float(cost(self.budget.smallest))],
        }


def number_of(seed: int | np.random.Generator | None) -> int:
    """Return the seed, or one that is drawn.

    Parameters
    ----------
    seed : int, numpy Generator or None

    Returns
    -------
    int

    Examples
    --------
    >>> number_of(3)
    3
    """
    return seed if isinstance(seed, int) else int(np.random.default_rng(seed).integers(2**31))
