"""A guard against collapse: masks of the same size in which every parameter has a weight on a path."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import torch

import netgraph as ng
from prune_adapters.select import Selection

__all__ = ["with_paths"]

Scores = dict[str, torch.Tensor]
Elements = dict[str, np.ndarray]


def with_paths(
    scores: Mapping[str, torch.Tensor], graph: ng.NetGraph, select: Callable[[Scores], Selection]
) -> Selection:
    """Return what `select` makes of the scores, with few and good weights put first that complete paths.

    For each parameter without a weight on a path from an input to an output the least repair is looked for that joins
    an input to it, and from there the least to an output; these weights are put first, so that others leave the budget.
    This is repeated until no parameter is lost.

    Parameters
    ----------
    scores : mapping of str to Tensor
        Higher = keep. Parameters without edges need no path.
    graph : NetGraph
    select : callable
        From scores to masks of a fixed number of weights.

    Returns
    -------
    Selection

    Raises
    ------
    ValueError
        There are too few weights for a path through each parameter, or no weights would make one.

    Examples
    --------
    >>> from prune_adapters.select import selected
    >>> graph = ng.from_biadjacency([[[1, 1], [1, 1]], [[1, 1]]])
    >>> scores = {"weight1": torch.tensor([[5.0, 4.0], [3.0, 2.0]]), "weight2": torch.tensor([[0.1, 0.2]])}
    >>> dict(with_paths(scores, graph, lambda scores: selected(scores, sparsity=0.67)))
    {'weight1': tensor([[ True, False],
            [False, False]]), 'weight2': tensor([[ True, False]])}
    """
    first = dict(scores)
    while True:
        chosen = select(first)
        masked = ng.with_weights(graph, {name: mask.cpu().numpy() for name, mask in chosen.items() if graph.uses(name)})
        lost = _lost(masked, [name for name in chosen if graph.uses(name)])
        if lost is None:
            return chosen
        path = _through(masked, lost, {name: s.detach().cpu().float().numpy() for name, s in first.items()})
        if path is None or not _promote(path, first):
            raise ValueError(
                f"guard: no path through {lost!r} can be kept with {chosen.requested} weights; take a lower sparsity, "
                "or guard=False"
            )


def _lost(graph: ng.NetGraph, names: list[str]) -> str | None:
    """Return the first parameter without a consistent weight."""
    there = ng.trim(graph).masks()
    return next((name for name in names if not there[name].any()), None)


def _through(graph: ng.NetGraph, name: str, scores: Elements) -> Elements | None:
    """Return removed weights that complete a path from an input through one parameter to an output, few and good."""
    able = {own: score for own, score in scores.items() if graph.uses(own)}
    for position, use in enumerate(graph.weighted):
        if use.parameter == name:
            start = graph.slices[use.source].start + use.source_start
            to_it = replace(graph, outputs=start + np.arange(use.groups * use.columns))
            before = ng.least_repair(to_it, able)
            after = None if before is None else _onward(graph, position, before.path[-1] - start, able)
            if before is not None and after is not None:
                return _joined(before.elements, after)
    return None


def _onward(graph: ng.NetGraph, position: int, source: int, scores: Elements) -> Elements | None:
    """Return what completes a path from a source of a connection through it: by a kept weight of it, or a new one."""
    use = graph.weighted[position]
    per_group = use.rows // use.groups
    group, column = divmod(source, use.columns)
    rows = np.arange(group * per_group, (group + 1) * per_group)
    first = graph.slices[use.target].start + use.target_start
    found: list[Elements] = []
    if (joined := rows[graph.kept(position)[rows, column].any(axis=1)]).size:
        by_kept = ng.least_repair(replace(graph, inputs=first + joined), scores)
        found += [] if by_kept is None else [dict(by_kept.elements)]
    by_new = ng.least_repair(replace(graph, inputs=first + rows), scores)
    if by_new is not None:
        taps = use.elements()[by_new.path[0] - first, column]
        best = taps[scores[use.parameter].reshape(-1)[taps].argmax()]
        found.append(_joined({use.parameter: np.array([best])}, by_new.elements))
    return min(found, key=lambda elements: sum(flat.size for flat in elements.values()), default=None)


def _joined(*parts: Mapping[str, np.ndarray]) -> Elements:
    names = {name for part in parts for name in part}
    return {name: np.concatenate([part[name] for part in parts if name in part]) for name in sorted(names)}


def _promote(path: Elements, scores: Scores) -> bool:
    """Put the weights of a path first, in place; tell whether any was not there before."""
    is_new = False
    for name, flat in path.items():
        place = torch.from_numpy(flat).to(scores[name].device)
        own = scores[name].reshape(-1).clone()
        is_new = is_new or not bool(torch.isposinf(own[place]).all())
        scores[name] = own.index_fill(0, place, torch.inf).reshape(scores[name].shape)
    return is_new
