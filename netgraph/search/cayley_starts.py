"""Cayley graphs as the annealer holds them: random ones, and the graphs they are, grown to the size that is wanted."""

import numpy as np

from netgraph.generators import cayley, resize
from netgraph.generators.cayley_graphs import groups_of, inverse_in
from netgraph.node_graph import NodeGraph
from netgraph.search.reference_cayley import HEADER

__all__ = ["MOST_SHARE", "graph_of_generators", "grown", "random_generators"]

MOST_SHARE = 4
"""Nodes for each neighbour at least: in denser graphs random generators get in each other's way."""

MOST_MISSING = 8
"""How many nodes a group may be short of."""


def random_generators(n_nodes: int, degree: int, rng: np.random.Generator) -> np.ndarray:
    """Return random generators of a random group of that order, or of one a few nodes short in every other case.

    Graphs of fewer nodes are worth growing, because some orders have much better groups than others: 253, 506 and 1020
    lie just below powers of two. Groups that do not commute are preferred, for paths in the others lead back too soon.

    Parameters
    ----------
    n_nodes, degree : int
        Of a regular graph, with at least `MOST_SHARE` nodes for each neighbour.
    rng : numpy.random.Generator

    Returns
    -------
    ndarray of uint32, shape (1, 3 + degree)
        See native/cayley.hpp. The graph need not be connected.
    """
    least = max(n_nodes - MOST_MISSING, n_nodes - n_nodes // 32, 2 * degree + 2)
    orders = [order for order in range(least, n_nodes) if order * degree % 2 == 0]
    while True:
        order = n_nodes if not orders or rng.integers(2) else int(rng.choice(orders))
        groups = [group for group in groups_of(order) if group[1] > 1] or groups_of(order)
        sizes, power = groups[int(rng.integers(len(groups)))]
        chosen = _draw(sizes, power, degree, rng)
        if len(chosen) == degree:
            return np.array([[*sizes, power, *(a * sizes[1] + b for a, b in chosen)]], dtype=np.uint32)


def graph_of_generators(cells: np.ndarray) -> NodeGraph:
    """Return the Cayley graph of such generators."""
    s, t, power = cells[0, :HEADER].tolist()
    return cayley((s, t), power, [divmod(element, t) for element in cells[0, HEADER:].tolist()])


def grown(graph: NodeGraph, n_nodes: int, rng: np.random.Generator) -> NodeGraph:
    """Return the regular graph with new nodes put into some of its edges; the graph itself if none is missing."""
    return graph if graph.n_nodes == n_nodes else resize(graph, n_nodes, int(graph.degrees[0]), seed=rng)


def _draw(sizes: tuple[int, int], power: int, degree: int, rng: np.random.Generator) -> list[tuple[int, int]]:
    """Return generators, each followed by its inverse, a last one by none where the degree is odd; too few at times."""
    pairs: list[tuple[int, int]] = []
    alone: list[tuple[int, int]] = []
    for a, b in rng.integers(sizes, size=(20 * degree, 2)).tolist():
        back = inverse_in(sizes, power, (a, b))
        if (a, b) == (0, 0) or (a, b) in pairs or (a, b) in alone:
            continue
        if back == (a, b):
            alone = [*alone, back][: degree % 2]
        elif len(pairs) < degree - degree % 2:
            pairs += [(a, b), back]
    return pairs + alone
