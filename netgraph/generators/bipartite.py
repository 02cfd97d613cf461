"""Random bipartite layers as biadjacency matrices (out, in): biregular ones, and D random edges a unit."""

import numpy as np

from netgraph.errors import InfeasibleDegreeError

__all__ = ["biregular", "random_d_out"]


def biregular(
    n_sources: int, n_targets: int, degree: int, *, seed: int | np.random.Generator | None = None
) -> np.ndarray:
    """Return a random layer in which all targets have one in-degree and all sources one out-degree.

    The out-degrees are n_targets * degree / n_sources; where that is no integer they differ by one, and chance says
    which sources have the larger one.

    Parameters
    ----------
    n_sources, n_targets : int
        At least 1.
    degree : int
        Edges into each target, 0 to `n_sources`.
    seed : int, numpy.random.Generator or None

    Returns
    -------
    ndarray of bool, shape (n_targets, n_sources)
        As `from_biadjacency` takes it. Random, but not drawn evenly from all such matrices.

    Raises
    ------
    InfeasibleDegreeError
        The degree is outside its range.

    Examples
    --------
    >>> layer = biregular(6, 4, 3, seed=0)
    >>> layer.sum(axis=1).tolist(), layer.sum(axis=0).tolist()
    ([3, 3, 3, 3], [2, 2, 2, 2, 2, 2])
    """
    _check(n_sources, n_targets, degree, n_sources)
    rng = np.random.default_rng(seed)
    if 2 * degree > n_sources:
        return ~biregular(n_sources, n_targets, n_sources - degree, seed=rng)
    each, more = divmod(n_targets * degree, n_sources)
    counts = each + (rng.permutation(n_sources) < more)
    drawn = rng.permutation(np.repeat(np.arange(n_sources), counts)).reshape(n_targets, degree)
    return _without_repeats(drawn, n_sources, rng)


def random_d_out(
    n_sources: int, n_targets: int, degree: int, *, seed: int | np.random.Generator | None = None
) -> np.ndarray:
    """Return an X-Net layer [1]_: each unit of the smaller side is joined to random units of the other side.

    Parameters
    ----------
    n_sources, n_targets : int
        At least 1. Where they are equal the targets choose.
    degree : int
        Edges of each unit of the smaller side, 0 to the size of the larger side.
    seed : int, numpy.random.Generator or None

    Returns
    -------
    ndarray of bool, shape (n_targets, n_sources)

    Raises
    ------
    InfeasibleDegreeError
        The degree is outside its range.

    References
    ----------
    .. [1] Prabhu, Varma and Namboodiri, "Deep Expander Networks" (ECCV 2018), section 3: such graphs are expanders
       with high probability.

    Examples
    --------
    >>> random_d_out(6, 3, 2, seed=0).sum(axis=1).tolist(), random_d_out(3, 6, 2, seed=0).sum(axis=0).tolist()
    ([2, 2, 2], [2, 2, 2])
    """
    small, large = sorted((n_sources, n_targets))
    _check(n_sources, n_targets, degree, large)
    order = np.random.default_rng(seed).random((small, large)).argsort(axis=1)
    chosen = np.zeros((small, large), dtype=bool)
    np.put_along_axis(chosen, order[:, :degree], True, axis=1)
    return chosen if n_targets == small else chosen.T.copy()


def _check(n_sources: int, n_targets: int, degree: int, most: int) -> None:
    if min(n_sources, n_targets) < 1 or not 0 <= degree <= most:
        raise InfeasibleDegreeError(
            f"{n_sources} sources, {n_targets} targets, degree {degree}: expected at least 1 of each and a degree "
            f"from 0 to {most}"
        )


def _without_repeats(drawn: np.ndarray, n_sources: int, rng: np.random.Generator) -> np.ndarray:
    """Return the matrix of the drawn sources of each target, after exchanging those that a target has twice."""
    joined = np.zeros((len(drawn), n_sources), dtype=bool)
    twice = []
    for target, row in enumerate(drawn.tolist()):
        for source in row:
            if joined[target, source]:
                twice.append((target, source))
            joined[target, source] = True
    for target, source in twice:
        _exchange(joined, target, source, rng)
    return joined


def _exchange(joined: np.ndarray, target: int, source: int, rng: np.random.Generator) -> None:
    """Give a target one more source and a source one more target by way of an edge between two others."""
    for other in rng.permutation(np.flatnonzero(~joined[:, source])).tolist():
        free = np.flatnonzero(joined[other] & ~joined[target])
        if free.size:
            moved = free[rng.integers(free.size)]
            joined[other, moved], joined[other, source], joined[target, moved] = False, True, True
            return
    raise InfeasibleDegreeError(f"target {target}: no source can be exchanged; try another seed")
