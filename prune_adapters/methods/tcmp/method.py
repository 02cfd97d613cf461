"""TCMP: the masks of magnitude pruning, soft at first, with the topology inside the loss."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from prune_adapters.apply import remembered_masks
from prune_adapters.masks import parameter_owners
from prune_adapters.methods.method import Method, Scores, among_kept
from prune_adapters.methods.schedules import cubic_sparsity
from prune_adapters.methods.tcmp.effective import Band, Effective
from prune_adapters.ops import kth_largest
from prune_adapters.select import Selection, selected
from prune_adapters.sweeps import Supervision

__all__ = ["TCMP"]


@dataclass(eq=False)
class TCMP(Method):
    """Topologically consistent magnitude pruning [1]_: magnitudes decide, among weights that join live ends.

    The network sees ``w * psi(w) * live * co``: psi stops what is below a threshold, the two flags tell whether the
    source of a weight is live and its target co-accessible, and gradients go through all three. The threshold rises
    so that the weights above it and on paths become as few as wanted along a cubic schedule, while psi becomes crisp;
    then the masks are final, with every kept weight on a path from the input to the output, and training goes on.

    Parameters
    ----------
    model, sparsity, steps, optimizer, graph, parameters, scope, seed
        As every `Method` takes them. The graph is needed.
    target, consistent
        As every `Method` takes them, for the final masks: by default exactly as many weights are kept as are wanted,
        all of them on paths. Before the end it is always the weights on paths that count.
    begin, end : float
        Fractions of the steps between which there are soft masks.
    every : int
        Steps from one search for the number of weights that leaves the scheduled number on paths to the next. The
        threshold follows the weights in every step.
    soft, crisp : float
        Sharpness of psi at first and in the end, in units of 1 / threshold^2; it grows geometrically.
    budget : float
        Factor of ``((kept - wanted) / n) ** 2`` in the penalty: lambda of [1]_.
    waste : float
        Factor of ``(sum of psi off the paths) / n`` in the penalty: eta of [1]_.

    Notes
    -----
    Between `after_step` and `after_backward` the parameters of the model hold what the network sees, so that it can be
    evaluated or saved at any time; between `after_backward` and `after_step` they hold the weights that the optimizer
    moves. Both calls are needed in every step. The gradient of the penalty is added in `after_backward`, if `penalty`
    was called: `penalty` itself returns a number without a gradient, which no gradient scaler has to undo.

    Differs from [1]_ in that psi is a band-stop with a threshold, as in its sibling papers, which meets the budget by
    itself; in that flags and budget count crisp weights, psi above one half; in the terms of the penalty, which are
    divided by the number of weights; and in the end, where the masks are selected exactly and kept.

    References
    ----------
    .. [1] Sahbi, Miniaturized Graph Convolutional Networks with Topologically Consistent Pruning, arXiv:2306.17590,
       Eq. 4 and 5.

    Examples
    --------
    >>> from torch import nn
    >>> from prune_adapters.trace import to_graph
    >>> torch.manual_seed(0)  # doctest: +ELLIPSIS
    <torch._C.Generator object at ...>
    >>> model = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 4))
    >>> method = TCMP(model, sparsity=0.75, steps=10, graph=to_graph(model, torch.ones(1, 8)), every=1)
    >>> optimizer = torch.optim.Adam(model.parameters())
    >>> for _ in range(10):
    ...     loss = model(torch.ones(2, 8)).square().sum() + method.penalty()
    ...     optimizer.zero_grad()
    ...     loss.backward()
    ...     method.after_backward()
    ...     optimizer.step()
    ...     method.after_step()
    >>> method.finish()
    Selection: 24 of 96 weights kept, 24 requested (direct), 24 consistent
    """

    consistent: bool = field(default=True, kw_only=True)
    begin: float = field(default=0.1, kw_only=True)
    end: float = field(default=0.7, kw_only=True)
    every: int = field(default=10, kw_only=True)
    soft: float = field(default=4.0, kw_only=True)
    crisp: float = field(default=100.0, kw_only=True)
    budget: float = field(default=10.0, kw_only=True)
    waste: float = field(default=1.0, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_schedule()
        if self.graph is None:
            raise ValueError("TCMP: expected a graph; pass graph=to_graph(model, example_inputs)")
        self._supervision = Supervision(self.graph)
        self._names = list(self._scores())
        self._own: Scores | None = None
        """The weights that the optimizer moves, while the parameters hold what the network sees."""
        self._counts: list[int] = []
        """Weights above the threshold, for each group that has one."""
        self._value: torch.Tensor | None = None
        self._penalised = self._swapped = False

    def penalty(self) -> torch.Tensor:
        """Return the penalty, a tensor of shape () without a gradient; `after_backward` adds its gradient."""
        self._penalised = True
        return super().penalty() if self._value is None else self._value

    def after_backward(self) -> None:
        """Turn the gradients of what the network sees into those of the weights, and hand these to the optimizer."""
        penalised, self._penalised = self._penalised, False
        if self._own is None:
            return
        parameters = self._parameters()
        found = self._gradients({n: p.grad for n, p in parameters.items()}, penalised)
        with torch.no_grad():
            for name, parameter in parameters.items():
                if parameter.grad is not None:
                    parameter.grad.copy_(found[name])
                parameter.copy_(self._own[name])
        self._swapped = True

    def _update(self) -> None:
        self._take_back()
        if self.step >= self.end * self.steps:
            self.finish()
        elif self.step > self.begin * self.steps and self._wanted < self._total:
            if self.step % self.every == 0 or not self._counts:
                self._counts = self._count()
            self._show()

    def _final(self) -> Selection:
        return self._selection(self._magnitudes(), self.sparsity)

    def _apply(self, masks: Mapping[str, torch.Tensor]) -> None:
        super()._apply(masks)
        self._own = self._value = None

    @property
    def _progress(self) -> float:
        begin, end = self.begin * self.steps, self.end * self.steps
        return min(max((self.step - begin) / (end - begin), 0.0), 1.0)

    @property
    def _total(self) -> int:
        return sum(p.numel() for p in self._parameters().values())

    @property
    def _wanted(self) -> int:
        return self._total - round(self._total * cubic_sparsity(self._progress, self.sparsity))

    def _parameters(self) -> dict[str, torch.nn.Parameter]:
        owners = parameter_owners(self.model)
        return {name: owners[name][0][0].get_parameter(owners[name][0][1]) for name in self._names}

    def _take_back(self) -> None:
        """Take the weights back from the optimizer."""
        if self._own is None:
            return
        if not self._swapped:
            raise RuntimeError(
                "TCMP: the optimizer has moved what the network sees; call after_backward() in each step"
            )
        self._own = {name: p.detach().clone() for name, p in self._parameters().items()}
        self._swapped = False

    def _show(self) -> None:
        """Put into the parameters what the network is to see."""
        parameters = self._parameters()
        if self._own is None:
            self._own = {name: p.detach().clone() for name, p in parameters.items()}
        with torch.no_grad():
            effective = Effective(self._own, self._band(), self._supervision)
            self._value = effective.penalty(self._wanted, self.budget, self.waste)
            for name, parameter in parameters.items():
                parameter.copy_(effective.weights[name])

    def _gradients(self, pulls: dict[str, torch.Tensor | None], penalised: bool) -> Scores:
        assert self._own is not None
        weights = {name: own.detach().requires_grad_() for name, own in self._own.items()}
        with torch.enable_grad():
            effective = Effective(weights, self._band(), self._supervision)
            ends = [effective.weights[name] for name, pull in pulls.items() if pull is not None]
            grads = [pull for pull in pulls.values() if pull is not None]
            if penalised:
                ends.append(effective.penalty(self._wanted, self.budget, self.waste))
                grads.append(torch.ones_like(ends[-1]))
        found = torch.autograd.grad(ends, list(weights.values()), grads, allow_unused=True, materialize_grads=True)
        return dict(zip(weights, found, strict=True))

    def _band(self) -> Band:
        """Return psi at this step: the threshold is where the weights of each group are as many as counted."""
        assert self._own is not None
        thresholds = {}
        for names, count in zip(self._groups(), self._counts, strict=True):
            bound = kth_largest([self._own[name] for name in names], max(count, 1), magnitude=True)
            thresholds.update(dict.fromkeys(names, bound))
        return Band(thresholds, self.soft * (self.crisp / self.soft) ** self._progress)

    def _groups(self) -> list[list[str]]:
        """Return the names of the parameters that share a threshold."""
        assert self._own is not None
        return [list(self._own)] if self.scope == "global" else [[name] for name in self._own]

    def _count(self) -> list[int]:
        """Return how many weights of each group leave the scheduled number on paths."""
        sparsity = cubic_sparsity(self._progress, self.sparsity)
        scores = among_kept(self._magnitudes(), remembered_masks(self.model))
        chosen = selected(scores, sparsity=sparsity, scope=self.scope, target="effective", graph=self.graph)
        kept = {name: int(torch.count_nonzero(mask)) for name, mask in chosen.items()}
        return [sum(kept.values())] if self.scope == "global" else list(kept.values())

    def _magnitudes(self) -> Scores:
        return self._scores() if self._own is None else {name: own.abs() for name, own in self._own.items()}

    def _own_state(self) -> dict[str, Any]:
        own = None if self._own is None else {name: value.clone() for name, value in self._own.items()}
        return {"own": own, "counts": list(self._counts)}

    def _load_own_state(self, own: dict[str, Any]) -> None:
        self._counts = list(own["counts"])
        self._value = self._own = None
        if own["own"] is not None:
            devices = {name: p.device for name, p in self._parameters().items()}
            self._own = {name: value.to(devices[name], copy=True) for name, value in own["own"].items()}
            self._show()

    def _check_schedule(self) -> None:
        if not 0.0 <= self.begin < self.end <= 1.0:
            raise ValueError(f"TCMP: expected 0 <= begin < end <= 1, got {self.begin} and {self.end}")
        if self.every < 1:
            raise ValueError(f"TCMP: every: expected at least 1 step, got {self.every}")
        if not 0.0 < self.soft <= self.crisp:
            raise ValueError(f"TCMP: expected 0 < soft <= crisp, got {self.soft} and {self.crisp}")
        if self.budget < 0 or self.waste < 0:
            raise ValueError(f"TCMP: budget and waste: expected at least 0, got {self.budget} and {self.waste}")
