"""Expander measures of single layers, read as bipartite graphs of source and target channels.

mu is the second largest singular value of the biadjacency matrix; d_S and d_T are the mean degrees of sources and
targets, after units without an edge have been left out. The measures have no value, nan, unless both are at least 3.

As predictors these are weak: over 2337 sparse networks the mean rank correlation with accuracy at equal sparsity is
0.27 for `ramanujan_gap` and 0.22 for `imdb`, that of plain layer density 0.20, as computed from the data of Cunegatti
et al. (TMLR 2024).

References
----------
Pal et al., "A study on the Ramanujan graph property of winning lottery tickets" (ICML 2022). Hoang, Liu, Marculescu and
Wang, "Revisiting pruning at initialization through the lens of Ramanujan graph" (ICLR 2023) and its code.
"""

from dataclasses import dataclass
from math import nan, sqrt

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.linalg import svds

from netgraph.convert import to_biadjacency
from netgraph.graph import NetGraph

__all__ = ["LayerScores", "imdb", "layer_scores", "ramanujan_gap", "randomness", "singular_gap"]

DENSE = 512
"""Smaller side up to which all singular values are computed."""

LEAST_DEGREE = 3
"""Mean degree below which the measures have no value."""


@dataclass(frozen=True, slots=True)
class LayerScores:
    """All measures of the edges between two layers.

    Parameters
    ----------
    source, target : str
    density : float
        Share of the pairs of units that are joined.
    ramanujan_gap, singular_gap, imdb, randomness : float
    """

    source: str
    target: str
    density: float
    ramanujan_gap: float
    singular_gap: float
    imdb: float
    randomness: float


def ramanujan_gap(biadjacency: np.ndarray) -> float:
    """Return sqrt(d_S - 1) + sqrt(d_T - 1) - mu: at least 0 for a bipartite Ramanujan graph, larger is better.

    Parameters
    ----------
    biadjacency : ndarray, shape (n_targets, n_sources)
        Nonzero = joined.

    Returns
    -------
    float
        nan if a mean degree is below 3. "Delta r" or degree bound in the literature.

    Examples
    --------
    >>> round(ramanujan_gap(np.ones((4, 4))), 6)
    3.464102
    """
    return _Layer(biadjacency).ramanujan_gap()


def singular_gap(biadjacency: np.ndarray) -> float:
    """Return 2 sqrt(lambda_1 - 1) - mu, lambda_1 the largest singular value: larger is better.

    Parameters
    ----------
    biadjacency : ndarray, shape (n_targets, n_sources)
        Nonzero = joined.

    Returns
    -------
    float
        nan if a mean degree is below 3. "Delta s" in the literature.

    Examples
    --------
    >>> round(singular_gap(np.ones((4, 4))), 6)
    3.464102
    """
    return _Layer(biadjacency).singular_gap()


def imdb(biadjacency: np.ndarray) -> float:
    """Return the iterative mean difference of bound: the mean `ramanujan_gap` over classes of sources of one degree.

    A class is the bipartite graph of all sources of one degree and their targets. Classes for which the gap is nan are
    left out, those of fewer than 3 sources among them.

    Parameters
    ----------
    biadjacency : ndarray, shape (n_targets, n_sources)
        Nonzero = joined.

    Returns
    -------
    float
        nan if no class is left.

    Examples
    --------
    >>> round(imdb(np.ones((4, 4))), 6)
    3.464102
    """
    joined = _checked(biadjacency)
    degrees = joined.sum(axis=0)
    classes = np.unique(degrees[degrees > 0])
    gaps = [gap for degree in classes if not np.isnan(gap := ramanujan_gap(joined[:, degrees == degree]))]
    return float(np.mean(gaps)) if gaps else nan


def randomness(biadjacency: np.ndarray) -> float:
    """Return the randomness bound NaRC: 0 or less if the edges are spread as evenly as at random.

    ((mu^2 / 4 + 1) sqrt(n_S n_T) - abs(E - d_S n_S n_T / N_T)) / (N_S N_T), for n units with an edge of N in all and E
    edges.

    Parameters
    ----------
    biadjacency : ndarray, shape (n_targets, n_sources)
        Nonzero = joined.

    Returns
    -------
    float
        nan if a mean degree is below 3. Differs from the code of Hoang et al., which counts each edge twice in E.

    Examples
    --------
    >>> round(randomness(np.ones((4, 4))), 6)
    0.25
    """
    return _Layer(biadjacency).randomness()


def layer_scores(graph: NetGraph) -> tuple[LayerScores, ...]:
    """Return the measures of each pair of layers that weights join, at the level of channels.

    Parameters
    ----------
    graph : NetGraph
        Fixed wiring between the same two layers counts as edges.

    Returns
    -------
    tuple of LayerScores
        In the order of first use.

    Examples
    --------
    >>> import netgraph as ng
    >>> [(s.source, s.target, round(s.imdb, 2)) for s in layer_scores(ng.from_biadjacency([np.ones((5, 4))]))]
    [('layer0', 'layer1', 3.73)]
    """
    found = []
    for source, target in dict.fromkeys((c.source, c.target) for c in graph.weighted):
        joined = to_biadjacency(graph, source, target)
        layer = _Layer(joined)
        density = float(joined.mean()) if joined.size else 1.0
        scores = layer.ramanujan_gap(), layer.singular_gap(), imdb(joined), layer.randomness()
        found.append(LayerScores(source, target, density, *scores))
    return tuple(found)


class _Layer:
    """A biadjacency matrix without the units that have no edge, its mean degrees and singular values."""

    def __init__(self, biadjacency: np.ndarray) -> None:
        joined = _checked(biadjacency)
        self.n_targets, self.n_sources = joined.shape
        self.joined = joined[joined.any(axis=1)][:, joined.any(axis=0)]
        targets, sources = self.joined.shape
        self.n_edges = int(np.count_nonzero(self.joined))
        self.target_degree, self.source_degree = (self.n_edges / max(side, 1) for side in (targets, sources))
        self.has_value = min(self.target_degree, self.source_degree) >= LEAST_DEGREE
        self.largest, self.second = _two_largest(self.joined) if self.has_value else (nan, nan)

    def ramanujan_gap(self) -> float:
        if not self.has_value:
            return nan
        return sqrt(self.source_degree - 1) + sqrt(self.target_degree - 1) - self.second

    def singular_gap(self) -> float:
        return 2 * sqrt(self.largest - 1) - self.second if self.has_value else nan

    def randomness(self) -> float:
        targets, sources = self.joined.shape
        expected = self.source_degree / max(self.n_targets, 1) * sources * targets
        spread = (self.second**2 / 4 + 1) * sqrt(sources * targets)
        return (spread - abs(self.n_edges - expected)) / max(self.n_sources * self.n_targets, 1)


def _checked(biadjacency: np.ndarray) -> np.ndarray:
    joined = np.asarray(biadjacency) != 0
    if joined.ndim != 2:
        raise ValueError(f"biadjacency: expected 2 dimensions (targets, sources), got shape {joined.shape}")
    return joined


def _two_largest(joined: np.ndarray) -> tuple[float, float]:
    values = joined.astype(np.float64)
    if min(joined.shape) <= DENSE:
        found = np.linalg.svd(values, compute_uv=False)
    else:
        start = np.random.default_rng(0).standard_normal(min(joined.shape))
        found = svds(csr_array(values), k=2, return_singular_vectors=False, v0=start)
    largest, second = np.sort(found)[:-3:-1]
    return float(largest), float(second)
