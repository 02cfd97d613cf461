"""What generators check of their numbers, and one integer seed for libraries that want one."""

import numpy as np

from netgraph.errors import InfeasibleDegreeError

__all__ = ["check_degree", "check_probability", "integer_seed"]


def check_degree(n_nodes: int, degree: int) -> None:
    """Raise unless a regular graph with these numbers exists.

    Parameters
    ----------
    n_nodes : int
        At least 1.
    degree : int
        At least 0, below `n_nodes`, and even if `n_nodes` is odd.

    Raises
    ------
    InfeasibleDegreeError

    Examples
    --------
    >>> check_degree(10, 3)
    >>> check_degree(9, 3)
    Traceback (most recent call last):
    ...
    netgraph.errors.InfeasibleDegreeError: 9 nodes of degree 3: their product is odd...
    """
    if n_nodes < 1 or not 0 <= degree < n_nodes:
        raise InfeasibleDegreeError(
            f"{n_nodes} nodes of degree {degree}: expected at least 1 node and 0 <= degree < n_nodes; take more nodes"
        )
    if n_nodes * degree % 2:
        raise InfeasibleDegreeError(
            f"{n_nodes} nodes of degree {degree}: their product is odd, but each edge has two ends; make one even"
        )


def integer_seed(seed: int | np.random.Generator | None) -> int | None:
    """Return the seed if it is an integer or None, else one drawn from the generator.

    Parameters
    ----------
    seed : int, numpy.random.Generator or None

    Returns
    -------
    int or None

    Examples
    --------
    >>> integer_seed(3), integer_seed(None), 0 <= integer_seed(np.random.default_rng(0)) < 2**32
    (3, None, True)
    """
    return int(seed.integers(2**32)) if isinstance(seed, np.random.Generator) else seed


def check_probability(probability: float) -> None:
    """Raise ValueError unless the number is in [0, 1].

    Parameters
    ----------
    probability : float

    Examples
    --------
    >>> check_probability(0.5)
    """
    if not 0 <= probability <= 1:
        raise ValueError(f"probability: expected a number in [0, 1], got {probability}")
