"""What every method of pruning while training is: four calls in a loop, and a state to resume from.

    loss = criterion(model(x), y) + method.penalty()
    loss.backward()
    method.after_backward()
    optimizer.step()
    method.after_step()
    ...
    masks = method.finish()

With gradient accumulation the four calls come once a step, not once a batch; with a gradient scaler or with clipping,
`after_backward` comes after ``scaler.unscale_`` and after the clipping.
"""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.optim import Optimizer

from netgraph import NetGraph
from prune_adapters.apply import apply_masks, remembered_masks, remove_masks
from prune_adapters.errors import MethodStateError
from prune_adapters.keep import Upkeep
from prune_adapters.masks import parameter_owners
from prune_adapters.prune import selected_consistently
from prune_adapters.scores import magnitude_scores
from prune_adapters.select import Selection, selected, warn_of_shortfall
from prune_adapters.shards import local, own_part, whole

__all__ = ["Method", "among_kept"]

Scores = dict[str, torch.Tensor]
State = dict[str, Any]
"""Numbers, words, tensors, and lists and dictionaries of such."""
Setting = float | int | str | bool | list[str] | None
SCOPES = ("global", "layer", "erk", "igq")
TARGETS = ("direct", "effective")
OBJECTS = ("model", "optimizer", "graph", "scheduler", "scores")
"""Arguments that are no settings: they are not part of a recipe or a state."""


@dataclass(eq=False)
class Method:
    """Base of all methods: a budget, a count of steps, masks that hold, and a state.

    Parameters
    ----------
    model : Module
        Trained by the caller's loop. Masks that it remembers stay: what is removed is never brought back, unless a
        method says so.
    sparsity : float
        Fraction of the weights to remove in the end, in [0, 1].
    steps : int
        Number of optimizer steps of the whole run, at least 1.
    optimizer : Optimizer, optional
        Its state is zeroed where weights are removed, as `keep_masks` does.
    graph : NetGraph, optional
        Of ``to_graph(model, example_inputs)``: says which parameters carry edges. Needed for the effective target and
        for `consistent`.
    parameters : sequence of str, optional
        Names of the parameters to prune, in place of the default of `magnitude_scores`.
    scope : {"global", "layer", "erk", "igq"}
        Who competes with whom, as in `masks_from_scores`.
    target : {"direct", "effective"}
        What the budget counts: kept weights, or those on a path from the input to the output.
    consistent : bool
        Keep only weights on such paths. With the direct target the budget is filled up with others that are.
    seed : int
        Decides everything random, together with the step: a resumed run needs no more.

    Notes
    -----
    A deep copy of a method copies its model and optimizer; to copy all three together, copy the tuple.
    """

    model: nn.Module = field(repr=False)
    sparsity: float = field(kw_only=True)
    steps: int = field(kw_only=True)
    optimizer: Optimizer | None = field(default=None, kw_only=True, repr=False)
    graph: NetGraph | None = field(default=None, kw_only=True, repr=False)
    parameters: Sequence[str] | None = field(default=None, kw_only=True)
    scope: str = field(default="global", kw_only=True)
    target: str = field(default="direct", kw_only=True)
    consistent: bool = field(default=False, kw_only=True)
    seed: int = field(default=0, kw_only=True)

    def __post_init__(self) -> None:
        self._check()
        self.step = 0
        """Steps taken so far."""
        self._upkeep = Upkeep(self.model)
        self._chosen: Selection | None = None

    def penalty(self) -> torch.Tensor:
        """Return what to add to the loss: a tensor of shape (), 0 unless the method has a penalty."""
        return torch.zeros((), device=next(self.model.parameters()).device)

    def after_backward(self) -> None:
        """Read or change gradients; call it after ``backward`` and before the optimizer's step."""

    def after_step(self) -> None:
        """Count the step, remove what is due, and set removed weights and their optimizer state back to 0."""
        self.step += 1
        if self._chosen is None:
            self._update()
        self._upkeep(self.optimizer)

    def finish(self) -> Selection:
        """Return the final masks, which the model remembers from now on; a second call returns the same.

        Warns
        -----
        UserWarning
            The target is missed by more than 1 % or 10 elements, whichever is more.
        """
        if self._chosen is None:
            self._chosen = self._final()
            self._apply(self._chosen)
            warn_of_shortfall(self._chosen)
        return self._chosen

    @property
    def settings(self) -> dict[str, Setting]:
        """The arguments of the method that are numbers and words: with the name of its class, its recipe."""
        return {
            f.name: list(value) if isinstance(value := getattr(self, f.name), tuple) else value
            for f in dataclasses.fields(self)
            if f.name not in OBJECTS
        }

    def state_dict(self) -> State:
        """Return what a run is resumed from, beside the states of model and optimizer: numbers, words and tensors."""
        return {
            "method": type(self).__name__,
            "settings": self.settings,
            "step": self.step,
            "masks": remembered_masks(self.model),
            "chosen": None if self._chosen is None else _as_numbers(self._chosen),
            "kept": self._kept_weights() if self._prunes_at_start else {},
            "own": self._own_state(),
        }

    def load_state_dict(self, state: State) -> None:
        """Go on from a state; the model and the optimizer load theirs before or after.

        Parameters
        ----------
        state : mapping
            Of `state_dict`, from a method of the same class and settings.

        Raises
        ------
        MethodStateError
            The state is one of another method, or of other settings; nothing has been changed then.
        """
        self._check_state(state)
        remove_masks(self.model)
        apply_masks(self.model, state["masks"])
        self.step = state["step"]
        chosen = state["chosen"]
        self._chosen = None if chosen is None else _as_selection(chosen, remembered_masks(self.model))
        self._restore(state["kept"])
        self._load_own_state(state["own"])

    @property
    def _prunes_at_start(self) -> bool:
        """Whether the model has masks as soon as the method is made."""
        return False

    def _kept_weights(self) -> Scores:
        """Return the kept weights: a model that is loaded first may lose some to the masks of the start."""
        masks = remembered_masks(self.model)
        return {name: whole(weight.detach())[masks[name]] for name, weight in self._weights(masks).items()}

    def _restore(self, kept: Mapping[str, torch.Tensor]) -> None:
        masks = remembered_masks(self.model)
        with torch.no_grad():
            for name, weight in self._weights(kept).items():
                full = whole(weight).masked_scatter(masks[name], kept[name].to(weight.device, weight.dtype))
                local(weight).copy_(own_part(full, weight))

    def _weights(self, names: Iterable[str]) -> dict[str, nn.Parameter]:
        """Return the parameters of these names, after one walk over the model."""
        owners = parameter_owners(self.model)
        return {name: module.get_parameter(key) for name in names for module, key in owners[name][:1]}

    def _placed(self, tensors: Mapping[str, torch.Tensor]) -> Scores:
        """Return copies of tensors, each on the device of the parameter it is for: those of a file are on the CPU."""
        weights = self._weights(tensors)
        return {name: tensor.to(weights[name].device, copy=True) for name, tensor in tensors.items()}

    def _update(self) -> None:
        """Change the masks, if it is time; `step` steps have been taken."""

    def _final(self) -> Selection:
        return self._selection(self._scores(), self.sparsity)

    def _scores(self) -> Scores:
        """Return the scores by which the method removes, magnitudes unless it has others."""
        return magnitude_scores(self.model, **self._scored())

    def _own_state(self) -> State:
        """Return what the state holds beyond the step and the masks."""
        return {}

    def _load_own_state(self, own: State) -> None:
        pass

    def _scored(self) -> dict:
        """Return the arguments that tell a function of scores what to score."""
        if self.parameters is not None:
            return {"parameters": self.parameters}
        return {"graph": self.graph}

    def _selection(self, scores: Scores, sparsity: float, *, regrow: bool = False) -> Selection:
        """Return the masks for a sparsity; without `regrow` among the weights only that are still there."""
        if not regrow:
            scores = among_kept(scores, remembered_masks(self.model))
        budget = {"sparsity": sparsity, "scope": self.scope, "target": self.target}
        if self.consistent:
            assert self.graph is not None
            return selected_consistently(scores, self.graph, **budget)  # type: ignore[arg-type]
        return selected(scores, graph=self.graph, **budget)  # type: ignore[arg-type]

    def _apply(self, masks: Mapping[str, torch.Tensor]) -> None:
        """Remove weights; before the first step the optimizer may hold what a resumed run will need."""
        apply_masks(self.model, masks)
        if self.step:
            self._upkeep(self.optimizer)

    def _random(self) -> np.random.Generator:
        """Return the random numbers of this step, the same after a resumption."""
        return np.random.default_rng([self.seed, self.step])

    def _check(self) -> None:
        name = type(self).__name__
        if not 0.0 <= self.sparsity <= 1.0:
            raise ValueError(f"{name}: sparsity: expected the fraction to remove, in [0, 1], got {self.sparsity}")
        if self.steps < 1:
            raise ValueError(f"{name}: steps: expected at least 1, got {self.steps}")
        for label, word, known in (("scope", self.scope, SCOPES), ("target", self.target, TARGETS)):
            if word not in known:
                raise ValueError(f"{name}: {label}: expected one of {', '.join(map(repr, known))}, got {word!r}")
        if self.graph is None and (self.consistent or self.target == "effective"):
            asked = "consistent=True" if self.consistent else "target 'effective'"
            raise ValueError(f"{name}: {asked}: expected a graph; pass graph=to_graph(model, example_inputs)")

    def _check_state(self, state: State) -> None:
        name = type(self).__name__
        expected = {"method", "settings", "step", "masks", "chosen", "kept", "own"}
        if set(state) != expected:
            raise MethodStateError(f"{name}: expected a state with {sorted(expected)}, got {sorted(state)}")
        if state["method"] != name:
            raise MethodStateError(f"{name}: expected its own state, got one of {state['method']}")
        own, found = self.settings, state["settings"]
        if other := [key for key in own if own[key] != found.get(key)]:
            differs = ", ".join(f"{key}={found.get(key)!r} instead of {own[key]!r}" for key in other)
            raise MethodStateError(f"{name}: the state was saved with {differs}; make the method as it was then")


def among_kept(scores: Scores, masks: Mapping[str, torch.Tensor]) -> Scores:
    """Return the scores with -inf, out of the race, where masks have removed a weight.

    Parameters
    ----------
    scores : dict of str to Tensor
    masks : mapping of str to Tensor of bool
        Parameters without a mask keep their scores.

    Returns
    -------
    dict of str to Tensor

    Examples
    --------
    >>> among_kept({"w": torch.tensor([1.0, 2.0])}, {"w": torch.tensor([True, False])})
    {'w': tensor([1., -inf])}
    """
    return {
        name: score.masked_fill(~masks[name].to(score.device), -torch.inf) if name in masks else score
        for name, score in scores.items()
    }


def _as_numbers(chosen: Selection) -> State:
    names = list(chosen)
    return {"names": names, "target": chosen.target, "requested": chosen.requested, "effective": chosen.effective}


def _as_selection(numbers: State, masks: Mapping[str, torch.Tensor]) -> Selection:
    own = {name: masks[name] for name in numbers["names"]}
    return Selection(own, target=numbers["target"], requested=numbers["requested"], effective=numbers["effective"])
