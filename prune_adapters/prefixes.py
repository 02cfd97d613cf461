"""Prefixes of a ranking: which weights the first so many of a scope are, and how many of them are consistent."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch

from netgraph import NetGraph
from netgraph.reach import trim
from netgraph.weights import sweep_weights
from prune_adapters.budgets import layer_budgets
from prune_adapters.ranking import Pool

__all__ = ["ConsistentCounter", "flat_scores", "ranked_prefixes", "without_excluded"]

Shape = tuple[int, ...]
Prefixes = Callable[[int], list[np.ndarray]]


def flat_scores(scores: Mapping[str, torch.Tensor]) -> list[np.ndarray]:
    """Return the scores as flat arrays of one dtype, which holds every value exactly.

    Parameters
    ----------
    scores : mapping of str to Tensor
        Any float dtype and device.

    Returns
    -------
    list of ndarray of float32 or float64

    Raises
    ------
    ValueError
        There are no scores, or one is NaN or no float.

    Examples
    --------
    >>> flat_scores({"a": torch.tensor([[2.0, 1.0]]), "b": torch.tensor([3.0], dtype=torch.float64)})
    [array([2., 1.]), array([3.])]
    """
    if not scores:
        raise ValueError("scores: expected at least one parameter, got none")
    for name, score in scores.items():
        if not isinstance(score, torch.Tensor) or not score.is_floating_point():
            found = score.dtype if isinstance(score, torch.Tensor) else type(score).__name__
            raise ValueError(f"scores for {name!r}: expected a float tensor, got {found}")
        if missing := int(torch.isnan(score).sum()):
            raise ValueError(f"scores for {name!r}: {missing} of {score.numel()} are NaN, so they have no order")
    double = any(score.dtype == torch.float64 for score in scores.values())
    dtype = torch.float64 if double else torch.float32
    return [score.detach().to("cpu", dtype).reshape(-1).numpy() for score in scores.values()]


def ranked_prefixes(values: list[np.ndarray], shapes: list[Shape], scope: str, *, often: bool = False) -> Prefixes:
    """Return the function that gives the prefix of a length: which elements of each array are kept.

    Parameters
    ----------
    values : list of ndarray
        Flat scores of each parameter, all of one dtype. Elements of -inf are never kept.
    shapes : list of tuple of int
    scope : {"global", "layer", "erk", "igq"}
        "layer" shares every prefix out by `budgets.layer_budgets`.
    often : bool
        Sort first, because many prefixes will be asked for.

    Returns
    -------
    callable
        From a length to one flat ndarray of bool for each parameter.

    Examples
    --------
    >>> prefix = ranked_prefixes([np.array([1.0, 3.0]), np.array([2.0])], [(2,), (1,)], "global")
    >>> [kept.tolist() for kept in prefix(2)]
    [[False, True], [True]]
    """
    pools = [Pool(tuple(values))] if scope == "global" else [Pool((array,)) for array in values]
    if often:
        pools = [pool.sorted() for pool in pools]

    def prefix(length: int) -> list[np.ndarray]:
        shares = [length] if scope == "global" else layer_budgets(shapes, length, rule=scope)
        kept = [k for pool, share in zip(pools, shares, strict=True) for k in pool.top(share)]
        return without_excluded(kept, values)

    return prefix


def without_excluded(kept: list[np.ndarray], values: list[np.ndarray]) -> list[np.ndarray]:
    """Return the kept elements but for those whose score is -inf: these are out of the race.

    Parameters
    ----------
    kept : list of ndarray of bool
    values : list of ndarray
        The scores, of the same shapes.

    Returns
    -------
    list of ndarray of bool

    Examples
    --------
    >>> without_excluded([np.array([True, True])], [np.array([1.0, -np.inf])])
    [array([ True, False])]
    """
    return [k & (array > -np.inf) for k, array in zip(kept, values, strict=True)]


@dataclass(frozen=True)
class ConsistentCounter:
    """Counts the consistent elements of scored parameters, each element once however often it is used.

    Parameters
    ----------
    graph : NetGraph
    shapes : mapping of str to tuple of int
        Shapes of the scored parameters.
    positions : list of int or None
        Their connections, where each element has one use only.

    Examples
    --------
    >>> import netgraph as ng
    >>> counter = ConsistentCounter.of(ng.from_biadjacency([[[1, 1]], [[1]]]), {"weight1": (1, 2), "weight2": (1, 1)})
    >>> counter([np.array([True, False]), np.array([True])]), counter([np.array([True, False]), np.array([False])])
    (2, 0)
    """

    graph: NetGraph
    shapes: Mapping[str, Shape]
    positions: list[int] | None

    @classmethod
    def of(cls, graph: NetGraph, shapes: Mapping[str, Shape]) -> "ConsistentCounter":
        """Return the counter of a graph; a shape that the graph does not have is an error."""
        for name, shape in shapes.items():
            if name not in graph.parameters or graph.parameters[name].shape != shape:
                known = graph.parameters[name].shape if name in graph.parameters else "no such parameter"
                raise ValueError(f"scores for {name!r}: got shape {shape}, the graph has {known}")
        positions = [i for i, c in enumerate(graph.weighted) if c.parameter in shapes]
        once = all(len(graph.uses(name)) <= 1 and all(c.is_distinct for c in graph.uses(name)) for name in shapes)
        return cls(graph, shapes, positions if once else None)

    def __call__(self, kept: list[np.ndarray]) -> int:
        masks = {name: k.reshape(shape) for (name, shape), k in zip(self.shapes.items(), kept, strict=True)}
        changed, found = sweep_weights(self.graph, masks)
        if self.positions is not None:
            return int(found.consistent[self.positions].sum())
        consistent = trim(changed).masks()
        return sum(int(np.count_nonzero(consistent[name])) for name in masks if name in consistent)
