"""The search by reinforcement learning: an agent decides the widths one after the other, and learns from the end."""

import importlib
import os
from collections.abc import Callable

import numpy as np

from prune_adapters.graph_pruning.search.candidate import Objective, SearchResult, best_of
from prune_adapters.graph_pruning.search.search import Search, number_of
from prune_adapters.graph_pruning.space.budget import WidthBudget
from prune_adapters.graph_pruning.space.widths import Counts

__all__ = ["policy_search"]

ALGORITHMS = ("ddpg", "td3", "sac")


def policy_search(
    objective: Objective,
    budget: WidthBudget,
    *,
    evaluations: int,
    algorithm: str = "ddpg",
    state: Callable[[Counts], np.ndarray] | None = None,
    mode: str = "project",
    warmup: int | None = None,
    noise: float = 0.5,
    fade: float = 0.98,
    updates: int = 1,
    learning_rate: float = 3e-4,
    reward: str = "loss",
    label: str = "",
    seed: int | np.random.Generator | None = 0,
    log: str | os.PathLike[str] | None = None,
    n_jobs: int = 1,
    progress: bool = True,
) -> SearchResult:
    """Return the best candidate that an agent of stable-baselines3 came by.

    Reconstructed from the abstracts of GraphPruning [1] and from AMC [2]: one episode is one candidate, one step one
    width, the action its keep ratio, and the reward comes at the end. With `state` giving the features that a trained
    graph aggregator has for the widths it is the search of [1], with hand-made features that of [2]. The memory is
    filled with random episodes first; their mean and spread standardise the reward.

    Parameters
    ----------
    objective : callable
        As for `random_search`.
    budget : WidthBudget
    evaluations : int
        Episodes in all, the random ones included.
    algorithm : {"ddpg", "td3", "sac"}
    state : callable, optional
        Takes counts (undecided widths whole), returns the features: ndarray, shape (n_widths, n_features). Default:
        nothing but which width it is. See `WidthEnvironment` for what the state has besides.
    mode : {"project", "wall"}
        How the budget is met: by a common factor at the end, or as in [2] by lowering each ratio as far as needed.
    warmup : int, optional
        Episodes with random actions. Default: a third of all, at most 40.
    noise : float
        Standard deviation of the exploration in the first episode, as a ratio; SAC has an exploration of its own.
    fade : float
        What it is multiplied by after each episode, in (0, 1].
    updates : int
        Gradient steps after an episode for each of its steps.
    learning_rate : float
        Of actor and critic. With 0.001 the actions of mode "project" drift to 1, where the actor hardly moves.
    reward, label, seed, log, progress
        As for `random_search`. A search that was stopped is gone through again with the answers of the log, so all but
        the evaluations is done again; and it needs the same versions, machine and number of threads, as training does.
    n_jobs : int
        Processes that evaluate the random episodes; the others follow one another.

    Returns
    -------
    SearchResult

    Raises
    ------
    ImportError
        gymnasium or stable-baselines3 is not installed.
    ValueError
        A setting is out of its range; else as for `random_search`.
    SearchLogError
        As for `random_search`.

    References
    ----------
    .. [1] Zhang et al., "Graph Pruning for Model Compression", 2019, 2021: the abstracts.
    .. [2] He et al., "AMC: AutoML for Model Compression and Acceleration on Mobile Devices", 2018. Differs in that the
       return is that of the whole episode without bootstrapping, in the learning rates and the fading of the
       noise, and in that the reward is standardised by the random episodes.

    Examples
    --------
    >>> import torch
    >>> from prune_adapters.graph_pruning.space.space import width_space
    >>> from prune_adapters.graph_pruning.search.candidate import Evaluation
    >>> model = torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.Linear(8, 8), torch.nn.Linear(8, 2))
    >>> budget = WidthBudget(space := width_space(model, torch.ones(1, 3)), space.macs, limit=50)
    >>> objective = lambda counts: Evaluation(1 / counts[0], 0.5)
    >>> policy_search(objective, budget, evaluations=40, progress=False).best  # doctest: +SKIP
    (8, 2)
    """
    warmup = min(40, evaluations // 3 + 1) if warmup is None else warmup
    _check(evaluations, algorithm, warmup, noise, fade, updates, learning_rate)
    settings = {
        "algorithm": algorithm,
        "mode": mode,
        "warmup": warmup,
        "noise": noise,
        "fade": fade,
        "updates": updates,
    }
    search = Search("policy", settings, objective, budget, evaluations, reward, label, seed, log, n_jobs, progress)
    agents = _agents()
    agent = agents.Agent(budget, algorithm, state, mode, reward, warmup, 2 * noise, fade, updates, learning_rate)
    number = number_of(seed)
    with search.evaluated(number) as evaluated:
        agent.learn(evaluated, number)
        return best_of(evaluated.history, reward=reward)


def _check(
    evaluations: int, algorithm: str, warmup: int, noise: float, fade: float, updates: int, learning_rate: float
) -> None:
    if algorithm not in ALGORITHMS:
        raise ValueError(f"algorithm: expected one of {', '.join(ALGORITHMS)}, got {algorithm!r}")
    if not 1 <= warmup <= max(evaluations, 1):
        raise ValueError(f"warmup: expected 1 to evaluations = {evaluations}, got {warmup}")
    if not noise >= 0 or not 0 < fade <= 1:
        raise ValueError(f"noise and fade: expected at least 0 and a factor in (0, 1], got {noise} and {fade}")
    if updates < 1:
        raise ValueError(f"updates: expected at least 1, got {updates}")
    if not learning_rate > 0:
        raise ValueError(f"learning_rate: expected a number above 0, got {learning_rate}")


def _agents():  # type: ignore[no-untyped-def]
    try:
        return importlib.import_module("prune_adapters.graph_pruning.search.agents")
    except ImportError as error:
        raise ImportError(
            f"policy_search: {error.name} is not installed; pip install netgraph-pruning[search]"
        ) from error
