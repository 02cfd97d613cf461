"""Searches that learn nothing: the same share of every width, and random ones."""

import os
from collections.abc import Iterator

import numpy as np

from prune_adapters.graph_pruning.search.candidate import Objective, SearchResult
from prune_adapters.graph_pruning.search.search import Proposals, Search
from prune_adapters.graph_pruning.space.budget import WidthBudget
from prune_adapters.graph_pruning.space.widths import Counts

__all__ = ["anywhere", "random_search", "uniform_search", "unseen"]

TRIES = 20
"""How often a candidate that was there before is drawn anew."""


def uniform_search(
    objective: Objective,
    budget: WidthBudget,
    *,
    reward: str = "loss",
    label: str = "",
    log: str | os.PathLike[str] | None = None,
    progress: bool = True,
) -> SearchResult:
    """Return the one candidate that keeps the same share of every width.

    Parameters
    ----------
    objective : callable
        Takes counts, returns an `Evaluation`.
    budget : WidthBudget
    reward, label, log, progress
        As for `random_search`.

    Returns
    -------
    SearchResult
        Of a single candidate.

    Examples
    --------
    >>> import torch
    >>> from prune_adapters.graph_pruning.space.space import width_space
    >>> from prune_adapters.graph_pruning.search.candidate import Evaluation
    >>> space = width_space(torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.Linear(8, 2)), torch.ones(1, 3))
    >>> budget = WidthBudget(space, space.macs, limit=20)
    >>> uniform_search(lambda counts: Evaluation(1 / counts[0], 0.5), budget, progress=False).best
    (4,)
    """
    search = Search("uniform", {}, objective, budget, 1, reward, label, 0, log, 1, progress)
    return search.run(lambda rng: _one(budget.uniform))


def random_search(
    objective: Objective,
    budget: WidthBudget,
    *,
    evaluations: int,
    reward: str = "loss",
    label: str = "",
    seed: int | np.random.Generator | None = 0,
    log: str | os.PathLike[str] | None = None,
    n_jobs: int = 1,
    progress: bool = True,
) -> SearchResult:
    """Return the best of candidates with uniformly random ratios, each rescaled onto the budget.

    Parameters
    ----------
    objective : callable
        Takes counts, returns an `Evaluation`, the same whenever it is given the same counts.
    budget : WidthBudget
    evaluations : int
        Candidates in all; one that comes again counts again, but is not evaluated again.
    reward : {"loss", "accuracy"}
        What is made best. The loss is the less noisy of the two.
    label : str
        Tells this search in the log from others with the same settings, such as those with another objective.
    seed : int, numpy Generator or None
    log : path, optional
        SQLite file of every candidate with its counts, loss, accuracy and cost; see `SearchLog`. If it holds the
        beginning of this search, that is not evaluated again, and the history is that of one that was never stopped.
    n_jobs : int
        Processes that evaluate at a time, -1 for one on each core; the history does not depend on it, so far as the
        objective does not depend on the number of threads. Needs joblib if it is not 1.
    progress : bool
        Show a bar on standard error.

    Returns
    -------
    SearchResult

    Raises
    ------
    SearchLogError
        The log is no log of a search, is damaged, or its first candidate reaches something else now.
    ValueError
        `evaluations` is below 1, or the objective gives a number that is not finite.
    ImportError
        `n_jobs` is not 1 and joblib is not installed.

    Examples
    --------
    >>> import torch
    >>> from prune_adapters.graph_pruning.space.space import width_space
    >>> from prune_adapters.graph_pruning.search.candidate import Evaluation
    >>> model = torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.Linear(8, 8), torch.nn.Linear(8, 2))
    >>> budget = WidthBudget(space := width_space(model, torch.ones(1, 3)), space.macs, limit=50)
    >>> found = random_search(lambda c: Evaluation(1 / c[0], 0.5), budget, evaluations=20, progress=False)
    >>> len(found.history), found.best, space.macs(found.best)
    (20, (8, 2), 44)
    """
    search = Search("random", {}, objective, budget, evaluations, reward, label, seed, log, n_jobs, progress)
    return search.run(lambda rng: _random(budget, rng))


def _one(counts: Counts) -> Proposals:
    yield [counts]


def _random(budget: WidthBudget, rng: np.random.Generator) -> Proposals:
    seen: set[Counts] = set()
    while True:
        yield [unseen(seen, budget, anywhere(budget, rng)) for _ in range(20)]


def unseen(seen: set[Counts], budget: WidthBudget, drawn: Iterator[np.ndarray]) -> Counts:
    """Return the first candidate that was not there before; where there is hardly any left, one that was.

    Parameters
    ----------
    seen : set of tuple of int
        Gets the candidate.
    budget : WidthBudget
    drawn : iterator of ndarray
        Ratios.

    Returns
    -------
    tuple of int
    """
    for _ in range(TRIES):
        counts = budget.project(next(drawn).tolist())
        if counts not in seen:
            break
    seen.add(counts)
    return counts


def anywhere(budget: WidthBudget, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Yield uniformly random ratios.

    Parameters
    ----------
    budget : WidthBudget
    rng : Generator

    Yields
    ------
    ndarray, shape (n_widths,)
    """
    while True:
        yield rng.uniform(budget.lowest, 1, size=len(budget.space.widths))
