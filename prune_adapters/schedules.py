"""How sparsity grows while a network trains."""

__all__ = ["cubic_sparsity", "geometric_sparsity"]


def cubic_sparsity(progress: float, final: float, *, initial: float = 0.0) -> float:
    """Return the sparsity at a point of gradual pruning: fast at first, slow at the end.

    ``final + (initial - final) * (1 - progress) ** 3``

    Parameters
    ----------
    progress : float
        Fraction of the pruning time that has passed; clipped to [0, 1].
    final, initial : float
        Fractions to remove, in [0, 1].

    Returns
    -------
    float

    References
    ----------
    .. [1] Zhu and Gupta, To Prune, or Not to Prune, arXiv:1710.01878, 2017, eq. 1.

    Examples
    --------
    >>> [round(cubic_sparsity(progress, 0.8), 3) for progress in (0.0, 0.5, 1.0)]
    [0.0, 0.7, 0.8]
    """
    left = 1.0 - min(max(progress, 0.0), 1.0)
    return final + (initial - final) * left**3


def geometric_sparsity(done: int, rounds: int, final: float, *, initial: float = 0.0) -> float:
    """Return the sparsity after some of the rounds of iterative pruning: each keeps the same share of what is left.

    ``1 - (1 - initial) * ((1 - final) / (1 - initial)) ** (done / rounds)``

    Parameters
    ----------
    done, rounds : int
        Rounds that are over, and all of them.
    final, initial : float
        Fractions to remove, in [0, 1].

    Returns
    -------
    float

    Examples
    --------
    >>> [geometric_sparsity(done, 2, 0.75) for done in range(3)]
    [0.0, 0.5, 0.75]
    """
    if done >= rounds or initial >= 1.0:
        return final
    return 1.0 - (1.0 - initial) * ((1.0 - final) / (1.0 - initial)) ** (done / rounds)
