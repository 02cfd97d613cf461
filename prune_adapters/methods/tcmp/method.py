"""TCMP: the masks of magnitude pruning, soft at first, with the topology inside the loss."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from prune_adapters.apply import remembered_masks
from prune_adapters.masks import parameter_owners
from prune_adapters.methods.method import Method, Scores, among_kept
from prune_adapters.methods.tcmp.effective import Band, Effective
from prune_adapters.ops import kth_largest
from prune_adapters.schedules import cubic_sparsity
from prune_adapters.select import Selection, selected
from prune_adapters.shards import local, own_part, whole
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
    lam : float
        Factor of ``((kept - wanted) / n) ** 2`` in the penalty: lambda of [1]_.
    eta : float
        Factor of ``(sum of psi off the paths) / n`` in the penalty: eta of [1]_.
    pull : float
        Factor of the gradient that goes through the two flags: 1 as in [1]_; 0 takes them as constants, which costs
        less and was about as good in ``examples/reproduce_tcmp.py``.

    Notes
    -----
    Between `after_step` and `after_backward` the parameters of the model hold what the network sees, so that it can be
    evaluated or saved at any time; between `after_backward` and `after_step` they hold the weights that the optimizer
    moves. Both calls are needed in every step. The gradient of the penalty is added in `after_backward`, if `penalty`
    was called: `penalty` itself returns a number without a gradient, which no gradient scaler has to undo. Under FSDP2
    and tensor parallelism each rank gathers the whole of the weights that are pruned, in every step with soft masks.

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
    lam: float = field(default=10.0, kw_only=True)
    eta: float = field(default=1.0, kw_only=True)
    pull: float = field(default=1.0, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_schedule()
        if self.graph is None:
            raise ValueError("TCMP: expected a graph; pass graph=to_graph(model, example_inputs)")
        self._supervision = Supervision(self.graph)
        owners = parameter_owners(self.model)
        self._places = {name: owners[name][0] for name in self._scores()}
        """A module and an attribute that hold each parameter."""
        self._total = sum(parameter.numel() for parameter in self._parameters().values())
        self._seen: Effective | None = None
        """What the network sees, and the weights that the optimizer moves."""
        self._counts: list[int] = []
        """Weights above the threshold, for each group that has one."""
        self._swapped = False

    def penalty(self) -> torch.Tensor:
        """Return the penalty, a tensor of shape () without a gradient; `after_backward` adds its gradient."""
        if self._seen is None:
            return super().penalty()
        return self._seen.penalty(self._wanted, self.lam, self.eta)

    def after_backward(self) -> None:
        """Turn the gradients of what the network sees into those of the weights, and hand these to the optimizer."""
        if self._seen is None or self._swapped:
            return
        grads = {name: p.grad for name, p in self._parameters().items() if p.grad is not None}
        found = self._seen.gradients({name: whole(grad) for name, grad in grads.items()})
        for name, grad in grads.items():
            local(grad).copy_(own_part(found[name], grad))
        self._put(self._seen.own)
        self._swapped = True

    def _update(self) -> None:
        self._take_back()
        if self.step >= self.end * self.steps:
            self.finish()
        elif self.step > self.begin * self.steps and self._wanted < self._total:
            own = {name: whole(p.detach()).clone() for name, p in self._parameters().items()}
            if self.step % self.every == 0 or not self._counts:
                self._counts = self._count(own)
            self._show(own)

    def _final(self) -> Selection:
        if self._seen is not None and not self._swapped:
            self._put(self._seen.own)
        self._seen = None
        return self._selection({name: whole(p.detach()).abs() for name, p in self._parameters().items()}, self.sparsity)

    @property
    def _progress(self) -> float:
        begin, end = self.begin * self.steps, self.end * self.steps
        return min(max((self.step - begin) / (end - begin), 0.0), 1.0)

    @property
    def _wanted(self) -> int:
        return self._total - round(self._total * cubic_sparsity(self._progress, self.sparsity))

    def _parameters(self) -> dict[str, torch.nn.Parameter]:
        return {name: module.get_parameter(key) for name, (module, key) in self._places.items()}

    def _take_back(self) -> None:
        """Leave the parameters to the optimizer's weights."""
        if self._seen is not None and not self._swapped:
            raise RuntimeError("TCMP: the optimizer moved what the network sees; call after_backward() in each step")
        self._seen, self._swapped = None, False

    def _show(self, own: Scores) -> None:
        """Let the network see what comes out of the weights."""
        self._seen = Effective(own, self._band(own), self._supervision, self.pull)
        self._put(self._seen.weights)

    def _put(self, values: Mapping[str, torch.Tensor]) -> None:
        with torch.no_grad():
            for name, parameter in self._parameters().items():
                local(parameter).copy_(own_part(values[name], parameter))

    def _band(self, own: Scores) -> Band:
        """Return psi at this step: the threshold is where the weights of each group are as many as counted."""
        thresholds = {}
        for names, count in zip(self._groups(), self._counts, strict=True):
            bound = kth_largest([own[name] for name in names], max(count, 1), magnitude=True)
            thresholds.update(dict.fromkeys(names, bound))
        return Band(thresholds, self.soft * (self.crisp / self.soft) ** self._progress)

    def _groups(self) -> list[list[str]]:
        """Return the names of the parameters that share a threshold."""
        return [list(self._places)] if self.scope == "global" else [[name] for name in self._places]

    def _count(self, own: Scores) -> list[int]:
        """Return how many weights of each group leave the scheduled number on paths."""
        sparsity = cubic_sparsity(self._progress, self.sparsity)
        scores = among_kept({name: weight.abs() for name, weight in own.items()}, remembered_masks(self.model))
        chosen = selected(scores, sparsity=sparsity, scope=self.scope, target="effective", graph=self.graph)
        kept = {name: int(torch.count_nonzero(mask)) for name, mask in chosen.items()}
        return [sum(kept[name] for name in names) for names in self._groups()]

    def _own_state(self) -> dict[str, Any]:
        own = None if self._seen is None else {n: w.detach().clone() for n, w in self._seen.own.items()}
        return {"own": own, "counts": list(self._counts)}

    def _load_own_state(self, own: dict[str, Any]) -> None:
        self._counts, self._seen, self._swapped = list(own["counts"]), None, False
        if own["own"] is not None:
            self._show(self._placed(own["own"]))

    def _check_schedule(self) -> None:
        if not 0.0 <= self.begin < self.end <= 1.0:
            raise ValueError(f"TCMP: expected 0 <= begin < end <= 1, got {self.begin} and {self.end}")
        if self.every < 1:
            raise ValueError(f"TCMP: every: expected at least 1 step, got {self.every}")
        if not 0.0 < self.soft <= self.crisp:
            raise ValueError(f"TCMP: expected 0 < soft <= crisp, got {self.soft} and {self.crisp}")
        if min(self.lam, self.eta, self.pull) < 0:
            found = f"{self.lam}, {self.eta} and {self.pull}"
            raise ValueError(f"TCMP: lam, eta and pull: expected at least 0, got {found}")
