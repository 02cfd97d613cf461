"""Agents that learn to choose widths. Import this file only where stable_baselines3 is installed."""

import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from stable_baselines3 import DDPG, SAC, TD3
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.noise import NormalActionNoise
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm

from prune_adapters.graph_pruning.search.candidate import Evaluation, reward_of
from prune_adapters.graph_pruning.search.environment import State, WidthEnvironment
from prune_adapters.graph_pruning.search.evaluations import Evaluations
from prune_adapters.graph_pruning.space.budget import WidthBudget
from prune_adapters.graph_pruning.space.widths import Counts

__all__ = ["Agent", "Episode", "FadingNoise", "own_random_numbers"]

ALGORITHMS: Mapping[str, type[OffPolicyAlgorithm]] = {"ddpg": DDPG, "td3": TD3, "sac": SAC}


Answer = Callable[[Counts], Evaluation]


class Episode(NamedTuple):
    """Random actions, the states that they were taken in and led to, and the candidate at the end.

    Parameters
    ----------
    states : ndarray, shape (n_widths + 1, n_features)
    actions : ndarray, shape (n_widths, 1)
    counts : tuple of int
    """

    states: np.ndarray
    actions: np.ndarray
    counts: Counts


class FadingNoise(NormalActionNoise):
    """Normal noise on an action, weaker after every episode.

    Parameters
    ----------
    sigma : float
        Of the first episode.
    fade : float
        What it is multiplied by after each.
    """

    def __init__(self, sigma: float, fade: float) -> None:
        super().__init__(np.zeros(1), np.full(1, sigma))
        self._fade = fade

    def reset(self) -> None:
        """Make it weaker: an episode has ended."""
        self._sigma = self._sigma * self._fade


@contextmanager
def own_random_numbers() -> Iterator[None]:
    """Leave the random numbers of Python, numpy and torch as they were: stable-baselines3 draws from all three.

    Yields
    ------
    None
    """
    numbers, legacy = random.getstate(), np.random.get_state()  # noqa: NPY002 - the generator that is drawn from
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        random.setstate(numbers)
        np.random.set_state(legacy)  # noqa: NPY002


@dataclass(frozen=True)
class Agent:
    """How an agent learns; see `policy_search`.

    Parameters
    ----------
    budget : WidthBudget
    algorithm : {"ddpg", "td3", "sac"}
    state : callable or None
    mode : {"project", "wall"}
    reward : {"loss", "accuracy"}
    warmup : int
        Episodes with random actions.
    noise, fade : float
        Of the exploration; see `FadingNoise`.
    updates : int
        Gradient steps after an episode, for each of its steps.
    learning_rate : float
    """

    budget: WidthBudget
    algorithm: str
    state: State | None
    mode: str
    reward: str
    warmup: int
    noise: float
    fade: float
    updates: int
    learning_rate: float

    def learn(self, evaluated: Evaluations, seed: int) -> None:
        """Ask for candidates until none are left.

        Parameters
        ----------
        evaluated : Evaluations
        seed : int
        """
        warm = self._random_episodes(np.random.default_rng(seed))
        rewards = np.array([reward_of(found, self.reward) for found in evaluated([e.counts for e in warm])])
        if not evaluated.left:
            return
        center, spread = float(rewards.mean()), float(rewards.std()) or 1.0

        def answer(counts: Counts) -> Evaluation:
            with own_random_numbers():  # an answer out of the log draws none
                return evaluated([counts])[0]

        with own_random_numbers():
            model = self._model(self._environment(answer, center, spread), evaluated.limit, seed)
            for episode, reward in zip(warm, (rewards - center) / spread, strict=True):
                _remember(model, episode, float(reward))
            model.train(gradient_steps=self.updates * len(warm) * self._steps, batch_size=model.batch_size)
            model.learn(evaluated.left * self._steps)

    @property
    def _steps(self) -> int:
        return len(self.budget.space.widths)

    def _environment(self, answer: Answer, center: float = 0.0, spread: float = 1.0) -> WidthEnvironment:
        return WidthEnvironment(
            answer,
            self.budget,
            state=self.state,
            mode=self.mode,
            reward=self.reward,
            center=center,
            spread=spread,
        )

    def _random_episodes(self, rng: np.random.Generator) -> list[Episode]:
        """Return episodes whose rewards are not known yet, so that they can be evaluated together."""
        environment = self._environment(lambda counts: Evaluation(0.0, 0.0))
        actions = rng.uniform(-1, 1, size=(self.warmup, self._steps, 1)).astype(np.float32)
        return [_played(environment, row) for row in actions]

    def _model(self, environment: WidthEnvironment, episodes: int, seed: int) -> OffPolicyAlgorithm:
        """Return an agent with the settings of AMC, where stable-baselines3 has them."""
        model = ALGORITHMS[self.algorithm](
            "MlpPolicy",
            environment,
            learning_rate=self.learning_rate,
            buffer_size=(self.warmup + episodes) * self._steps,
            learning_starts=0,
            batch_size=64,
            tau=0.01,
            gamma=1.0,
            n_steps=self._steps,
            train_freq=(1, "episode"),
            gradient_steps=self.updates * self._steps,
            policy_kwargs={"net_arch": [300, 300]},
            seed=seed,
            device="cpu",
            action_noise=None if self.algorithm == "sac" else FadingNoise(self.noise, self.fade),
        )
        model.set_logger(Logger(folder=None, output_formats=[]))
        return model


def _played(environment: WidthEnvironment, actions: np.ndarray) -> Episode:
    states = [environment.reset()[0], *(environment.step(action)[0] for action in actions)]
    return Episode(np.array(states), actions, environment.counts())


def _remember(model: OffPolicyAlgorithm, episode: Episode, reward: float) -> None:
    """Put an episode into the memory of an agent as if it had acted so itself."""
    last = len(episode.actions) - 1
    for place, action in enumerate(episode.actions):
        state, following = episode.states[place : place + 2]
        ended = np.array([place == last])
        assert model.replay_buffer is not None
        model.replay_buffer.add(state[None], following[None], action[None], ended * reward, ended, [{}])
