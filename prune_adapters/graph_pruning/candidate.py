"""How good a sub-network is."""

from typing import NamedTuple

__all__ = ["Evaluation"]


class Evaluation(NamedTuple):
    """What a sub-network reaches on held-out data.

    Parameters
    ----------
    loss : float
        Mean cross entropy, natural logarithm.
    accuracy : float
        Fraction in [0, 1].

    Examples
    --------
    >>> Evaluation(0.5, 0.8).accuracy
    0.8
    """

    loss: float
    accuracy: float
