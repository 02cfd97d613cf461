"""Selective weight decay: the weights that pruning would remove are decayed ever more, until they are nearly 0."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from prune_adapters.budgets import layer_budgets
from prune_adapters.methods.decay.gates import gates_of, open_gates
from prune_adapters.methods.decay.guard import with_paths
from prune_adapters.methods.decay.term import GrowingDecay, Held
from prune_adapters.ops import kth_largest
from prune_adapters.select import Selection
from prune_adapters.shards import local, own_part, whole

__all__ = ["SelectiveWeightDecay", "below"]

BITS = {torch.float64: torch.int64, torch.float32: torch.int32, torch.bfloat16: torch.int16, torch.float16: torch.int16}
"""Integers in whose order positive floats are."""


@dataclass(eq=False)
class SelectiveWeightDecay(GrowingDecay):
    """Decays the weights that pruning to the final sparsity would remove now, ever more; at the end they are removed.

    With P these weights, the loss grows by ``mu * a / 2 * sum(w ** 2 for w in P)`` [1]_, beside the weight decay of the
    optimizer. P changes with the weights, and a grows from a_min to a_max, by equal factors. Nothing is removed before
    `finish`, and nothing is to be fine-tuned then: what is removed is nearly 0 if `shrinkage` is below 1e-2.

    Parameters
    ----------
    model, sparsity, steps, optimizer, graph, parameters, scope, target, consistent, seed
        As every `Method` takes them. P is found by exact thresholds in one pass over the weights. With
        ``target="effective"``, `consistent` or `guard` P is what the final selection would remove now, on the graph:
        that takes many sweeps, so take a `refresh` of 100 or so.
    a_min, a_max : float
        Strength in the first and after the last step. The default is the published one, for 300 epochs at learning
        rates from 0.1 down; for other runs ask `suggest_a_max`.
    weight_decay : float, optional
        The mu of the term. Default: that of the optimizer, group by group.
    refresh : int
        Steps from one search for P to the next. Between them weights that pass the old threshold change sides.
    term : {"auto", "gradient", "loss", "decoupled"}
        How the term comes in. "gradient": `after_backward` adds ``mu * a * w`` to the gradients on P. "loss": the same
        through `penalty`. "decoupled": `after_step` multiplies the weights in P by ``exp(-lr * mu * a)``, about
        ``1 - lr * mu * a`` where that is near 1, but never past 0; for optimizers that scale gradients, such as
        Adam's, as AdamW does with its own decay. Call `after_step` before the scheduler's step, which changes lr.
        "auto": "gradient" for SGD and without an optimizer, "decoupled" for every other.
    guard : bool
        Keep, inside the budget, a path through every parameter with edges; needs a graph. The published method has
        none, and may lose layers at high sparsity.
    norms : bool
        Decay as well the scales of batch norms, and of other layers that only scale, of units that the removal would
        take off every path from the input to the output; needs a graph, and such scales under weight decay (or
        `weight_decay`). The published method leaves them. The graph is swept when P is searched for: take a `refresh`
        of 10 or more.

    Warns
    -----
    UserWarning
        In training, if learning rate times decay is past the stable bound; at `finish`, if `shrinkage` is above 1e-2.

    Notes
    -----
    A batch norm undoes the scale of the layer before it. So a filter, or a layer, that is in P as a whole shrinks
    without a change in the function, until the last removal cuts the network there: at high sparsity `shrinkage` may
    be small and the loss of accuracy large. With `norms` such filters fall silent while there is time to make up for
    them, and with ``consistent=True`` or `guard` no layer is lost. Short runs need a strength near the most that is
    stable: a shrink of about -15 in 1,000 steps at momentum 0.9.

    References
    ----------
    .. [1] Tessier et al., Rethinking Weight Decay for Efficient Neural Network Pruning, J. Imaging 8(3):64, 2022.

    Examples
    --------
    >>> layer = torch.nn.Linear(4, 1, bias=False)
    >>> _ = layer.weight.data.copy_(torch.tensor([[0.1, -2.0, 0.2, 3.0]]))
    >>> optimizer = torch.optim.SGD(layer.parameters(), lr=0.1, weight_decay=1e-3)
    >>> method = SelectiveWeightDecay(layer, sparsity=0.5, steps=100, optimizer=optimizer, a_max=1e4)
    >>> for _ in range(100):
    ...     optimizer.zero_grad()
    ...     (0.0 * layer(torch.ones(1, 4)).sum() + method.penalty()).backward()
    ...     method.after_backward()
    ...     optimizer.step()
    ...     method.after_step()
    >>> f"{method.shrinkage:.0e}", method.finish()["weight"]
    ('3e-07', tensor([[False,  True, False,  True]]))
    """

    guard: bool = field(default=False, kw_only=True)
    norms: bool = field(default=False, kw_only=True)

    def __post_init__(self) -> None:
        for name in ("guard", "norms"):
            if getattr(self, name) and self.graph is None:
                raise ValueError(
                    f"SelectiveWeightDecay: {name}=True: expected a graph; pass graph=to_graph(model, example_inputs)"
                )
        self._competing = list(self._scores())
        super().__post_init__()
        self._ranked: list[Held] = [(name, weight) for name, weight in self._held if name in self._competing]
        """The parameters that compete, and not those that go with them."""
        self._bounds: dict[str, torch.Tensor] = {}
        self._kept: dict[str, torch.Tensor] = {}

    def _acts(self) -> list[str]:
        gates = gates_of(self.graph) if self.norms and self.graph is not None else []
        return list(dict.fromkeys(self._competing + gates))

    def _select(self) -> None:
        if self.guard or self.consistent or self.target == "effective":
            self._kept = dict(self._wanted())
        else:
            self._bounds, self._kept = self._thresholds(), {}
        if self.norms and self.graph is not None:
            found = open_gates(self.graph, self._kept or self._above())
            self._kept |= self._placed({name: mask for name, mask in found.items() if name not in self._competing})
        self._kept = {name: mask for name, mask in self._kept.items() if not bool(mask.all())}

    def _part(self, name: str, weight: torch.Tensor) -> torch.Tensor | None:
        if name in self._kept:
            return local(weight).masked_fill(own_part(self._kept[name], weight), 0.0)
        return below(local(weight), self._bounds[name]) if name in self._bounds else None

    def _thresholds(self) -> dict[str, torch.Tensor]:
        """Return the largest magnitude that pruning would remove, by parameter, where it would remove any."""
        found: dict[str, torch.Tensor] = {}
        flat = {name: _in_memory(whole(weight.detach())) for name, weight in self._ranked}
        for names, kept in self._shares():
            if kept < sum(flat[name].numel() for name in names):
                own = kth_largest([flat[name] for name in names], kept + 1, magnitude=True)
                found.update(dict.fromkeys(names, own))
        return found

    def _above(self) -> dict[str, torch.Tensor]:
        """Return what is not in P by the thresholds; a parameter of which nothing is in P is left out."""
        weights = {name: whole(weight.detach()) for name, weight in self._ranked if name in self._bounds}
        return {name: ~_is_below(weight, self._bounds[name]) for name, weight in weights.items()}

    def _shares(self) -> list[tuple[list[str], int]]:
        """Return who competes with whom, and for how many places."""
        names, shapes = zip(*((name, tuple(weight.shape)) for name, weight in self._ranked), strict=True)
        sizes = [math.prod(shape) for shape in shapes]
        places = sum(sizes) - round(self.sparsity * sum(sizes))
        if self.scope == "global":
            return [(list(names), places)]
        if self.scope == "layer":
            kept = [size - round(self.sparsity * size) for size in sizes]
        else:
            kept = layer_budgets(shapes, places, rule=self.scope)
        return [([name], own) for name, own in zip(names, kept, strict=True)]

    def _wanted(self) -> Selection:
        """Return what the final selection would be now."""
        if self.guard and self.graph is not None:
            return with_paths(self._scores(), self.graph, lambda scores: self._selection(scores, self.sparsity))
        return self._selection(self._scores(), self.sparsity)

    def _own_state(self) -> dict[str, object]:
        return super()._own_state() | {"bounds": dict(self._bounds), "kept": dict(self._kept)}

    def _load_own_state(self, own: Mapping[str, Any]) -> None:
        super()._load_own_state(own)
        self._bounds, self._kept = self._placed(own["bounds"]), self._placed(own["kept"])


def below(weight: torch.Tensor, bound: torch.Tensor) -> torch.Tensor:
    """Return the weight where its magnitude is at most a bound, and 0 elsewhere.

    On the CPU one pass does it: the gradient of ``hardtanh``, handed on strictly inside an interval that ends with the
    float above the bound.

    Parameters
    ----------
    weight : Tensor
    bound : Tensor, shape ()

    Returns
    -------
    Tensor

    Examples
    --------
    >>> below(torch.tensor([0.5, -1.0, 2.0]), torch.tensor(1.0))
    tensor([ 0.5000, -1.0000,  0.0000])
    """
    if weight.device.type != "cpu" or weight.dtype != bound.dtype or weight.requires_grad:
        return torch.where(_is_below(weight, bound), weight, 0.0)
    above = float((bound.view(BITS[bound.dtype]) + 1).view(bound.dtype))
    return torch.ops.aten.hardtanh_backward(weight, weight, -above, above)


def _is_below(weight: torch.Tensor, bound: torch.Tensor) -> torch.Tensor:
    return weight.abs().to(bound.dtype) <= bound


def _in_memory(weight: torch.Tensor) -> torch.Tensor:
    """Return a view of the weight in the order of memory, so that no layout costs a copy."""
    return weight.permute(sorted(range(weight.dim()), key=weight.stride, reverse=True))
