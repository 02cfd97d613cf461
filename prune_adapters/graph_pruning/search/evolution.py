"""Evolution of candidates: the best so far have offspring."""

import os
from collections.abc import Iterator

import numpy as np

from prune_adapters.graph_pruning.search.candidate import Objective, SearchResult
from prune_adapters.graph_pruning.search.drawn import anywhere, unseen
from prune_adapters.graph_pruning.search.search import Proposals, Search
from prune_adapters.graph_pruning.space.budget import WidthBudget
from prune_adapters.graph_pruning.space.widths import Counts

__all__ = ["check_population", "evolution_search"]


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
    >>> import torch
    >>> from prune_adapters.graph_pruning.space.space import width_space
    >>> from prune_adapters.graph_pruning.search.candidate import Evaluation
    >>> model = torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.Linear(8, 8), torch.nn.Linear(8, 2))
    >>> budget = WidthBudget(space := width_space(model, torch.ones(1, 3)), space.macs, limit=50)
    >>> evolution_search(lambda c: Evaluation(1 / c[0], 0.5), budget, evaluations=40, progress=False).best
    (8, 2)
    """
    check_population(population, parents, "parents")
    if not 0 < mutation <= 1:
        raise ValueError(f"mutation: expected a probability in (0, 1], got {mutation}")
    settings = {"population": population, "parents": parents, "mutation": mutation}
    search = Search("evolution", settings, objective, budget, evaluations, reward, label, seed, log, n_jobs, progress)
    return search.run(lambda rng: _evolution(budget, rng, population, parents, mutation))


def check_population(population: int, chosen: int, name: str) -> None:
    """Refuse a population that cannot be, or of which not so many can be chosen.

    Parameters
    ----------
    population, chosen : int
    name : str
        Of the second one.

    Examples
    --------
    >>> check_population(20, 5, "parents")
    """
    if population < 2:
        raise ValueError(f"population: expected at least 2, got {population}")
    if not 1 <= chosen <= population:
        raise ValueError(f"{name}: expected 1 to population = {population}, got {chosen}")


def _evolution(
    budget: WidthBudget, rng: np.random.Generator, population: int, parents: int, mutation: float
) -> Proposals:
    seen = {budget.uniform}
    batch = [budget.uniform, *(unseen(seen, budget, anywhere(budget, rng)) for _ in range(population - 1))]
    ranked: dict[Counts, float] = {}
    while True:
        ranked.update(zip(batch, (yield batch), strict=True))
        best = sorted(ranked, key=ranked.__getitem__, reverse=True)[:parents]
        genes = np.array([budget.space.ratios(counts) for counts in best])
        mutants, children = _mutants(budget, rng, genes, mutation), _children(rng, genes)
        halves = [mutants] * (population - population // 2) + [children] * (population // 2)
        batch = [unseen(seen, budget, half) for half in halves]


def _mutants(budget: WidthBudget, rng: np.random.Generator, genes: np.ndarray, mutation: float) -> Iterator[np.ndarray]:
    for drawn in anywhere(budget, rng):
        parent = genes[rng.integers(len(genes))]
        yield np.where(rng.random(len(parent)) < mutation, drawn, parent)


def _children(rng: np.random.Generator, genes: np.ndarray) -> Iterator[np.ndarray]:
    while True:
        first, second = genes[rng.integers(len(genes), size=2)]
        yield np.where(rng.random(len(first)) < 0.5, first, second)
