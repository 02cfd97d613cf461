"""Spearman's rank correlation, and what is left of it when the seeds are drawn anew."""

from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

__all__ = ["Correlation", "correlation", "spearman"]

DRAWS = 2000


@dataclass(frozen=True)
class Correlation:
    """Spearman's rank correlation with the mean accuracy, and the middle 95 % of it when seeds are drawn anew."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:+.2f} [{self.low:+.2f}, {self.high:+.2f}]"


def spearman(x: np.ndarray, y: np.ndarray) -> float:
    """Return the rank correlation, nan if one side is constant."""
    ranks = rankdata(x), rankdata(y)
    return float(np.corrcoef(*ranks)[0, 1]) if all(np.ptp(r) > 0 for r in ranks) else float("nan")


def correlation(x: np.ndarray, accuracies: np.ndarray, *, seed: int = 0) -> Correlation:
    """Return the correlation and its bootstrap interval over seeds, the graphs being as they are."""
    rng, n_seeds = np.random.default_rng(seed), accuracies.shape[1]
    means = accuracies[:, rng.integers(n_seeds, size=(DRAWS, n_seeds))].mean(axis=2)
    drawn = [spearman(x, mean) for mean in means.T]
    low, high = np.nanpercentile(drawn, [2.5, 97.5]) if np.isfinite(drawn).any() else (np.nan, np.nan)
    return Correlation(spearman(x, accuracies.mean(axis=1)), float(low), float(high))
