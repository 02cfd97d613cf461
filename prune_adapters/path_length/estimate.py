"""Rank correlation and slope of a line, and what is left of them when the seeds are drawn anew."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isfinite

import numpy as np

__all__ = ["Estimate", "accuracy_slope", "checked_accuracies", "rank_correlation", "spearman"]

DRAWS = 2000
DIGITS = 12
"""Decimals of means: the sums of one row in another order differ behind, and equal graphs are to stay equal."""

Accuracies = np.ndarray | Sequence[Sequence[float]]


@dataclass(frozen=True)
class Estimate:
    """A number found from mean accuracies, and its 95 % bootstrap interval over seeds; print it.

    Parameters
    ----------
    value : float
        nan where there is none.
    low, high : float
        The middle 95 % of it when as many seeds are drawn anew, the graphs being as they are; nan with one seed.

    Examples
    --------
    >>> print(Estimate(-0.5, -0.75, 0.25), Estimate(-0.5, -0.75, 0.25).holds_zero)
    -0.50 [-0.75, +0.25] True
    """

    value: float
    low: float
    high: float

    @property
    def holds_zero(self) -> bool:
        """Whether 0 is in the interval, or there is no interval."""
        return not (self.high < 0 or self.low > 0)

    def __str__(self) -> str:
        if not isfinite(self.value):
            return "undefined"
        return f"{self.value:+.2f} " + (
            f"[{self.low:+.2f}, {self.high:+.2f}]" if isfinite(self.low) else "(no interval)"
        )


def spearman(x: np.ndarray | Sequence[float], y: np.ndarray | Sequence[float]) -> float:
    """Return Spearman's rank correlation, in [-1, 1]; nan if one side is constant.

    Parameters
    ----------
    x, y : sequence of float
        As many of both. Equal numbers share their mean rank.

    Returns
    -------
    float

    Examples
    --------
    >>> round(spearman([1, 2, 3, 4], [10, 30, 20, 40]), 12)
    0.8
    """
    return float(_rank_correlations(np.asarray(x), np.asarray(y)[None])[0])


def rank_correlation(
    x: np.ndarray | Sequence[float], accuracies: Accuracies, *, seed: int | np.random.Generator | None = 0
) -> Estimate:
    """Return Spearman's rank correlation of a measure of graphs with mean accuracy, and its interval over seeds.

    Parameters
    ----------
    x : sequence of float
        A number for each graph, such as its path length.
    accuracies : ndarray, shape (n_graphs, n_seeds)
        Seed j is the same in each row, so whole columns are drawn anew.
    seed : int, numpy.random.Generator or None
        Of the draws.

    Returns
    -------
    Estimate

    Raises
    ------
    ValueError
        The shapes do not fit, or an accuracy is missing.

    References
    ----------
    Efron, "Bootstrap Methods: Another Look at the Jackknife", Annals of Statistics 7 (1979): percentile interval.

    Examples
    --------
    >>> print(rank_correlation([4.0, 3.0, 2.0], [[0.5, 0.6], [0.6, 0.7], [0.8, 0.9]]))
    -1.00 [-1.00, -1.00]
    """
    return _estimate(_rank_correlations, x, accuracies, seed)


def accuracy_slope(
    x: np.ndarray | Sequence[float], accuracies: Accuracies, *, seed: int | np.random.Generator | None = 0
) -> Estimate:
    """Return the slope of the line of least squares through all seeds of all graphs, and its interval over seeds.

    Parameters
    ----------
    x : sequence of float
        A number for each graph, such as its path length.
    accuracies : ndarray, shape (n_graphs, n_seeds)
        As for `rank_correlation`.
    seed : int, numpy.random.Generator or None
        Of the draws.

    Returns
    -------
    Estimate
        In accuracy for each unit of `x`.

    Raises
    ------
    ValueError
        As for `rank_correlation`.

    Examples
    --------
    >>> print(accuracy_slope([4.0, 3.0, 2.0], [[50, 60], [55, 65], [60, 70]]))
    -5.00 [-5.00, -5.00]
    """
    return _estimate(_slopes, x, accuracies, seed)


def checked_accuracies(x: np.ndarray, accuracies: Accuracies) -> np.ndarray:
    """Return accuracies as an array with a row for each number in `x`; raise ValueError where one is missing."""
    own = np.asarray(accuracies, dtype=float)
    if own.ndim != 2 or len(own) != len(x) or not own.size:
        raise ValueError(f"accuracies: expected shape ({len(x)}, seeds), got {own.shape}; a row is a graph")
    if not np.isfinite(own).all():
        graph, seed = np.argwhere(~np.isfinite(own))[0].tolist()
        raise ValueError(
            f"accuracies: expected numbers, got nan or inf for graph {graph}, seed {seed}; leave out seeds that not "
            "all graphs have"
        )
    return own


def _rank_correlations(x: np.ndarray, means: np.ndarray) -> np.ndarray:
    from scipy.stats import rankdata  # scipy.stats takes half a second

    one, others = rankdata(x), rankdata(means, axis=1)
    one, others = one - one.mean(), others - others.mean(axis=1, keepdims=True)
    return _quotient(others @ one, np.sqrt((one @ one) * np.square(others).sum(axis=1))).clip(-1, 1)


def _slopes(x: np.ndarray, means: np.ndarray) -> np.ndarray:
    """Return those of the means, which have the same line as all seeds: each graph has as many."""
    away = x - x.mean() if np.ptp(x) else np.zeros(len(x))
    return _quotient((means - means.mean(axis=1, keepdims=True)) @ away, np.full(len(means), away @ away))


def _quotient(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    return np.divide(above, below, out=np.full(len(above), np.nan), where=below > 0)


def _estimate(
    statistics: Callable[[np.ndarray, np.ndarray], np.ndarray],
    x: np.ndarray | Sequence[float],
    accuracies: Accuracies,
    seed: int | np.random.Generator | None,
) -> Estimate:
    x = np.asarray(x, dtype=float)
    own = checked_accuracies(x, accuracies)
    (value,) = statistics(x, own.mean(axis=1).round(DIGITS)[None]).tolist()
    n_seeds = own.shape[1]
    if n_seeds == 1:
        return Estimate(value, np.nan, np.nan)
    drawn = own[:, np.random.default_rng(seed).integers(n_seeds, size=(DRAWS, n_seeds))]
    found = statistics(x, drawn.mean(axis=2).round(DIGITS).T)
    low, high = np.nanpercentile(found, [2.5, 97.5]).tolist() if np.isfinite(found).any() else (np.nan, np.nan)
    return Estimate(value, low, high)
