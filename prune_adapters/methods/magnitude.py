"""Removal by scores, magnitudes by default: at one step, little by little, or in rounds with rewinding."""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.optim.lr_scheduler import LRScheduler

from prune_adapters.methods.method import Method, Scores
from prune_adapters.schedules import cubic_sparsity, geometric_sparsity
from prune_adapters.select import Selection

__all__ = ["GradualPruning", "IterativePruning", "OneShotPruning"]

Score = Callable[[nn.Module], Mapping[str, torch.Tensor]]
REWINDS = ("nothing", "learning_rate", "weights")


@dataclass(eq=False)
class _Scored(Method):
    """A method that removes by any scores."""

    scores: Score | None = field(default=None, kw_only=True, repr=False)

    def _scores(self) -> Scores:
        return super()._scores() if self.scores is None else dict(self.scores(self.model))


@dataclass(eq=False)
class OneShotPruning(_Scored):
    """Removes at one step: before training (``at=0``), after it (``at=1``), or in between, followed by fine-tuning.

    Parameters
    ----------
    model, sparsity, steps, optimizer, graph, parameters, scope, target, consistent, seed
        As every `Method` takes them.
    at : float
        Fraction of the steps after which to prune, in [0, 1]; 0 prunes when the method is made.
    rounds : int
        Times to score and to remove at that step, each to the same share of what is left: 1 for SNIP and magnitude,
        100 for SynFlow.
    scores : callable, optional
        From the model to scores, higher = keep; such as ``lambda model: snip_scores(model, batch)``. Default:
        `magnitude_scores`.

    Examples
    --------
    >>> layer = nn.Linear(2, 1, bias=False)
    >>> _ = layer.weight.data.copy_(torch.tensor([[1.0, 2.0]]))
    >>> method = OneShotPruning(layer, sparsity=0.5, steps=10, at=0)
    >>> dict(method.finish()), layer.weight.tolist()
    ({'weight': tensor([[False,  True]])}, [[0.0, 2.0]])
    """

    at: float = field(default=1.0, kw_only=True)
    rounds: int = field(default=1, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0.0 <= self.at <= 1.0:
            raise ValueError(f"OneShotPruning: at: expected a fraction of the steps, in [0, 1], got {self.at}")
        if self.rounds < 1:
            raise ValueError(f"OneShotPruning: rounds: expected at least 1, got {self.rounds}")
        self._update()

    @property
    def _prunes_at_start(self) -> bool:
        return round(self.at * self.steps) == 0

    def _update(self) -> None:
        if self.step == round(self.at * self.steps):
            self.finish()

    def _final(self) -> Selection:
        for done in range(1, self.rounds):
            self._apply(self._selection(self._scores(), geometric_sparsity(done, self.rounds, self.sparsity)))
        return super()._final()


@dataclass(eq=False)
class GradualPruning(_Scored):
    """Removes little by little while the network trains, along a cubic schedule [1]_.

    With ``target="effective", consistent=True`` each removal is trimmed to the wanted number of weights on paths: the
    strong baseline at high sparsity.

    Parameters
    ----------
    model, sparsity, steps, optimizer, graph, parameters, scope, target, consistent, seed
        As every `Method` takes them.
    begin, end : float
        Fractions of the steps between which sparsity grows from what it is to the wanted one; after `end` the network
        goes on training with its final masks.
    every : int
        Steps from one removal to the next.
    scores : callable, optional
        From the model to scores, higher = keep. Default: `magnitude_scores`.

    References
    ----------
    .. [1] Zhu and Gupta, To Prune, or Not to Prune, arXiv:1710.01878, 2017.

    Examples
    --------
    >>> layer = nn.Linear(8, 8)
    >>> method = GradualPruning(layer, sparsity=0.75, steps=4, begin=0.0, end=0.75, every=1)
    >>> for _ in range(4):
    ...     method.after_step()
    ...     print(int((layer.weight != 0).sum()))
    30
    18
    16
    16
    """

    begin: float = field(default=0.1, kw_only=True)
    end: float = field(default=0.7, kw_only=True)
    every: int = field(default=10, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0.0 <= self.begin < self.end <= 1.0:
            raise ValueError(f"GradualPruning: expected 0 <= begin < end <= 1, got {self.begin} and {self.end}")
        if self.every < 1:
            raise ValueError(f"GradualPruning: every: expected at least 1 step, got {self.every}")

    def _update(self) -> None:
        begin, end = self.begin * self.steps, self.end * self.steps
        if self.step >= end:
            self.finish()
        elif self.step > begin and self.step % self.every == 0:
            sparsity = cubic_sparsity((self.step - begin) / (end - begin), self.sparsity)
            self._apply(self._selection(self._scores(), sparsity))


@dataclass(eq=False)
class IterativePruning(_Scored):
    """Trains, removes a share of what is left, trains again, in rounds; with rewinding, lottery tickets [1]_, [2]_.

    The steps are divided into ``rounds + 1`` phases of equal length, with a removal after each but the last.

    Parameters
    ----------
    model, sparsity, steps, optimizer, graph, parameters, scope, target, consistent, seed
        As every `Method` takes them.
    rounds : int
        Number of removals, each to the same share of what is left.
    rewind : {"nothing", "learning_rate", "weights"}
        What goes back after a removal to what it was at `rewind_at`. "nothing" is fine-tuning as the loop has it;
        "learning_rate" rewinds the settings of the optimizer and the scheduler; "weights" also the weights that are
        left, buffers and the state of the optimizer.
    rewind_at : float
        Fraction of the first phase, in [0, 1); 0 goes back to where the method was made.
    scheduler : LRScheduler, optional
        The loop's own; it should span one phase. It is rewound with the optimizer.
    scores : callable, optional
        From the model to scores, higher = keep. Default: `magnitude_scores`.

    References
    ----------
    .. [1] Frankle et al., Linear Mode Connectivity and the Lottery Ticket Hypothesis, ICML 2020, section 4.
    .. [2] Renda et al., Comparing Rewinding and Fine-tuning in Neural Network Pruning, ICLR 2020, section 2.

    Examples
    --------
    >>> layer = nn.Linear(8, 8)
    >>> method = IterativePruning(layer, sparsity=0.75, steps=6, rounds=2, rewind="weights")
    >>> for _ in range(4):
    ...     method.after_step()
    ...     print(int((layer.weight != 0).sum()))
    64
    32
    32
    16
    """

    rounds: int = field(default=5, kw_only=True)
    rewind: str = field(default="nothing", kw_only=True)
    rewind_at: float = field(default=0.0, kw_only=True)
    scheduler: LRScheduler | None = field(default=None, kw_only=True, repr=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_rounds()
        self._memory: dict[str, Any] | None = None
        self._remember()

    @property
    def phase(self) -> int:
        """Number of steps from one removal to the next; the last phase takes what is left over."""
        return self.steps // (self.rounds + 1)

    def _update(self) -> None:
        self._remember()
        done, rest = divmod(self.step, self.phase)
        if rest or not 1 <= done <= self.rounds:
            return
        if done == self.rounds:
            self.finish()
        else:
            self._apply(self._selection(self._scores(), geometric_sparsity(done, self.rounds, self.sparsity)))
        self._rewind()

    def _remember(self) -> None:
        if self.rewind != "nothing" and self.step == round(self.rewind_at * self.phase):
            parts = {"optimizer": self.optimizer, "scheduler": self.scheduler}
            memory = {name: part.state_dict() for name, part in parts.items() if part is not None}
            if self.rewind == "weights":
                memory["model"] = self.model.state_dict()
            self._memory = copy.deepcopy(memory)

    def _rewind(self) -> None:
        if self._memory is None:
            return
        memory = copy.deepcopy(self._memory)
        if self.optimizer is not None:
            state = memory["optimizer"]
            if self.rewind == "learning_rate":
                state = self.optimizer.state_dict() | {"param_groups": state["param_groups"]}
            self.optimizer.load_state_dict(state)
        if self.scheduler is not None:
            self.scheduler.load_state_dict(memory["scheduler"])
        if self.rewind == "weights":
            self.model.load_state_dict(memory["model"])  # a hook applies the masks again

    def _own_state(self) -> dict[str, object]:
        return {} if self._memory is None else {"memory": copy.deepcopy(self._memory)}

    def _load_own_state(self, own: Mapping[str, Any]) -> None:
        self._memory = copy.deepcopy(own.get("memory"))

    def _check_rounds(self) -> None:
        if self.rewind not in REWINDS:
            known = ", ".join(map(repr, REWINDS))
            raise ValueError(f"IterativePruning: rewind: expected one of {known}, got {self.rewind!r}")
        most = self.steps - 1
        if not 1 <= self.rounds <= most:
            raise ValueError(f"IterativePruning: rounds: expected 1 to {most} for its steps, got {self.rounds}")
        if not 0.0 <= self.rewind_at < 1.0:
            raise ValueError(f"IterativePruning: rewind_at: expected a fraction in [0, 1), got {self.rewind_at}")
        if self.rewind == "learning_rate" and self.optimizer is None:
            raise ValueError("IterativePruning: rewind: expected the optimizer to rewind; pass optimizer=")
