"""Searches that draw candidates: one by one, from the best so far, or from a distribution that moves towards them."""

import os
from collections.abc import Iterator

import numpy as np
from scipy.special import ndtr, ndtri

from prune_adapters.graph_pruning.budget import WidthBudget
from prune_adapters.graph_pruning.candidate import Objective, SearchResult
from prune_adapters.graph_pruning.search import Proposals, Search
from prune_adapters.graph_pruning.widths import Counts

__all__ = ["cross_entropy_search", "evolution_search", "random_search", "uniform_search"]

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
    >>> import torch, prune_adapters as pa
    >>> from prune_adapters.graph_pruning.space import width_space
    >>> from prune_adapters.graph_pruning.candidate import Evaluation
    >>> space = width_space(torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.Linear(8, 2)), torch.ones(1, 3))
    >>> budget = WidthBudget(space, space.macs, limit=20)
    >>> uniform_search(lambda counts: Evaluation(1 / counts[0], 0.5), budget, progress=False).best
    (4,)
    """
    search = Search("uniform", {}, objective, budget, 1, reward, label, 0, log, 1, progress)
    return search.run(lambda rng: _one(_uniform(budget)))


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
    >>> import torch, prune_adapters as pa
    >>> from prune_adapters.graph_pruning.space import width_space
    >>> from prune_adapters.graph_pruning.candidate import Evaluation
    >>> model = torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.Linear(8, 8), torch.nn.Linear(8, 2))
    >>> budget = WidthBudget(space := width_space(model, torch.ones(1, 3)), space.macs, limit=50)
    >>> found = random_search(lambda c: Evaluation(1 / c[0], 0.5), budget, evaluations=20, progress=False)
    >>> len(found.history), found.best, space.macs(found.best)
    (20, (8, 2), 44)
    """
    search = Search("random", {}, objective, budget, evaluations, reward, label, seed, log, n_jobs, progress)
    return search.run(lambda rng: _random(budget, rng))


def evolution_search(
    objective: Objective,
    budget: WidthBudget,
    *,
    evaluations: int,
    population: int = 20,
    parents: int = 5,
    mutation: float = 0.1,
    reward: str = "loss",
    label: str = "",
    seed: int | np.random.Generator | None = 0,
    log: str | os.PathLike[str] | None = None,
    n_jobs: int = 1,
    progress: bool = True,
) -> SearchResult:
    """Return the best candidate of an evolution, as in MetaPruning [1].

    The first generation is the uniform candidate and random ones. Every other is made of the best so far: one half by
    mutation (each ratio is drawn anew with a small probability), one half by crossover (each ratio is that of one of
    two parents).

    Parameters
    ----------
    objective : callable
        As for `random_search`.
    budget : WidthBudget
    evaluations : int
    population : int
        Candidates in a generation, at least 2.
    parents : int
        How many of the best of all generations have offspring.
    mutation : float
        Probability in (0, 1] with which a ratio is drawn anew.
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
    .. [1] Liu et al., "MetaPruning: Meta Learning for Automatic Neural Network Channel Pruning", 2019, algorithm 1.
       Differs in that a candidate is rescaled onto the budget instead of drawn until it fits, and in smaller
       generations.

    Examples
    --------
    >>> import torch, prune_adapters as pa
    >>> from prune_adapters.graph_pruning.space import width_space
    >>> from prune_adapters.graph_pruning.candidate import Evaluation
    >>> model = torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.Linear(8, 8), torch.nn.Linear(8, 2))
    >>> budget = WidthBudget(space := width_space(model, torch.ones(1, 3)), space.macs, limit=50)
    >>> evolution_search(lambda c: Evaluation(1 / c[0], 0.5), budget, evaluations=40, progress=False).best
    (8, 2)
    """
    _check_population(population, parents, "parents")
    if not 0 < mutation <= 1:
        raise ValueError(f"mutation: expected a probability in (0, 1], got {mutation}")
    settings = {"population": population, "parents": parents, "mutation": mutation}
    search = Search("evolution", settings, objective, budget, evaluations, reward, label, seed, log, n_jobs, progress)
    return search.run(lambda rng: _evolution(budget, rng, population, parents, mutation))


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
    >>> import torch, prune_adapters as pa
    >>> from prune_adapters.graph_pruning.space import width_space
    >>> from prune_adapters.graph_pruning.candidate import Evaluation
    >>> model = torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.Linear(8, 8), torch.nn.Linear(8, 2))
    >>> budget = WidthBudget(space := width_space(model, torch.ones(1, 3)), space.macs, limit=50)
    >>> cross_entropy_search(lambda c: Evaluation(1 / c[0], 0.5), budget, evaluations=40, progress=False).best
    (8, 2)
    """
    _check_population(population, elite, "elite")
    settings = {"population": population, "elite": elite}
    name = "cross_entropy"
    search = Search(name, settings, objective, budget, evaluations, reward, label, seed, log, n_jobs, progress)
    return search.run(lambda rng: _cross_entropy(budget, rng, population, elite))


def _uniform(budget: WidthBudget) -> Counts:
    return budget.project([1.0] * len(budget.space.widths))


def _check_population(population: int, chosen: int, name: str) -> None:
    if population < 2:
        raise ValueError(f"population: expected at least 2, got {population}")
    if not 1 <= chosen <= population:
        raise ValueError(f"{name}: expected 1 to population = {population}, got {chosen}")


def _one(counts: Counts) -> Proposals:
    yield [counts]


def _random(budget: WidthBudget, rng: np.random.Generator) -> Proposals:
    seen: set[Counts] = set()
    while True:
        yield [_new(seen, budget, _anywhere(budget, rng)) for _ in range(20)]


def _evolution(
    budget: WidthBudget, rng: np.random.Generator, population: int, parents: int, mutation: float
) -> Proposals:
    seen = {_uniform(budget)}
    batch = [_uniform(budget), *(_new(seen, budget, _anywhere(budget, rng)) for _ in range(population - 1))]
    ranked: dict[Counts, float] = {}
    while True:
        ranked.update(zip(batch, (yield batch), strict=True))
        best = sorted(ranked, key=ranked.__getitem__, reverse=True)[:parents]
        genes = np.array([budget.space.ratios(counts) for counts in best])
        mutants, children = _mutants(budget, rng, genes, mutation), _children(rng, genes)
        halves = [mutants] * (population - population // 2) + [children] * (population // 2)
        batch = [_new(seen, budget, half) for half in halves]


def _cross_entropy(budget: WidthBudget, rng: np.random.Generator, population: int, elite: int) -> Proposals:
    n, lowest = len(budget.space.widths), budget.lowest
    mean, spread = np.full(n, (lowest + 1) / 2), np.full(n, (1 - lowest) / 2)
    batch = [_uniform(budget)]
    while True:
        drawn = _truncated(rng, mean, spread, lowest, population - len(batch))
        batch = [*batch, *map(budget.project, drawn.tolist())]
        rewards = yield batch
        best = np.argsort(rewards)[::-1][:elite]
        ratios = np.array([budget.space.ratios(batch[place]) for place in best])
        mean, spread = ratios.mean(axis=0), ratios.std(axis=0) + LEAST_SPREAD
        batch = []


LEAST_SPREAD = 0.01
"""Added to the spread of the elite, so that a width in which they agree can still move."""


def _truncated(rng: np.random.Generator, mean: np.ndarray, spread: np.ndarray, lowest: float, count: int) -> np.ndarray:
    """Return draws of normal distributions cut to [lowest, 1], shape (count, n)."""
    low, high = ndtr((lowest - mean) / spread), ndtr((1 - mean) / spread)
    return np.clip(mean + spread * ndtri(rng.uniform(low, high, size=(count, len(mean)))), lowest, 1)


def _new(seen: set[Counts], budget: WidthBudget, drawn: Iterator[np.ndarray]) -> Counts:
    """Return the first candidate that was not there before; where there is hardly any left, one that was."""
    for _ in range(TRIES):
        counts = budget.project(next(drawn).tolist())
        if counts not in seen:
            break
    seen.add(counts)
    return counts


def _anywhere(budget: WidthBudget, rng: np.random.Generator) -> Iterator[np.ndarray]:
    while True:
        yield rng.uniform(budget.lowest, 1, size=len(budget.space.widths))


def _mutants(budget: WidthBudget, rng: np.random.Generator, genes: np.ndarray, mutation: float) -> Iterator[np.ndarray]:
    for drawn in _anywhere(budget, rng):
        parent = genes[rng.integers(len(genes))]
        yield np.where(rng.random(len(parent)) < mutation, drawn, parent)


def _children(rng: np.random.Generator, genes: np.ndarray) -> Iterator[np.ndarray]:
    while True:
        first, second = genes[rng.integers(len(genes), size=2)]
        yield np.where(rng.random(len(first)) < 0.5, first, second)
