"""One call from a model to its masks, and masks in which every kept weight is consistent.

A mask from scores alone keeps weights that no longer join the input to the output: part of the budget is spent on
nothing. `consistent_masks` spends it all on weights that do:

1. It goes down the order of the scores as far as the consistent weights among those passed are not more than wanted,
   and drops the others.
2. One weight may wake several, so some places can be left. They go to the best weights from a live to a co-accessible
   unit. Each of these is consistent at once and wakes no other, because what it might wake has been dropped.
3. If there are not enough of those, no path may exist yet: the next weight in order completes the first ones, and with
   them more than are wanted. That weight is put first, and all starts anew.
"""

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import nn

from netgraph import NetGraph
from netgraph.reach import passes, sweep, trim
from prune_adapters.masks import parameter_names, resolve_name
from prune_adapters.prefixes import ConsistentCounter, Prefixes, flat_scores, ranked_prefixes
from prune_adapters.ranking import Pool
from prune_adapters.scores import magnitude_scores, random_scores
from prune_adapters.select import Selection, selected, warn_of_shortfall
from prune_adapters.trace import to_graph

__all__ = ["consistent_masks", "prune", "selected_consistently"]

Scores = Mapping[str, torch.Tensor]
Method = str | Scores | Callable[[nn.Module], Scores]
Masks = Mapping[str, np.ndarray]


def prune(
    model: nn.Module,
    example_inputs: torch.Tensor | Sequence[object] | Mapping[str, object],
    *,
    sparsity: float,
    method: Method = "magnitude",
    scope: str = "global",
    target: str = "direct",
    consistent: bool = True,
    seed: int | np.random.Generator | None = 0,
) -> Selection:
    """Return masks for `model` at a sparsity; the model is not changed, `apply_masks` does that.

    Parameters
    ----------
    model : Module
        Traced with `to_graph`, in eval mode. Masks that it remembers play no part, but the weights they removed are 0
        and so come last under "magnitude".
    example_inputs : Tensor, tuple or dict
        As `to_graph` takes them.
    sparsity : float
        Fraction to remove of all scored weights, in [0, 1].
    method : {"magnitude", "random"}, callable or mapping of str to Tensor
        What ranks the weights: `magnitude_scores`, `random_scores`, a function of the model that returns scores, or
        the scores themselves. The first two score all edge parameters but embedding tables.
    scope : {"global", "layer", "erk", "igq"}
        Who competes with whom, as in `masks_from_scores`.
    target : {"direct", "effective"}
        What the sparsity counts, as in `masks_from_scores` and `consistent_masks`.
    consistent : bool
        Keep only weights on a path from an input to an output (`consistent_masks`), or whatever the scores say
        (`masks_from_scores`). True drops the weights of constant units too, which changes what they hand on.
    seed : int, numpy Generator or None
        For "random".

    Returns
    -------
    Selection
        A dictionary of bool tensors, True = kept, in the order of ``named_parameters()`` and on the devices of the
        scores; with `requested` and `achieved` numbers and both sparsities, direct and effective.

    Raises
    ------
    TraceError
        The model cannot be followed; trace it with other options of `to_graph` and call `consistent_masks`.
    ValueError
        As `masks_from_scores` and `consistent_masks`; or `method` is none of the above.

    Warns
    -----
    UserWarning
        The target is missed by more than 1 % or 10 weights, whichever is more (`Selection.note`).

    Examples
    --------
    >>> model = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 1, bias=False))
    >>> _ = model[0].weight.data.copy_(torch.tensor([[5.0, 4.0], [3.0, 2.0]]))
    >>> _ = model[1].weight.data.copy_(torch.tensor([[0.1, 1.0]]))
    >>> masks = prune(model, torch.ones(1, 2), sparsity=0.5)
    >>> masks
    Selection: 3 of 6 weights kept, 3 requested (direct), 3 consistent
    >>> dict(masks)
    {'0.weight': tensor([[False, False],
            [ True,  True]]), '1.weight': tensor([[False,  True]])}

    By magnitude alone none of the three would be of use:

    >>> prune(model, torch.ones(1, 2), sparsity=0.5, consistent=False)
    Selection: 3 of 6 weights kept, 3 requested (direct), 0 consistent
    """
    graph = to_graph(model, example_inputs)
    scores = _scores(model, method, graph, seed)
    select = selected_consistently if consistent else selected
    chosen = select(scores, graph=graph, sparsity=sparsity, scope=scope, target=target)
    warn_of_shortfall(chosen)
    return chosen


def consistent_masks(
    scores: Scores, graph: NetGraph, *, sparsity: float, scope: str = "global", target: str = "direct"
) -> Selection:
    """Return masks in which every kept weight is consistent: it joins a live unit to a co-accessible one.

    With n elements ``n - round(sparsity * n)`` are wanted, over all parameters together in every scope. First come
    the consistent elements of the longest prefix of the order that has not more of them (a weight may wake several).

    Parameters
    ----------
    scores : mapping of str to Tensor
        As `masks_from_scores` takes them.
    graph : NetGraph
        Graph of the model. Parameters without scores keep the mask that they have in it.
    sparsity : float
        Fraction to remove, in [0, 1].
    scope : {"global", "layer", "erk", "igq"}
        Who competes with whom for the prefix, as in `masks_from_scores`.
    target : {"direct", "effective"}
        "effective" leaves it at that: it is what trimming leaves of `masks_from_scores`. "direct" gives the places left
        to the elements with the highest scores that join a live to a co-accessible unit, in whatever parameter. If
        there are too few of these, the next element of the order moves to its front, and the search starts anew.
        Fewer than wanted are kept only if that ends nowhere, as when every path needs more weights than are wanted.

    Returns
    -------
    Selection
        Kept and consistent elements are equally many: ``direct == effective == achieved``.

    Raises
    ------
    ValueError
        As `masks_from_scores`; or scores are given for a parameter without edges.

    Warns
    -----
    UserWarning
        The target is missed by more than 1 % or 10 elements, whichever is more.

    Examples
    --------
    The first two weights in order make a path. The next three are consistent only together, which is too many; so the
    third place goes to the one that joins another input to this path:

    >>> import netgraph as ng
    >>> graph = ng.from_biadjacency([[[1, 1], [1, 1]], [[1, 1]]])
    >>> first, second = graph.parameters
    >>> scores = {first: torch.tensor([[6.0, 1.0], [4.0, 3.0]]), second: torch.tensor([[5.0, 2.0]])}
    >>> dict(consistent_masks(scores, graph, sparsity=0.5))
    {'weight1': tensor([[ True,  True],
            [False, False]]), 'weight2': tensor([[ True, False]])}
    """
    chosen = selected_consistently(scores, graph, sparsity=sparsity, scope=scope, target=target)
    warn_of_shortfall(chosen)
    return chosen


def selected_consistently(
    scores: Scores, graph: NetGraph, *, sparsity: float, scope: str = "global", target: str = "direct"
) -> Selection:
    """Return what `consistent_masks` returns, without a warning where the target is missed.

    Parameters
    ----------
    scores, graph, sparsity, scope, target
        As `consistent_masks` takes them; it raises the same errors.

    Returns
    -------
    Selection

    Examples
    --------
    >>> import netgraph as ng
    >>> graph = ng.from_biadjacency([[[1, 1]]])
    >>> selected_consistently({"weight1": torch.tensor([[1.0, 2.0]])}, graph, sparsity=0.5)["weight1"]
    tensor([[False,  True]])
    """
    prefix = selected(scores, sparsity=sparsity, scope=scope, target="effective", graph=graph)
    _check_edges(scores, graph)
    if target == "direct":
        kept = _exact(scores, graph, scope, prefix.requested)
    elif target == "effective":
        kept = _settled(graph, {name: mask.cpu().numpy() for name, mask in prefix.items()})
    else:
        raise ValueError(f"target: expected one of 'direct', 'effective', got {target!r}")
    masks = {name: torch.from_numpy(k).to(scores[name].device) for name, k in kept.items()}
    return Selection(masks, target=target, requested=prefix.requested, effective=_count(kept))


def _exact(scores: Scores, graph: NetGraph, scope: str, wanted: int) -> Masks:
    """Return `wanted` consistent elements, or as many as can be found."""
    shapes = {name: tuple(score.shape) for name, score in scores.items()}
    values = [array.copy() for array in flat_scores(scores)]
    counter = ConsistentCounter.of(graph, shapes)
    best: Masks = {name: np.zeros(shape, dtype=bool) for name, shape in shapes.items()}
    while True:
        prefix = ranked_prefixes(values, list(shapes.values()), scope, often=True)
        lengths = range(sum(array.size for array in values) + 1)
        longest = bisect_right(lengths, wanted, key=lambda length: counter(prefix(length))) - 1
        kept = {name: k.reshape(shapes[name]) for name, k in zip(shapes, prefix(longest), strict=True)}
        best = max(best, _filled(_settled(graph, kept), scores, graph, wanted), key=_count)
        if _count(best) == wanted or longest == lengths[-1] or not _promote(prefix, longest, values):
            return best


def _promote(prefix: Prefixes, length: int, values: list[np.ndarray]) -> bool:
    """Put the element after a prefix, which wakes too many others, first; tell whether it was not there before."""
    for array, short, long in zip(values, prefix(length), prefix(length + 1), strict=True):
        waking = long & ~short
        if waking.any():
            known = bool(np.isposinf(array[waking]).all())
            array[waking] = np.inf
            return not known
    return False


def _settled(graph: NetGraph, kept: Masks) -> Masks:
    """Return the elements that stay consistent when all others are dropped.

    One pass is not always enough: a factor of a product that is only constant goes with the weights it came from.
    """
    consistent = trim(graph.with_masks(kept)).masks()
    fewer = {name: consistent[name] for name in kept}
    return fewer if _count(fewer) == _count(kept) else _settled(graph, fewer)


def _filled(kept: Masks, scores: Scores, graph: NetGraph, wanted: int) -> Masks:
    """Return the settled elements `kept` with the best of those that can be added without waking others."""
    free = _addable(kept, graph)
    values = flat_scores({name: scores[name] for name in kept})
    free = {n: f & (v > -np.inf).reshape(f.shape) for (n, f), v in zip(free.items(), values, strict=True)}
    pool = Pool(tuple(v[f.reshape(-1)] for v, f in zip(values, free.values(), strict=True)))
    added = pool.top(min(wanted - _count(kept), pool.size))
    filled = {name: k.copy() for name, k in kept.items()}
    for name, chosen in zip(kept, added, strict=True):
        filled[name][free[name]] = chosen
    return filled


def _addable(kept: Masks, graph: NetGraph) -> Masks:
    """Return which removed elements would join a live unit to a co-accessible one."""
    found = sweep(graph.with_masks(kept))
    whole = graph.with_masks({name: np.ones_like(k) for name, k in kept.items()})
    joining = whole.with_bits(passes.restrict(whole, found.accessible, found.co_accessible & whole.gate)).masks()
    return {name: joining[name] & ~k for name, k in kept.items()}


def _scores(model: nn.Module, method: Method, graph: NetGraph, seed: int | np.random.Generator | None) -> Scores:
    """Return the scores in the order of ``named_parameters()``."""
    if method == "magnitude":
        return magnitude_scores(model, graph=graph)
    if method == "random":
        return random_scores(model, seed=seed, graph=graph)
    scores = method(model) if callable(method) else method
    if not isinstance(scores, Mapping):
        raise ValueError(f"method: expected 'magnitude', 'random', a function or scores, got {scores!r}")
    names = parameter_names(model)
    own = {resolve_name(name, names): score for name, score in scores.items()}
    return {name: own[name] for name in names if name in own}


def _check_edges(scores: Scores, graph: NetGraph) -> None:
    for name in scores:
        if name not in graph.edge_parameters:
            raise ValueError(
                f"scores for {name!r}: no edge of the graph lies in it, so that none of it is consistent; "
                "leave it out, or use masks_from_scores (consistent=False)"
            )


def _count(kept: Masks) -> int:
    return sum(int(np.count_nonzero(k)) for k in kept.values())
