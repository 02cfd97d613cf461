"""WS-flex: rings of any real mean degree, rewired with a probability, the graphs of You et al."""

import random

import numpy as np

from netgraph.errors import InfeasibleDegreeError, NetGraphError
from netgraph.generators.feasible import check_probability, integer_seed
from netgraph.node_graph import NodeGraph

__all__ = ["ws_flex"]

TRIES = 100
"""Draws before a connected graph is given up, as in the code of You et al."""


def ws_flex(
    n_nodes: int, mean_degree: float, probability: float, *, seed: int | np.random.Generator | None = None
) -> NodeGraph:
    """Return a connected ring of any mean degree, each edge of which is moved with a probability [1]_.

    There are e = round(n * mean_degree / 2) edges: node i is joined to the next e // n nodes of the ring, and to one
    more if i < e % n. Then, node after node, each of these edges (i, j) is replaced with the given probability by
    (i, k), where k is drawn until it is neither i nor a neighbour of i. This is repeated until the graph is connected.

    Parameters
    ----------
    n_nodes : int
    mean_degree : float
        In [2, n_nodes - 1].
    probability : float
        In [0, 1]: 0 leaves the ring, 1 gives a random graph.
    seed : int, numpy.random.Generator or None
        An integer draws the graph that the code of [1]_ draws from it: all its 7141 published graphs come out the same.

    Returns
    -------
    NodeGraph
        Nodes are numbered along the ring.

    Raises
    ------
    InfeasibleDegreeError
        The mean degree is outside its range.
    NetGraphError
        None of 100 graphs was connected.

    References
    ----------
    .. [1] You, Leskovec, He and Xie, "Graph Structure of Neural Networks" (ICML 2020), section 3.1.

    Examples
    --------
    >>> ws_flex(8, 2.5, 0.0)
    NodeGraph: 8 nodes, 10 edges, degrees 2 to 3
    >>> ws_flex(64, 8.2, 0.3, seed=1).n_edges
    262
    """
    if not 2 <= mean_degree <= n_nodes - 1:
        raise InfeasibleDegreeError(f"mean_degree: expected 2 to {n_nodes - 1}, got {mean_degree}")
    check_probability(probability)
    draw = random.Random(integer_seed(seed))
    for _ in range(TRIES):
        near = _rewired_ring(n_nodes, round(mean_degree * n_nodes / 2), probability, draw)
        if _is_connected(near):
            return NodeGraph.from_edges(n_nodes, [(a, b) for a, own in enumerate(near) for b in own if a < b])
    raise NetGraphError(f"{TRIES} graphs, none connected; raise mean_degree or lower probability")


def _rewired_ring(n_nodes: int, n_edges: int, probability: float, draw: random.Random) -> list[set[int]]:
    counts = [n_edges // n_nodes + (node < n_edges % n_nodes) for node in range(n_nodes)]
    ring = [[(node + step) % n_nodes for step in range(1, counts[node] + 1)] for node in range(n_nodes)]
    near: list[set[int]] = [set() for _ in range(n_nodes)]
    for node, others in enumerate(ring):
        for other in others:
            near[node].add(other)
            near[other].add(node)
    for node, others in enumerate(ring):
        for other in others:
            if draw.random() < probability:
                _move(near, node, other, draw)
    return near


def _move(near: list[set[int]], node: int, other: int, draw: random.Random) -> None:
    """Replace the edge to `other` by one to a node that is no neighbour yet; it stays if there is none."""
    nodes = range(len(near))
    new = draw.choice(nodes)
    while new == node or new in near[node]:
        new = draw.choice(nodes)
        if len(near[node]) >= len(near) - 1:
            return
    near[node].remove(other)
    near[other].remove(node)
    near[node].add(new)
    near[new].add(node)


def _is_connected(near: list[set[int]]) -> bool:
    met, frontier = {0}, [0]
    while frontier:
        frontier = list(set().union(*(near[node] for node in frontier)) - met)
        met.update(frontier)
    return len(met) == len(near)
