"""Spearman's rank correlation and the slope of a line, and what is left of them when the seeds are drawn anew."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

__all__ = ["Estimate", "correlation", "slope", "spearman"]

DRAWS = 2000


@dataclass(frozen=True)
class Estimate:
    """A number found from the mean accuracies, and the middle 95 % of it when seeds are drawn anew."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:+.2f} [{self.low:+.2f}, {self.high:+.2f}]"


def spearman(x: np.ndarray, y: np.ndarray) -> float:
    """Return the rank correlation, nan if one side is constant."""
    ranks = rankdata(x), rankdata(y)
    return float(np.corrcoef(*ranks)[0, 1]) if all(np.ptp(r) > 0 for r in ranks) else float("nan")


def correlation(x: np.ndarray, accuracies: np.ndarray, *, seed: int = 0) -> Estimate:
    """Return the rank correlation and its bootstrap interval over seeds, the graphs being as they are."""
    return _estimate(spearman, x, accuracies, seed)


def slope(x: np.ndarray, accuracies: np.ndarray, *, seed: int = 0) -> Estimate:
    """Return the slope of the line of least squares through all seeds, with the same interval."""
    return _estimate(_slope, x, accuracies, seed)


def _slope(x: np.ndarray, y: np.ndarray) -> float:
    """Return it for the means, which have the same line as all seeds: each graph has as many."""
    away = x - x.mean()
    return float(away @ y / (away @ away)) if np.ptp(x) > 0 else float("nan")


def _estimate(
    statistic: Callable[[np.ndarray, np.ndarray], float], x: np.ndarray, accuracies: np.ndarray, seed: int
) -> Estimate:
    rng, n_seeds = np.random.default_rng(seed), accuracies.shape[1]
    means = accuracies[:, rng.integers(n_seeds, size=(DRAWS, n_seeds))].mean(axis=2)
    drawn = [statistic(x, mean) for mean in means.T]
    low, high = np.nanpercentile(drawn, [2.5, 97.5]) if np.isfinite(drawn).any() else (np.nan, np.nan)
    return Estimate(statistic(x, accuracies.mean(axis=1)), float(low), float(high))
