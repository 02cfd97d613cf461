"""From scores to masks with an exact number of kept weights.

Every scope puts the weights into one order and keeps a prefix of it. "global": by score over all parameters. The
others share the kept number out over the parameters (`prune_adapters.budgets`), and go by score inside each. Equal
scores: the earlier parameter in the order of the scores, then the lower flat index is kept.

Because a longer prefix contains the shorter ones, the number of consistent weights grows with it, and a target for the
effective sparsity is found by bisection.
"""

import warnings
from bisect import bisect_left
from collections.abc import Callable, Mapping
from functools import lru_cache

import numpy as np
import torch

from netgraph import NetGraph
from prune_adapters.budgets import RULES
from prune_adapters.prefixes import ConsistentCounter, flat_scores, ranked_prefixes, without_excluded
from prune_adapters.ranking import Pool

__all__ = ["Selection", "masks_from_scores", "selected", "warn_of_shortfall"]

SCOPES = ("global", *RULES)
TARGETS = ("direct", "effective")


class Selection(dict[str, torch.Tensor]):
    """Masks, and how their number of kept weights compares with what was asked for.

    Parameters
    ----------
    masks : mapping of str to Tensor of bool
        True = kept.
    target : {"direct", "effective"}
        What `requested` counts.
    requested : int
        Elements that were to be kept.
    effective : int, optional
        Consistent elements, where a graph was given.

    Examples
    --------
    >>> chosen = masks_from_scores({"w": torch.tensor([1.0, 3.0, 2.0, 4.0])}, sparsity=0.5)
    >>> chosen
    Selection: 2 of 4 weights kept, 2 requested (direct)
    >>> chosen["w"]
    tensor([False,  True, False,  True])
    """

    def __init__(
        self, masks: Mapping[str, torch.Tensor], *, target: str, requested: int, effective: int | None = None
    ) -> None:
        super().__init__(masks)
        self.target = target
        self.requested = requested
        self.effective = effective
        self.total = sum(mask.numel() for mask in masks.values())
        self.direct = sum(int(torch.count_nonzero(mask)) for mask in masks.values())

    @property
    def achieved(self) -> int:
        """Number of elements that count towards the target: consistent ones if it is effective, else kept ones."""
        return self.direct if self.target == "direct" or self.effective is None else self.effective

    @property
    def requested_sparsity(self) -> float:
        """Fraction of elements that was to be removed, in [0, 1]."""
        return 1.0 - self.requested / self.total if self.total else 0.0

    @property
    def sparsity(self) -> float:
        """Fraction of elements that the masks remove, in [0, 1]."""
        return 1.0 - self.direct / self.total if self.total else 0.0

    @property
    def effective_sparsity(self) -> float | None:
        """Fraction of elements that are not consistent, in [0, 1]; None where no graph was given."""
        if self.effective is None:
            return None
        return 1.0 - self.effective / self.total if self.total else 0.0

    @property
    def note(self) -> str | None:
        """What fell short, if the target is missed by more than 1 % or 10 elements, whichever is more."""
        short = self.requested - self.achieved
        if short <= max(0.01 * self.requested, 10):
            return None
        return (
            f"{self.target} target missed: {self.requested} weights requested, {self.achieved} achieved "
            f"({short} fewer); one more weight in the order of the scores overshoots, or no weight is left"
        )

    def __repr__(self) -> str:
        text = f"Selection: {self.direct} of {self.total} weights kept, {self.requested} requested ({self.target})"
        return text if self.effective is None else f"{text}, {self.effective} consistent"


def masks_from_scores(
    scores: Mapping[str, torch.Tensor],
    *,
    sparsity: float,
    scope: str = "global",
    target: str = "direct",
    graph: NetGraph | None = None,
) -> Selection:
    """Return masks that keep the weights with the highest scores, at an exact sparsity.

    Parameters
    ----------
    scores : mapping of str to Tensor
        Any float dtype and device; higher = keep. Their order decides between equal scores, as does the flat index:
        the earlier weight is kept. -0.0 equals 0.0; -inf takes an element out of the race, so that it is never kept.
    sparsity : float
        Fraction to remove, in [0, 1]. With n elements ``round(sparsity * n)`` go, Python's round (halves to even).
    scope : {"global", "layer", "erk", "igq"}
        Who competes with whom. "global": all n elements. "layer": the elements of each parameter, n its size.
        "erk" and "igq" remove ``round(sparsity * n)`` of all elements, shared out by `budgets.layer_budgets`.
    target : {"direct", "effective"}
        "direct" counts kept elements. "effective" counts consistent ones, each once however often its parameter is
        used, and keeps the shortest prefix of the order that has the largest count not above
        ``n - round(sparsity * n)``. One weight may wake several, so this count may be smaller: compare `requested`
        and `achieved`. The scope "layer" then shares every prefix out by `budgets.layer_budgets`.
    graph : NetGraph, optional
        Graph of the model, needed for "effective". Parameters without scores keep the mask that they have in it.

    Returns
    -------
    Selection
        A dictionary of bool tensors on the devices of the scores, with `requested`, `achieved` and both counts.

    Raises
    ------
    ValueError
        A score is NaN or no float, `sparsity` is outside [0, 1], a word is unknown, there are no scores, the graph
        is missing, or it does not have a scored parameter in this shape.

    Warns
    -----
    UserWarning
        The target is missed by more than 1 % or 10 elements, whichever is more (`Selection.note`).

    Notes
    -----
    "direct" reads the scores about five times and needs a byte an element (`prune_adapters.ops.keep_largest`).
    "effective" needs a sorted copy of the scores and about ``log2(n)`` sweeps.

    Examples
    --------
    >>> scores = {"a": torch.tensor([5.0, 1.0]), "b": torch.tensor([[3.0, 1.0]])}
    >>> dict(masks_from_scores(scores, sparsity=0.25))
    {'a': tensor([True, True]), 'b': tensor([[ True, False]])}
    >>> dict(masks_from_scores(scores, sparsity=0.5, scope="layer"))
    {'a': tensor([ True, False]), 'b': tensor([[ True, False]])}
    """
    chosen = selected(scores, sparsity=sparsity, scope=scope, target=target, graph=graph)
    warn_of_shortfall(chosen)
    return chosen


def selected(
    scores: Mapping[str, torch.Tensor],
    *,
    sparsity: float,
    scope: str = "global",
    target: str = "direct",
    graph: NetGraph | None = None,
) -> Selection:
    """Return what `masks_from_scores` returns, without a warning where the target is missed.

    Parameters
    ----------
    scores, sparsity, scope, target, graph
        As `masks_from_scores` takes them; it raises the same errors.

    Returns
    -------
    Selection

    Examples
    --------
    >>> selected({"a": torch.tensor([2.0, 1.0])}, sparsity=0.5)["a"]
    tensor([ True, False])
    """
    _check_words(sparsity, scope, target, graph)
    values = flat_scores(scores)
    shapes = {name: tuple(score.shape) for name, score in scores.items()}
    counter = None if graph is None else ConsistentCounter.of(graph, shapes)
    sizes = [array.size for array in values]
    requested = sum(sizes) - round(sparsity * sum(sizes))

    if target == "effective":
        assert counter is not None
        ranked = ranked_prefixes(values, list(shapes.values()), scope, often=True)
        kept = ranked(_effective_length(lambda length: counter(ranked(length)), requested, sum(sizes)))
    elif scope == "layer":
        shares = [size - round(sparsity * size) for size in sizes]
        requested = sum(shares)
        kept = [Pool((array,)).top(share)[0] for array, share in zip(values, shares, strict=True)]
        kept = without_excluded(kept, values)
    else:
        kept = ranked_prefixes(values, list(shapes.values()), scope)(requested)
    effective = None if counter is None else counter(kept)
    return Selection(_tensors(scores, kept), target=target, requested=requested, effective=effective)


def warn_of_shortfall(chosen: Selection) -> None:
    """Warn the caller of the caller if `chosen` misses its target by more than 1 % or 10 elements.

    Parameters
    ----------
    chosen : Selection
    """
    if chosen.note:
        warnings.warn(chosen.note, stacklevel=3)


def _effective_length(count: Callable[[int], int], wanted: int, total: int) -> int:
    """Return the shortest length that has the largest count not above `wanted`; `count` never falls."""
    known = lru_cache(maxsize=None)(count)
    length = bisect_left(range(total + 1), wanted, lo=wanted, key=known)
    if length <= total and known(length) == wanted:
        return length
    longest = length - 1
    return bisect_left(range(total + 1), known(longest), lo=known(longest), hi=longest, key=known)


def _check_words(sparsity: float, scope: str, target: str, graph: NetGraph | None) -> None:
    if not 0.0 <= sparsity <= 1.0:
        raise ValueError(f"sparsity: expected the fraction to remove, in [0, 1], got {sparsity}")
    for label, word, known in (("scope", scope, SCOPES), ("target", target, TARGETS)):
        if word not in known:
            raise ValueError(f"{label}: expected one of {', '.join(map(repr, known))}, got {word!r}")
    if target == "effective" and graph is None:
        raise ValueError("target 'effective': expected a graph to count in; pass graph=to_graph(model, example_inputs)")


def _tensors(scores: Mapping[str, torch.Tensor], kept: list[np.ndarray]) -> dict[str, torch.Tensor]:
    pairs = zip(scores.items(), kept, strict=True)
    return {name: torch.from_numpy(k).reshape(score.shape).to(score.device) for (name, score), k in pairs}
