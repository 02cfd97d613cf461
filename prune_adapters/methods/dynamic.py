"""Dynamic sparse training: the network is sparse from the first step on, and its weights change places."""

import math
from dataclasses import dataclass, field

import torch

from prune_adapters.apply import remembered_masks
from prune_adapters.methods.method import Method, Scores, among_kept
from prune_adapters.scores import random_scores
from prune_adapters.select import Selection, selected
from prune_adapters.shards import whole

__all__ = ["DynamicSparseTraining"]

GROWTHS = ("gradient", "random")


@dataclass(eq=False)
class DynamicSparseTraining(Method):
    """Starts from random masks; every so often the smallest weights go, and as many others come back as 0.

    With ``grow="gradient"`` this is RigL [1]_, with ``grow="random"`` SET [2]_. With ``consistent=True`` the masks are
    aware of the topology: weights grow only from live to co-accessible units, so that none is ever spent off the paths
    from the input to the output, and the budget is met with consistent weights at all times.

    Parameters
    ----------
    model, sparsity, steps, optimizer, graph, parameters, target, consistent, seed
        As every `Method` takes them. Masks that the model remembers at the start are the first masks if they meet the
        budget to 1 %; else these are drawn anew.
    scope : {"global", "layer", "erk", "igq"}
        How the budget is shared out, "erk" by default as in [1]_; but for "global" the share of a layer stays.
    drop : float
        Fraction of the kept weights that change at first, in [0, 1); falls along a cosine to 0 at `end`.
    every : int
        Steps from one change to the next.
    end : float
        Fraction of the steps after which masks stay.
    grow : {"gradient", "random"}
        Which weights come: those with the largest gradients, which `after_backward` reads in the step of a change, or
        any.

    References
    ----------
    .. [1] Evci et al., Rigging the Lottery: Making All Tickets Winners, ICML 2020, section 3.
    .. [2] Mocanu et al., Scalable Training of Artificial Neural Networks with Adaptive Sparse Connectivity inspired by
       Network Science, Nature Communications 2018.

    Examples
    --------
    >>> layer = torch.nn.Linear(8, 8)
    >>> method = DynamicSparseTraining(layer, sparsity=0.75, steps=10, every=2, grow="random")
    >>> first = remembered_masks(layer)["weight"]
    >>> for _ in range(2):
    ...     method.after_step()
    >>> second = remembered_masks(layer)["weight"]
    >>> int(first.sum()), int(second.sum()), bool((first != second).any())
    (16, 16, True)
    """

    scope: str = field(default="erk", kw_only=True)
    drop: float = field(default=0.3, kw_only=True)
    every: int = field(default=100, kw_only=True)
    end: float = field(default=0.75, kw_only=True)
    grow: str = field(default="gradient", kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_growth()
        self._gradients: Scores | None = None
        if not self._fits(remembered_masks(self.model)):
            scores = random_scores(self.model, seed=self._random(), **self._scored())
            self._apply(self._selection(scores, self.sparsity, regrow=True))

    def after_backward(self) -> None:
        """Read the gradients, if the masks change after this step."""
        if self.grow == "gradient" and self._is_due(self.step + 1):
            self._gradients = {name: _size_of_gradient(w) for name, w in self._weights(self._scores()).items()}

    @property
    def changing(self) -> float:
        """Fraction of the kept weights that a change at this step moves."""
        return self.drop / 2 * (1 + math.cos(math.pi * min(1.0, self.step / (self.end * self.steps))))

    def _update(self) -> None:
        if self.step >= self.steps:
            self.finish()
        elif self._is_due(self.step):
            self._apply(self._selection(self._changed(), self.sparsity, regrow=True))

    def _final(self) -> Selection:
        kept = {name: mask.double() for name, mask in remembered_masks(self.model).items()}
        scores = {name: kept[name] for name in self._scores()}
        return self._selection(scores, self.sparsity)

    @property
    def _prunes_at_start(self) -> bool:
        return True

    def _changed(self) -> Scores:
        """Return scores by which the survivors come first, then what grows."""
        sizes = self._scores()
        staying = 1 - (1 - self.sparsity) * (1 - self.changing)
        survivors = selected(among_kept(sizes, remembered_masks(self.model)), sparsity=staying, scope=self.scope)
        stay, come = _shares(sizes), _shares(self._growing())
        return {name: torch.where(survivors[name], 2.0 + stay[name], come[name]) for name in sizes}

    def _growing(self) -> Scores:
        if self.grow == "random":
            return random_scores(self.model, seed=self._random(), **self._scored())
        if self._gradients is None:
            raise RuntimeError("DynamicSparseTraining: no gradients; call after_backward() in each step")
        found, self._gradients = self._gradients, None
        return found

    def _is_due(self, step: int) -> bool:
        return step % self.every == 0 and step < self.end * self.steps

    def _fits(self, masks: dict[str, torch.Tensor]) -> bool:
        names = list(self._scores())
        if not set(names) <= set(masks):
            return False
        total, kept = sum(masks[n].numel() for n in names), sum(int(masks[n].sum()) for n in names)
        return abs(kept - (1 - self.sparsity) * total) <= 0.01 * total

    def _check_growth(self) -> None:
        if self.grow not in GROWTHS:
            raise ValueError(
                f"DynamicSparseTraining: grow: expected one of {', '.join(map(repr, GROWTHS))}, got {self.grow!r}"
            )
        if not 0.0 <= self.drop < 1.0:
            raise ValueError(f"DynamicSparseTraining: drop: expected a fraction in [0, 1), got {self.drop}")
        if self.every < 1:
            raise ValueError(f"DynamicSparseTraining: every: expected at least 1 step, got {self.every}")


def _size_of_gradient(weight: torch.Tensor) -> torch.Tensor:
    gradient = torch.zeros_like(weight) if weight.grad is None else weight.grad
    return whole(gradient.detach()).abs()


def _shares(scores: Scores) -> Scores:
    """Return the scores divided by the largest of all."""
    largest = max(float(score.max()) for score in scores.values() if score.numel()) or 1.0
    return {name: score.double() / largest for name, score in scores.items()}
