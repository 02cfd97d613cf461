"""A limit on the cost of a sub-network, and how candidates are brought under it."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from prune_adapters.graph_pruning.space.widths import Counts

if TYPE_CHECKING:
    from prune_adapters.graph_pruning.space.space import WidthSpace

__all__ = ["WidthBudget"]

Ratios = Sequence[float]


@dataclass(frozen=True)
class WidthBudget:
    """The most that a sub-network may cost.

    Parameters
    ----------
    space : WidthSpace
    cost : callable
        Takes counts, returns a number that does not fall as a count grows: ``space.macs``, ``space.parameters``, a
        table of measured latencies.
    limit : float
        In the unit of `cost`.
    lowest : float
        The smallest ratio of any width, in (0, 1].

    Raises
    ------
    ValueError
        `lowest` is not in (0, 1], `limit` is not a number above 0, or the widths at their lowest cost more than it.

    Examples
    --------
    >>> import torch
    >>> from prune_adapters.graph_pruning.space.space import width_space
    >>> model = torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2))
    >>> space = width_space(model, torch.ones(1, 3))
    >>> budget = WidthBudget(space, space.macs, limit=0.5 * space.macs(space.full))
    >>> budget.project([1.0]), budget.fits((4,)), budget.fits((5,))
    ((4,), True, False)
    """

    space: "WidthSpace"
    cost: Callable[[Counts], float]
    limit: float
    lowest: float = 0.1

    def __post_init__(self) -> None:
        if not 0 < self.lowest <= 1:
            raise ValueError(f"lowest: expected a ratio in (0, 1], got {self.lowest}")
        if not 0 < self.limit < math.inf:
            raise ValueError(f"limit: expected a number above 0, in the unit of cost, got {self.limit}")
        smallest = self.cost(self.smallest)
        if smallest > self.limit:
            raise ValueError(
                f"limit {self.limit:,.6g}: the widths at their lowest ratio {self.lowest} cost {smallest:,.6g} already "
                f"(the full network {self.cost(self.space.full):,.6g}); raise limit or lower lowest"
            )

    @property
    def smallest(self) -> Counts:
        """The counts with all widths at their lowest ratio."""
        return self.space.counts([self.lowest] * len(self.space.widths))

    @property
    def uniform(self) -> Counts:
        """The counts that keep the same share of every width, as near to the limit as it goes."""
        return self.project([1.0] * len(self.space.widths))

    def fits(self, counts: Counts) -> bool:
        """Return whether a sub-network costs no more than the limit.

        Parameters
        ----------
        counts : tuple of int

        Returns
        -------
        bool
        """
        return self.cost(counts) <= self.limit

    def project(self, ratios: Ratios) -> Counts:
        """Return the counts for the ratios times one common factor: as near to the limit from below as it goes.

        Parameters
        ----------
        ratios : sequence of float
            Above 0. Only their proportions count: they are scaled up as well as down, and clipped to [lowest, 1].

        Returns
        -------
        tuple of int
            Where several widths grow at the same factor and there is no room for all, the earlier ones do.

        Raises
        ------
        ValueError
            There is not one positive, finite ratio for each width.

        Notes
        -----
        Bisection down to neighbouring factors: about 60 calls of `cost`.
        """
        self._check(ratios)
        low, high = (1 - 1e-9) * self.lowest / max(ratios), 1 / min(ratios)  # at low all are clipped, rounding or not
        if self.fits(counts := self._scaled(ratios, high)):
            return counts
        low, high = _bisected(lambda factor: self.fits(self._scaled(ratios, factor)), low, high)
        return self._filled(self._scaled(ratios, low), self._scaled(ratios, high))

    def wall(self, place: int, earlier: Ratios, ratio: float) -> float:
        """Return the ratio, lowered as far as the budget needs with all later widths at their lowest (AMC [1]).

        Parameters
        ----------
        place : int
            Which width is decided.
        earlier : sequence of float
            Ratios of the widths before it, each of which went through here.
        ratio : float
            Wanted; taken into [lowest, 1].

        Returns
        -------
        float

        Raises
        ------
        ValueError
            `earlier` does not hold `place` ratios, or they leave no room for the later widths.

        References
        ----------
        .. [1] He et al., "AMC: AutoML for Model Compression and Acceleration on Mobile Devices", 2018, algorithm 1.
        """
        if len(earlier) != place:
            raise ValueError(f"earlier: expected {place} ratios, one for each width before it, got {len(earlier)}")
        wanted = min(max(ratio, self.lowest), 1.0)
        if self._has_room(earlier, wanted):
            return wanted
        if not self._has_room(earlier, self.lowest):
            raise ValueError(
                f"earlier: no ratio of width {place} fits after {list(earlier)}; take each of them from wall"
            )
        return _bisected(lambda ratio: self._has_room(earlier, ratio), self.lowest, wanted)[0]

    def _check(self, ratios: Ratios) -> None:
        wanted = len(self.space.widths)
        if len(ratios) != wanted or not all(0 < ratio < math.inf for ratio in ratios):
            raise ValueError(f"ratios: expected {wanted} positive numbers, one for each width, got {list(ratios)}")

    def _scaled(self, ratios: Ratios, factor: float) -> Counts:
        return self.space.counts([min(max(factor * ratio, self.lowest), 1.0) for ratio in ratios])

    def _filled(self, low: Counts, high: Counts) -> Counts:
        """Return the counts below, with those above where they fit, one width after the other."""
        for place, count in enumerate(high):
            raised = (*low[:place], count, *low[place + 1 :])
            low = raised if self.fits(raised) else low
        return low

    def _has_room(self, earlier: Ratios, ratio: float) -> bool:
        later = len(self.space.widths) - len(earlier) - 1
        return self.fits(self.space.counts([*earlier, ratio, *[self.lowest] * later]))


def _bisected(fits: Callable[[float], bool], low: float, high: float) -> tuple[float, float]:
    """Return neighbouring numbers between a low one, which is taken to fit, and a high one, which does not."""
    while low < (middle := (low + high) / 2) < high:
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low, high
