"""The best algebraic graph for a number of nodes and a degree, as a start for a search or as it is."""

from collections.abc import Iterator
from math import inf, isqrt

import numpy as np

from netgraph.generators.affine import affine_polarity
from netgraph.generators.algebraic import mckay_miller_siran, polarity
from netgraph.generators.cayley_graphs import search_cayley
from netgraph.generators.feasible import check_degree
from netgraph.generators.finite_field import prime_power
from netgraph.generators.lattices import circulant
from netgraph.generators.random_graphs import random_regular
from netgraph.generators.resizing import resize
from netgraph.node_graph import NodeGraph
from netgraph.paths import distance_histogram
from netgraph.paths.measures import total_hops

__all__ = ["best_known"]


def best_known(n_nodes: int, degree: int, *, seed: int | np.random.Generator | None = None) -> NodeGraph:
    """Return the regular graph with the shortest average path among algebraic constructions, without any search.

    From degree sqrt(n) / 2 on these are affine polarity (q^2 nodes), Erdos-Renyi polarity (q^2 + q + 1) and
    McKay-Miller-Siran (2 q^2) graphs, resized and refilled where they do not fit; below, the best of random Cayley
    graphs and a random regular graph, which also stands in where no construction is near. Where the diameter is 2 all
    graphs have the same average path length, and the first of this list is taken. A search by edge swaps improves it,
    mostly below sqrt(n) / 2.

    Parameters
    ----------
    n_nodes, degree : int
    seed : int, numpy.random.Generator or None

    Returns
    -------
    NodeGraph
        Regular; connected if the degree is at least 2.

    Raises
    ------
    InfeasibleDegreeError
        There is no regular graph with these numbers.

    Examples
    --------
    >>> best_known(50, 7, seed=0) == best_known(50, 7, seed=1)
    True
    >>> best_known(60, 9, seed=0)
    NodeGraph: 60 nodes, 270 edges, 9-regular
    """
    check_degree(n_nodes, degree)
    if degree <= 2:
        return circulant(n_nodes, degree=degree)
    rng = np.random.default_rng(seed)
    best, least = None, inf
    for graph in _candidates(n_nodes, degree, rng):
        length = _total_length(graph)
        if best is None or length < least:
            best, least = graph, length
    assert best is not None
    return best if least < inf else circulant(n_nodes, degree=degree)


def _candidates(n_nodes: int, degree: int, rng: np.random.Generator) -> list[NodeGraph]:
    if 4 * degree * degree >= n_nodes:
        return list(_algebraic(n_nodes, degree, rng)) or [random_regular(n_nodes, degree, seed=rng)]
    transitive = search_cayley(n_nodes, degree, seed=rng)
    return [*([] if transitive is None else [transitive]), random_regular(n_nodes, degree, seed=rng)]


def _algebraic(n_nodes: int, degree: int, rng: np.random.Generator) -> Iterator[NodeGraph]:
    """Yield each construction in the two sizes around the wanted one, made to fit."""
    side = isqrt(n_nodes)
    if side * side == n_nodes and (prime_power(side) or (0, 0))[0] == 2:
        own = affine_polarity(side, min(degree, side), seed=rng)
        yield own if degree <= side else resize(own, n_nodes, degree, seed=rng)
    for make, size in ((mckay_miller_siran, lambda q: 2 * q * q), (polarity, lambda q: q * q + q + 1)):
        orders = [q for q in range(2, side + 3) if prime_power(q) and not (make is mckay_miller_siran and q == 2)]
        below = [q for q in orders if size(q) < n_nodes][-1:]
        above = [q for q in orders if size(q) >= n_nodes][:1]
        for order in below + above:
            if 3 * n_nodes <= 4 * size(order) <= 5 * n_nodes:
                graph = make(order)
                fits = graph.n_nodes == n_nodes and graph.is_regular and graph.degrees[0] == degree
                yield graph if fits else resize(graph, n_nodes, degree, seed=rng)


def _total_length(graph: NodeGraph) -> float:
    """Return the sum of the path lengths over ordered pairs, infinite if the graph is in pieces."""
    counts = distance_histogram(graph)
    return total_hops(counts) if counts.sum() == graph.n_nodes**2 else inf
