"""Regular graphs of any size from graphs near them: nodes go or come, surplus edges go, missing ones are added."""

from itertools import pairwise

import numpy as np

from netgraph.errors import InfeasibleDegreeError
from netgraph.generators.feasible import check_degree
from netgraph.node_graph import NodeGraph

__all__ = ["refill", "resize"]

TRIES = 50
"""Random tries for an edge to divert, before all of them are looked through."""


def refill(graph: NodeGraph, degree: int, *, seed: int | np.random.Generator | None = None) -> NodeGraph:
    """Return a regular graph with few edges changed.

    Nodes with too many neighbours lose edges, those between two such nodes first. Then nodes that lack neighbours are
    joined to each other; where they are neighbours already, or only one lacks two, an edge (a, b) elsewhere is
    replaced by an edge from each of its ends to a node that lacks one.

    Parameters
    ----------
    graph : NodeGraph
    degree : int
    seed : int, numpy.random.Generator or None

    Returns
    -------
    NodeGraph
        Same nodes, all of degree `degree`.

    Raises
    ------
    InfeasibleDegreeError
        There is no regular graph with these numbers, or an edge to replace is not found.

    Examples
    --------
    >>> from netgraph.generators import polarity
    >>> refill(polarity(3), 4, seed=0)
    NodeGraph: 13 nodes, 26 edges, 4-regular
    """
    check_degree(graph.n_nodes, degree)
    work = _Work(graph, np.random.default_rng(seed))
    work.drop_surplus(degree)
    work.fill(degree)
    return work.graph()


def resize(graph: NodeGraph, n_nodes: int, degree: int, *, seed: int | np.random.Generator | None = None) -> NodeGraph:
    """Return a regular graph with another number of nodes, near the given one.

    Superfluous nodes are taken from the neighbours of one random node, then of the next: in a polarity graph these
    lie on a line, so that every other node loses just one neighbour by them. A new node is put into the middle of
    edges that have no end in common, two neighbours each [1]_. Then the graph is refilled (`refill`).

    Parameters
    ----------
    graph : NodeGraph
    n_nodes, degree : int
    seed : int, numpy.random.Generator or None

    Returns
    -------
    NodeGraph

    Raises
    ------
    InfeasibleDegreeError
        As `refill`.

    References
    ----------
    .. [1] Kitasuka, Matsuzaki and Iida, "Order adjustment approach using Cayley graphs for the order/degree problem",
       IEICE Transactions E101-D (2018): vertex injection and removal.

    Examples
    --------
    >>> from netgraph.generators import polarity
    >>> resize(polarity(4), 16, 4, seed=0), resize(polarity(4), 24, 5, seed=0)
    (NodeGraph: 16 nodes, 32 edges, 4-regular, NodeGraph: 24 nodes, 60 edges, 5-regular)
    """
    check_degree(n_nodes, degree)
    rng = np.random.default_rng(seed)
    kept = _kept_nodes(graph, min(n_nodes, graph.n_nodes), rng)
    number = np.full(graph.n_nodes, -1)
    number[kept] = np.arange(kept.size)
    edges = number[graph.edges()]
    work = _Work(NodeGraph.from_edges(n_nodes, edges[(edges >= 0).all(axis=1)]), rng)
    work.drop_surplus(degree)
    for node in range(kept.size, n_nodes):
        while len(work.near[node]) < degree - 1 and work.divert(node, node):
            pass
    work.fill(degree)
    return work.graph()


def _kept_nodes(graph: NodeGraph, n_kept: int, rng: np.random.Generator) -> np.ndarray:
    order: list[int] = []
    for node in rng.permutation(graph.n_nodes).tolist():
        if len(order) >= graph.n_nodes - n_kept:
            break
        order += graph.targets[graph.offsets[node] : graph.offsets[node + 1]].tolist() or [node]
        order = list(dict.fromkeys(order))
    gone = np.array(order[: graph.n_nodes - n_kept], dtype=np.int64)
    return np.setdiff1d(np.arange(graph.n_nodes), gone)


class _Work:
    """The neighbours of each node as sets, which change in place."""

    def __init__(self, graph: NodeGraph, rng: np.random.Generator) -> None:
        bounds = graph.offsets.tolist()
        targets = graph.targets.tolist()
        self.near = [set(targets[a:b]) for a, b in pairwise(bounds)]
        self.rng = rng

    def graph(self) -> NodeGraph:
        return NodeGraph.from_edges(len(self.near), [(a, b) for a, own in enumerate(self.near) for b in own if a < b])

    def drop_surplus(self, degree: int) -> None:
        """Take edges away until no node has more than `degree` neighbours."""
        for node in self.rng.permutation(len(self.near)).tolist():
            while len(self.near[node]) > degree:
                others = self.rng.permutation(sorted(self.near[node])).tolist()
                self._cut(node, max(others, key=lambda other: len(self.near[other])))

    def fill(self, degree: int) -> None:
        """Add edges until each node has `degree` neighbours, the node that lacks most first."""
        lacking = [node for node, own in enumerate(self.near) if len(own) < degree]
        while lacking:
            ranked = self.rng.permutation(lacking).tolist()
            node = min(ranked, key=lambda node: len(self.near[node]))
            apart = [other for other in ranked if other != node and other not in self.near[node]]
            for other in apart[: degree - len(self.near[node])]:
                self._join(node, other)
            if not apart:
                self._divert_to(node, next((other for other in ranked if other != node), node))
            lacking = [node for node in lacking if len(self.near[node]) < degree]

    def _divert_to(self, first: int, second: int) -> None:
        if not self.divert(first, second) and not self.divert(second, first):
            raise InfeasibleDegreeError(f"no edge can be diverted to nodes {first} and {second}; try another seed")

    def divert(self, first: int, second: int) -> bool:
        """Replace an edge (a, b) by (a, first) and (b, second); return False if there is none that can be."""
        for a in self.rng.integers(len(self.near), size=TRIES).tolist():
            if self._divert_at(a, first, second):
                return True
        return any(self._divert_at(a, first, second) for a in self.rng.permutation(len(self.near)).tolist())

    def _divert_at(self, a: int, first: int, second: int) -> bool:
        if a in (first, second) or a in self.near[first]:
            return False
        ends = sorted(self.near[a] - self.near[second] - {first, second})
        if not ends:
            return False
        b = ends[self.rng.integers(len(ends))]
        self._cut(a, b)
        self._join(a, first)
        self._join(b, second)
        return True

    def _cut(self, a: int, b: int) -> None:
        self.near[a].remove(b)
        self.near[b].remove(a)

    def _join(self, a: int, b: int) -> None:
        self.near[a].add(b)
        self.near[b].add(a)
