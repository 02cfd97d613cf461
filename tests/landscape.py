"""A search space without a network: widths with a known best choice, whose loss and cost are sums over the widths."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from prune_adapters.graph_pruning.search.candidate import Evaluation
from prune_adapters.graph_pruning.space.budget import WidthBudget
from prune_adapters.graph_pruning.space.widths import Counts


@dataclass(frozen=True)
class Named:
    name: str
    size: int


@dataclass(frozen=True)
class Sizes:
    """Stands for a WidthSpace: as much of it as a search asks for."""

    full: Counts
    prices: tuple[int, ...]
    """What one channel of each width costs."""
    divisor: int = 1

    @property
    def widths(self) -> tuple[Named, ...]:
        return tuple(Named(f"width{place}", size) for place, size in enumerate(self.full))

    def counts(self, ratios: Sequence[float]) -> Counts:
        return tuple(max(1, int(ratio * size + 0.5)) for ratio, size in zip(ratios, self.full, strict=True))

    def ratios(self, counts: Counts) -> tuple[float, ...]:
        return tuple(count / size for count, size in zip(counts, self.full, strict=True))

    def macs(self, counts: Counts) -> int:
        return sum(price * count for price, count in zip(self.prices, counts, strict=True))

    def chained(self, counts: Counts) -> int:
        """What layers in a row cost: each reads the width before it."""
        return sum(a * b for a, b in zip((3, *counts), (*counts, 10), strict=True))


@dataclass(frozen=True)
class Slopes:
    """An objective: every width adds a term that falls ever more slowly as it grows; can be pickled."""

    full: Counts
    heights: tuple[float, ...]
    rates: tuple[float, ...]

    def __call__(self, counts: Counts) -> Evaluation:
        loss = self.at(np.array(counts) / self.full)
        return Evaluation(loss, float(np.exp(-loss)))

    def at(self, ratios: np.ndarray) -> float:
        return float(np.sum(self.heights * np.exp(-np.array(self.rates) * ratios)))

    def least(self, budget: WidthBudget) -> float:
        """Return the least loss within a budget of separate prices, by bisection of what a unit of cost is worth."""
        prices = np.array(budget.space.prices) * self.full
        low, high = -30.0, 30.0
        for _ in range(100):
            worth = (low + high) / 2
            wanted = np.log(np.array(self.heights) * self.rates / (np.exp(worth) * prices / prices.sum())) / self.rates
            ratios = np.clip(wanted, budget.lowest, 1)
            low, high = (worth, high) if prices @ ratios > budget.limit else (low, worth)
        return self.at(ratios)


def slopes(seed: int = 0, *, n: int = 12, size: int = 64) -> tuple[Slopes, WidthBudget]:
    """Return a landscape of `n` widths with random slopes and prices, and a budget of 40 % of the whole cost."""
    rng = np.random.default_rng(seed)
    space = Sizes((size,) * n, tuple(rng.integers(5, 40, n).tolist()))
    objective = Slopes(space.full, tuple(np.exp(rng.normal(size=n)).tolist()), tuple(rng.uniform(2, 6, n).tolist()))
    return objective, WidthBudget(space, space.macs, 0.4 * space.macs(space.full))
