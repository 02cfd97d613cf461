"""Collapse, told before it happens: at which budget the last path from an input to an output goes, and what keeps it.

A budget keeps a prefix of the order of the scores, and a longer prefix keeps whatever a shorter one does. So there is
one smallest budget at which an output changes with an input, and one at which a given layer has a weight on a path:
both are found by bisection, exactly.
"""

from bisect import bisect_left
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import torch

import netgraph as ng
from prune_adapters.collapse.findings import CollapseReport, LostLayer, removed
from prune_adapters.collapse.words import in_words
from prune_adapters.prefixes import ConsistentCounter, Prefixes, flat_scores, ranked_prefixes
from prune_adapters.select import SCOPES

__all__ = ["collapse_report"]


def collapse_report(
    graph: ng.NetGraph,
    scores: Mapping[str, torch.Tensor],
    *,
    sparsity: float | None = None,
    scope: str = "global",
) -> CollapseReport:
    """Return at which sparsity no input reaches an output any more, which weight cuts the last path, and the remedy.

    Nothing is pruned. For masks that exist already, `netgraph.least_repair` gives the remedy alone.

    Parameters
    ----------
    graph : NetGraph
        Graph of the model. Parameters without scores keep the mask that they have in it.
    scores : mapping of str to Tensor
        As `masks_from_scores` takes them.
    sparsity : float, optional
        The sparsity at which to look for lost layers and the remedy, in [0, 1]. If not given, the first at which the
        network has collapsed.
    scope : {"global", "layer", "erk", "igq"}
        As in `masks_from_scores`; "layer" shares every number out by `budgets.layer_budgets`.

    Returns
    -------
    CollapseReport

    Raises
    ------
    ValueError
        As `masks_from_scores`.

    Notes
    -----
    About ``log2(n)`` sweeps for the network and, at most, as many for each lost layer.

    Examples
    --------
    >>> model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 1))
    >>> scores = {"0.weight": torch.tensor([[9.0, 8.0], [7.0, 6.0]]), "1.weight": torch.tensor([[3.0, 2.0]])}
    >>> from prune_adapters import to_graph
    >>> collapse_report(to_graph(model, torch.ones(1, 2)), scores, sparsity=0.5)
    No input reaches an output beyond 16.7 % sparsity (5 of 6 weights kept): 1.weight[0, 0] cuts the last path.
    At 50.0 % sparsity (3 of 6 weights kept) the network has collapsed. Putting back 1 weight makes a path:
      input[0] -> 0[0] -> 1[0] by 1.weight[0, 0]
    <BLANKLINE>
    no weight on a path  kept  needs  lost beyond
    0.weight                3      5       16.7 %
    1.weight                0      5       16.7 %
    """
    _check(sparsity, scope)
    shapes = {name: tuple(score.shape) for name, score in scores.items()}
    values = flat_scores(scores)
    ConsistentCounter.of(graph, shapes)  # raises where scores and graph do not fit
    prefix, total = ranked_prefixes(values, list(shapes.values()), scope, often=True), sum(v.size for v in values)
    state = _States(graph, shapes, prefix)
    needed = _smallest(lambda kept: state(kept).alive, total)
    kept = _budget(sparsity, needed, total)
    lost = _lost(state, list(shapes), kept, total)
    cut = needed is None or kept < needed
    arrays = {n: v.reshape(shapes[n]) for n, v in zip(shapes, values, strict=True) if graph.uses(n)}
    repair = ng.least_repair(state.graph(kept), arrays) if cut else None
    last = _last(list(shapes), prefix, needed) if needed else None
    found = CollapseReport(total, needed, last, kept, lost, repair, text="")
    return replace(found, text=in_words(found, graph, shapes))


@dataclass(frozen=True, slots=True)
class _State:
    """Whether an output is live, and of each parameter the kept elements and whether it lies on a path.

    A parameter without edges counts as if it did: there is nothing to lose.
    """

    alive: bool
    kept: tuple[int, ...]
    consistent: tuple[bool, ...]


class _States:
    """The state of the network at each length of a prefix; each is looked at once."""

    def __init__(self, graph: ng.NetGraph, shapes: Mapping[str, tuple[int, ...]], prefix: Prefixes) -> None:
        self._graph, self._shapes, self._prefix = graph, shapes, prefix
        uses = {name: [i for i, c in enumerate(graph.weighted) if c.parameter == name] for name in shapes}
        self._uses = list(uses.values())
        self._known = lru_cache(maxsize=None)(self._look)

    def __call__(self, kept: int) -> _State:
        return self._known(kept)

    def graph(self, kept: int) -> ng.NetGraph:
        return ng.with_weights(self._graph, self._masks(kept))

    def _masks(self, kept: int) -> dict[str, np.ndarray]:
        return {
            name: k.reshape(shape) for (name, shape), k in zip(self._shapes.items(), self._prefix(kept), strict=True)
        }

    def _look(self, kept: int) -> _State:
        masks = self._masks(kept)
        _, found = ng.sweep_weights(self._graph, masks)
        return _State(
            bool(found.accessible[self._graph.outputs].any()),
            tuple(int(np.count_nonzero(mask)) for mask in masks.values()),
            tuple(not positions or bool(found.consistent[positions].any()) for positions in self._uses),
        )


def _check(sparsity: float | None, scope: str) -> None:
    if sparsity is not None and not 0.0 <= sparsity <= 1.0:
        raise ValueError(f"sparsity: expected the fraction to remove, in [0, 1], got {sparsity}")
    if scope not in SCOPES:
        raise ValueError(f"scope: expected one of {', '.join(map(repr, SCOPES))}, got {scope!r}")


def _budget(sparsity: float | None, needed: int | None, total: int) -> int:
    """Return the number of kept elements to look at."""
    if sparsity is not None:
        return total - round(sparsity * total)
    return total if needed is None else max(needed - 1, 0)


def _smallest(holds: Callable[[int], bool], total: int, at_least: int = 0) -> int | None:
    """Return the smallest number from which on `holds` is true, or None."""
    found = bisect_left(range(total + 1), True, lo=at_least, key=holds)
    return found if found <= total else None


def _lost(state: _States, names: list[str], kept: int, total: int) -> tuple[LostLayer, ...]:
    def needed(number: int) -> int | None:
        if not state(total).consistent[number]:
            return None
        return _smallest(lambda length: state(length).consistent[number], total, kept + 1)

    now = state(kept)
    lost = {number: needed(number) for number, consistent in enumerate(now.consistent) if not consistent}
    return tuple(
        LostLayer(names[number], now.kept[number], least, None if least is None else removed(least, total))
        for number, least in lost.items()
    )


def _last(names: list[str], prefix: Prefixes, needed: int) -> tuple[str, int] | None:
    """Return the element that the prefix of length `needed` has and the one before has not."""
    for name, longer, shorter in zip(names, prefix(needed), prefix(needed - 1), strict=True):
        if (more := np.flatnonzero(longer & ~shorter)).size:
            return name, int(more[0])
    return None
