"""The choice of the widths as episodes for reinforcement learning. Import this file only where gymnasium is installed.

An episode decides one width after the other, in the order of the computation, and its reward comes at the end.
"""

from collections.abc import Callable

import gymnasium
import numpy as np

from prune_adapters.graph_pruning.search.candidate import REWARDS, Evaluation, reward_of
from prune_adapters.graph_pruning.space.budget import WidthBudget
from prune_adapters.graph_pruning.space.widths import Counts

__all__ = ["MODES", "WidthEnvironment"]

MODES = ("project", "wall")

State = Callable[[Counts], np.ndarray]


class WidthEnvironment(gymnasium.Env[np.ndarray, np.ndarray]):
    """One step for each width, a keep ratio as the action, the reward of the sub-network at the end; as in AMC [1].

    The action is a number in [-1, 1], which stands for the keep ratios from the lowest of the budget to 1. The state
    is the place of the width, the cost with all later widths whole and with all at their lowest (as fractions of the
    whole network's), the action before, and the features of the width, with undecided widths whole.

    Parameters
    ----------
    evaluate : callable
        Takes the counts of a finished episode, returns an `Evaluation`.
    budget : WidthBudget
    state : callable, optional
        Takes counts, returns the features: ndarray, shape (n_widths, n_features). Default: a one for the width that is
        decided, zeros for the others.
    mode : {"project", "wall"}
        How the budget is met: by a common factor at the end of the episode, or as in [1] by lowering each ratio until
        the later widths fit at their lowest.
    reward : {"loss", "accuracy"}
        The loss with its sign turned, or the accuracy.
    center, spread : float
        The reward is ``(reward - center) / spread``.

    Raises
    ------
    ValueError
        `mode` or `reward` is unknown, `spread` is not above 0, or `state` does not return a row for each width.

    References
    ----------
    .. [1] He et al., "AMC: AutoML for Model Compression and Acceleration on Mobile Devices", 2018, section 3.

    Examples
    --------
    >>> import torch
    >>> from prune_adapters.graph_pruning.space.space import width_space
    >>> space = width_space(torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.Linear(8, 2)), torch.ones(1, 3))
    >>> budget = WidthBudget(space, space.macs, limit=20)
    >>> environment = WidthEnvironment(lambda counts: Evaluation(1 / counts[0], 0.5), budget)
    >>> state, _ = environment.reset()
    >>> _, reward, finished, _, told = environment.step(np.array([0.5]))
    >>> reward, finished, told["counts"]
    (-0.25, True, (4,))
    """

    def __init__(
        self,
        evaluate: Callable[[Counts], Evaluation],
        budget: WidthBudget,
        *,
        state: State | None = None,
        mode: str = "project",
        reward: str = "loss",
        center: float = 0.0,
        spread: float = 1.0,
    ) -> None:
        if mode not in MODES:
            raise ValueError(f"mode: expected one of {', '.join(MODES)}, got {mode!r}")
        if reward not in REWARDS:
            raise ValueError(f"reward: expected one of {', '.join(REWARDS)}, got {reward!r}")
        if not spread > 0:
            raise ValueError(f"spread: expected a number above 0, got {spread}")
        self._evaluate, self._budget, self._mode, self._reward = evaluate, budget, mode, reward
        self._center, self._spread = center, spread
        self._n = len(budget.space.widths)
        self._features = _one_hot if state is None else state
        self._whole = float(budget.cost(budget.space.full))
        self._ratios: list[float] = []
        self._last = 0.0
        self.action_space = gymnasium.spaces.Box(-1, 1, (1,), np.float32)
        self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, self._checked_state().shape, np.float32)

    def reset(
        self, *, seed: int | None = None, options: dict[str, object] | None = None
    ) -> tuple[np.ndarray, dict[str, object]]:
        """Return the state with no width decided; nothing is random.

        Parameters
        ----------
        seed, options
            As gymnasium gives them.
        """
        super().reset(seed=seed)
        self._ratios, self._last = [], 0.0
        return self._state(), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, object]]:
        """Decide a width; return the next state, the reward, whether the episode is finished, False, and what is known.

        Parameters
        ----------
        action : ndarray of float, shape (1,)
            In [-1, 1].
        """
        self._last = float(np.clip(action[0], -1, 1))
        lowest, place = self._budget.lowest, len(self._ratios)
        ratio = lowest + (self._last + 1) / 2 * (1 - lowest)
        self._ratios.append(self._budget.wall(place, self._ratios, ratio) if self._mode == "wall" else ratio)
        if len(self._ratios) < self._n:
            return self._state(), 0.0, False, False, {}
        counts = self.counts()
        evaluation = self._evaluate(counts)
        reward = (reward_of(evaluation, self._reward) - self._center) / self._spread
        return self._state(), reward, True, False, {"counts": counts, "evaluation": evaluation}

    def counts(self) -> Counts:
        """Return the candidate that a finished episode has chosen."""
        if self._mode == "wall":
            return self._budget.space.counts(self._ratios)
        return self._budget.project(self._ratios)

    def _state(self) -> np.ndarray:
        decided, space = self._ratios, self._budget.space
        left = self._n - len(decided)
        most = space.counts([*decided, *[1.0] * left])
        least = space.counts([*decided, *[self._budget.lowest] * left])
        own = np.asarray(self._features(most))[min(len(decided), self._n - 1)]
        costs = [float(self._budget.cost(counts)) / self._whole for counts in (most, least)]
        return np.array([len(decided) / self._n, *costs, self._last, *own], dtype=np.float32)

    def _checked_state(self) -> np.ndarray:
        shape = np.asarray(self._features(self._budget.space.full)).shape
        if len(shape) != 2 or shape[0] != self._n:
            raise ValueError(f"state: expected an array of shape ({self._n}, n_features), got shape {shape}")
        return self._state()


def _one_hot(counts: Counts) -> np.ndarray:
    return np.eye(len(counts))
