"""The term of selective weight decay, whatever it acts on: how strong it is, and the three ways to bring it in.

With mu the weight decay of the optimizer and P the elements that pruning to the final target would remove now, the
loss grows by ``mu * a / 2 * sum(w ** 2 for w in P)``, where a rises from a_min to a_max over the run.
"""

import math
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from prune_adapters.methods.decay.schedule import decay_strength, stable_decay
from prune_adapters.methods.method import Method
from prune_adapters.select import Selection
from prune_adapters.shards import is_spread, local, whole

__all__ = ["HEALTHY", "GrowingDecay"]

HEALTHY = 1e-2
"""Share of the norm above which removing the weights is felt."""
TERMS = ("auto", "gradient", "loss", "decoupled")
COUPLED = (torch.optim.SGD, torch.optim.ASGD)
"""Optimizers whose step is proportional to the gradient, so that a term of the gradient decays weights."""

Held = tuple[str, nn.Parameter]


@dataclass(eq=False)
class GrowingDecay(Method):
    """What selective weight decay of weights and of channels share: the strength, and the ways to bring it in.

    A subclass says what P is: `_select` finds it anew, `_part` returns a parameter with all but its P set to 0.
    """

    a_min: float = field(default=0.1, kw_only=True)
    a_max: float = field(default=1e5, kw_only=True)
    weight_decay: float | None = field(default=None, kw_only=True)
    refresh: int = field(default=1, kw_only=True)
    term: str = field(default="auto", kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_term()
        self._held: list[Held] = list(self._weights(self._acts()).items())
        self._health: float | None = None
        self._is_selected = self._is_warned = False
        if self._brought_in_by("loss") and any(is_spread(weight) for _, weight in self._held):
            raise ValueError(
                f"{type(self).__name__}: term: expected 'gradient' or 'decoupled' for parameters that are spread over "
                "ranks, got 'loss', of which each rank would have another"
            )
        if not any(mu for mu, _, _ in self._decays()):
            raise ValueError(
                f"{type(self).__name__}: weight_decay: expected one above 0 to multiply, got 0 for all that is "
                "penalised; give the optimizer one, or pass weight_decay="
            )

    @property
    def strength(self) -> float:
        """The a of the next step, between a_min and a_max."""
        return self._strength(self.step)

    @property
    def shrinkage(self) -> float:
        """Norm of what pruning removes, now or at the end, as a share of the norm of all: below 1e-2 in good health."""
        return self._share_of(self._wanted()) if self._health is None else self._health

    def penalty(self) -> torch.Tensor:
        """Return what to add to the loss: the term if it is wanted as a loss, else 0."""
        total = super().penalty()
        if self._brought_in_by("loss"):
            for mu, _, held in self._selected_decays(self.step):
                parts = [self._part(name, weight) for name, weight in held]
                squares = [part.float().square().sum() for part in parts if part is not None]
                total = total + sum(squares, start=total.new_zeros(())) * (mu * self.strength / 2)
        return total

    def after_backward(self) -> None:
        """Add the gradient of the term, unless it is in the loss or decoupled."""
        if self._brought_in_by("gradient"):
            with torch.no_grad():
                for mu, _, held in self._selected_decays(self.step):
                    pairs = [(local(w.grad), self._part(n, w.detach())) for n, w in held if w.grad is not None]
                    self._add(pairs, mu * self.strength)

    def _update(self) -> None:
        if self._brought_in_by("decoupled"):
            step = self.step - 1  # the one that has just been taken
            with torch.no_grad():
                for mu, group, held in self._selected_decays(step):
                    gone = -math.expm1(-float(group["lr"]) * mu * self._strength(step))
                    self._add([(local(w.detach()), self._part(n, w.detach())) for n, w in held], -gone)

    def _acts(self) -> list[str]:
        """Return the names of the parameters that the term acts on."""
        raise NotImplementedError

    def _select(self) -> None:
        """Find P for the weights as they are."""
        raise NotImplementedError

    def _part(self, name: str, weight: torch.Tensor) -> torch.Tensor | None:
        """Return what lies here of the weight, with 0 for elements that are not in P; None where none of it is in P."""
        raise NotImplementedError

    def _wanted(self) -> Selection:
        """Return what pruning would keep now."""
        raise NotImplementedError

    def _final(self) -> Selection:
        chosen = self._wanted()
        self._health = self._share_of(chosen)
        if self._health > HEALTHY:
            warnings.warn(
                f"{type(self).__name__}: what is removed still has {self._health:.2g} of the norm of all, expected "
                f"below {HEALTHY:g}: its removal will be felt; raise a_max (suggest_a_max finds one), or take more "
                "steps",
                stacklevel=3,
            )
        return chosen

    def _share_of(self, chosen: Selection) -> float:
        """Return the norm of what is not chosen as a share of the norm of all that competes."""
        weights = {name: whole(weight.detach()) for name, weight in self._held if name in chosen}
        gone = _norm([weight.masked_fill(chosen[name], 0.0) for name, weight in weights.items()])
        return gone / (_norm(list(weights.values())) or 1.0)

    def _brought_in_by(self, way: str) -> bool:
        """Tell whether the term goes on, and comes in this way."""
        own = self.term
        if own == "auto":
            own = "gradient" if self.optimizer is None or isinstance(self.optimizer, COUPLED) else "decoupled"
        return own == way and self._chosen is None

    def _strength(self, step: int) -> float:
        return decay_strength(step / self.steps, a_min=self.a_min, a_max=self.a_max)

    def _selected_decays(self, step: int) -> Iterator[tuple[float, dict[str, Any], list[Held]]]:
        """Yield what `_decays` does, with P found anew if the step is one for that."""
        if step % self.refresh == 0 or not self._is_selected:
            self._select()
            self._is_selected = True
        yield from self._decays()

    def _decays(self) -> Iterator[tuple[float, dict[str, Any], list[Held]]]:
        """Yield the mu, the settings and the parameters of each group of the optimizer that has any."""
        if self.optimizer is None:
            yield self.weight_decay or 0.0, {}, self._held
            return
        names = {id(weight): name for name, weight in self._held}
        for group in self.optimizer.param_groups:
            held = [(names[id(weight)], weight) for weight in group["params"] if id(weight) in names]
            mu = float(group.get("weight_decay", 0.0)) if self.weight_decay is None else self.weight_decay
            if held:
                self._warn_of_instability(group, mu)
                yield mu, group, held

    @staticmethod
    def _add(pairs: list[tuple[torch.Tensor, torch.Tensor | None]], times: float) -> None:
        given = [(tensor, part) for tensor, part in pairs if part is not None]
        if given and times:
            torch._foreach_add_([tensor for tensor, _ in given], [part for _, part in given], alpha=times)

    def _warn_of_instability(self, group: dict[str, Any], mu: float) -> None:
        if self._is_warned or self._brought_in_by("decoupled") or not isinstance(self.optimizer, torch.optim.SGD):
            return
        decay = float(group["lr"]) * (float(group["weight_decay"]) + mu * self.strength)
        bound = stable_decay(float(group["momentum"]), nesterov=group["nesterov"])
        if decay >= bound:
            self._is_warned = True
            warnings.warn(
                f"{type(self).__name__}: unstable from step {self.step} on: learning rate times decay is {decay:.3g}, "
                f"expected below {bound:.3g}; the weights to remove grow in place of shrinking: lower a_max "
                "(suggest_a_max keeps to the bound)",
                stacklevel=5,
            )

    def _own_state(self) -> dict[str, object]:
        return {"health": self._health, "is_selected": self._is_selected}

    def _load_own_state(self, own: Mapping[str, Any]) -> None:
        self._health, self._is_selected = own["health"], own["is_selected"]

    def _check_term(self) -> None:
        name = type(self).__name__
        if not 0.0 < self.a_min <= self.a_max:
            raise ValueError(f"{name}: expected 0 < a_min <= a_max, got {self.a_min} and {self.a_max}")
        if self.refresh < 1:
            raise ValueError(f"{name}: refresh: expected at least 1 step, got {self.refresh}")
        if self.term not in TERMS:
            raise ValueError(f"{name}: term: expected one of {', '.join(map(repr, TERMS))}, got {self.term!r}")
        if self.weight_decay is not None and self.weight_decay < 0.0:
            raise ValueError(f"{name}: weight_decay: expected at least 0, got {self.weight_decay}")
        if self.optimizer is None and (self.weight_decay is None or self.term == "decoupled"):
            asked = "the learning rate" if self.weight_decay is not None else "mu, or weight_decay="
            raise ValueError(f"{name}: expected an optimizer to read {asked} from; pass optimizer=")


def _norm(tensors: list[torch.Tensor]) -> float:
    return math.sqrt(sum(float(tensor.double().square().sum()) for tensor in tensors))
