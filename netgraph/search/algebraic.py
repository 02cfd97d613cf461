"""Affine polarity graphs: graphs of diameter two and three, short from the start, where a search never gets."""

import math

import numpy as np

from netgraph.generators import affine_polarity
from netgraph.node_graph import NodeGraph
from netgraph.paths import distance_histogram
from netgraph.paths.measures import total_hops

__all__ = ["algebraic_seed", "has_algebraic_seed"]

DRAWS = 6
"""How many choices of classes are compared where the degree leaves a choice."""


def has_algebraic_seed(n_nodes: int, degree: int) -> bool:
    """Return whether `algebraic_seed` has a graph for that many nodes of that degree that is worth starting from.

    It has one for n = q^2, q = 8, 16, ... 256, and pays for degrees near q: below about q / 2 a search finds shorter
    graphs.
    """
    q = math.isqrt(n_nodes)
    if q < 8 or q * q != n_nodes or q & (q - 1):
        return False
    return degree == q or (q >= 16 and 9 * q <= 16 * degree < 16 * q)


def algebraic_seed(n_nodes: int, degree: int, rng: np.random.Generator) -> NodeGraph:
    """Return the shortest of a few affine polarity graphs, see `netgraph.generators.affine_polarity`.

    Parameters
    ----------
    n_nodes : int
        q^2.
    degree : int
        At most q.
    rng : numpy.random.Generator
        Draws the classes where there are more than the degree takes.

    Returns
    -------
    NodeGraph
    """
    q = math.isqrt(n_nodes)
    draws = 1 if degree == q else DRAWS
    return min((affine_polarity(q, degree, seed=rng) for _ in range(draws)), key=_hops)


def _hops(graph: NodeGraph) -> tuple[int, int]:
    """Return pairs that are not joined and the sum of hops over those that are: shorter graphs compare less."""
    counts = distance_histogram(graph)
    return graph.n_nodes**2 - int(counts.sum()), total_hops(counts)
