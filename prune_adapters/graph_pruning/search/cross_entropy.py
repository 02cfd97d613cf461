"""The cross-entropy method: a distribution of candidates that moves towards the best of them."""

import os

import numpy as np
from scipy.special import ndtr, ndtri

from prune_adapters.graph_pruning.search.candidate import Objective, SearchResult
from prune_adapters.graph_pruning.search.evolution import check_population
from prune_adapters.graph_pruning.search.search import Proposals, Search
from prune_adapters.graph_pruning.space.budget import WidthBudget

__all__ = ["cross_entropy_search"]

LEAST_SPREAD = 0.01
"""Added to the spread of the elite, so that a width in which they agree can still move."""


def cross_entropy_search(
    objective: Objective,
    budget: WidthBudget,
    *,
    evaluations: int,
    population: int = 20,
    elite: int = 5,
    reward: str = "loss",
    label: str = "",
    seed: int | np.random.Generator | None = 0,
    log: str | os.PathLike[str] | None = None,
    n_jobs: int = 1,
    progress: bool = True,
) -> SearchResult:
    """Return the best candidate of the cross-entropy method [1].

    Ratios are drawn from a normal distribution for each width, cut to [lowest, 1], and rescaled onto the budget; it
    moves to the mean and the spread of the best of each generation. The first candidate is the uniform one.

    Parameters
    ----------
    objective : callable
        As for `random_search`.
    budget : WidthBudget
    evaluations : int
    population : int
        Candidates in a generation, at least 2.
    elite : int
        How many of them it moves to.
    reward, label, seed, log, n_jobs, progress
        As for `random_search`.

    Returns
    -------
    SearchResult

    Raises
    ------
    ValueError
        A setting is out of its range; else as for `random_search`.

    References
    ----------
    .. [1] Rubinstein, "The Cross-Entropy Method for Combinatorial and Continuous Optimization", 1999.

    Examples
    --------
    >>> import torch
    >>> from prune_adapters.graph_pruning.space.space import width_space
    >>> from prune_adapters.graph_pruning.search.candidate import Evaluation
    >>> model = torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.Linear(8, 8), torch.nn.Linear(8, 2))
    >>> budget = WidthBudget(space := width_space(model, torch.ones(1, 3)), space.macs, limit=50)
    >>> cross_entropy_search(lambda c: Evaluation(1 / c[0], 0.5), budget, evaluations=40, progress=False).best
    (8, 2)
    """
    check_population(population, elite, "elite")
    settings = {"population": population, "elite": elite}
    name = "cross_entropy"
    search = Search(name, settings, objective, budget, evaluations, reward, label, seed, log, n_jobs, progress)
    return search.run(lambda rng: _cross_entropy(budget, rng, population, elite))


def _cross_entropy(budget: WidthBudget, rng: np.random.Generator, population: int, elite: int) -> Proposals:
    n, lowest = len(budget.space.widths), budget.lowest
    mean, spread = np.full(n, (lowest + 1) / 2), np.full(n, (1 - lowest) / 2)
    batch = [budget.uniform]
    while True:
        drawn = _truncated(rng, mean, spread, lowest, population - len(batch))
        batch = [*batch, *map(budget.project, drawn.tolist())]
        rewards = yield batch
        best = np.argsort(-np.array(rewards), kind="stable")[:elite]
        ratios = np.array([budget.space.ratios(batch[place]) for place in best])
        mean, spread = ratios.mean(axis=0), ratios.std(axis=0) + LEAST_SPREAD
        batch = []


def _truncated(rng: np.random.Generator, mean: np.ndarray, spread: np.ndarray, lowest: float, count: int) -> np.ndarray:
    """Return draws of normal distributions cut to [lowest, 1], shape (count, n)."""
    low, high = ndtr((lowest - mean) / spread), ndtr((1 - mean) / spread)
    return np.clip(mean + spread * ndtri(rng.uniform(low, high, size=(count, len(mean)))), lowest, 1)
