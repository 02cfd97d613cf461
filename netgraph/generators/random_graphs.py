"""Random graphs, most of them made by networkx: the same seed gives the same graph."""

from typing import TYPE_CHECKING

import numpy as np

from netgraph.errors import InfeasibleDegreeError
from netgraph.generators.feasible import check_degree, check_probability, integer_seed
from netgraph.node_graph import NodeGraph

if TYPE_CHECKING:
    pass

__all__ = ["barabasi_albert", "erdos_renyi", "random_regular", "tree", "watts_strogatz"]


def random_regular(n_nodes: int, degree: int, *, seed: int | np.random.Generator | None = None) -> NodeGraph:
    """Return a random regular graph; from degree 3 on it is almost always connected, which is not checked.

    Parameters
    ----------
    n_nodes, degree : int
    seed : int, numpy.random.Generator or None

    Returns
    -------
    NodeGraph

    Raises
    ------
    InfeasibleDegreeError
        There is no regular graph with these numbers.

    Examples
    --------
    >>> random_regular(12, 3, seed=0)
    NodeGraph: 12 nodes, 18 edges, 3-regular
    >>> random_regular(12, 3, seed=0) == random_regular(12, 3, seed=0)
    True
    """
    import networkx as nx

    check_degree(n_nodes, degree)
    if degree > (n_nodes - 1) // 2:  # networkx needs ever more tries the denser the graph; its complement is sparse
        sparse = random_regular(n_nodes, n_nodes - 1 - degree, seed=seed).adjacency()
        return NodeGraph.from_adjacency(~(sparse | np.eye(n_nodes, dtype=bool)))
    made = nx.random_regular_graph(degree, n_nodes, seed=integer_seed(seed))
    return NodeGraph.from_edges(n_nodes, list(made.edges))


def erdos_renyi(n_nodes: int, n_edges: int, *, seed: int | np.random.Generator | None = None) -> NodeGraph:
    """Return a graph drawn evenly from those with this many edges.

    Parameters
    ----------
    n_nodes, n_edges : int
        At most n (n - 1) / 2 edges.
    seed : int, numpy.random.Generator or None

    Returns
    -------
    NodeGraph

    Raises
    ------
    InfeasibleDegreeError
        More edges than pairs of nodes.

    Examples
    --------
    >>> erdos_renyi(10, 15, seed=0).n_edges
    15
    """
    import networkx as nx

    pairs = n_nodes * (n_nodes - 1) // 2
    if not 0 <= n_edges <= pairs:
        raise InfeasibleDegreeError(f"{n_nodes} nodes: expected 0 to {pairs} edges, got {n_edges}")
    return NodeGraph.from_networkx(nx.gnm_random_graph(n_nodes, n_edges, seed=integer_seed(seed)))


def barabasi_albert(n_nodes: int, n_joined: int, *, seed: int | np.random.Generator | None = None) -> NodeGraph:
    """Return a graph grown by preferential attachment: each new node joins nodes in proportion to their degree.

    Parameters
    ----------
    n_nodes : int
    n_joined : int
        Edges of each new node, from 1 to n_nodes - 1.
    seed : int, numpy.random.Generator or None

    Returns
    -------
    NodeGraph

    Raises
    ------
    InfeasibleDegreeError
        `n_joined` is outside its range.

    Examples
    --------
    >>> barabasi_albert(20, 2, seed=0).n_edges
    36
    """
    import networkx as nx

    if not 1 <= n_joined < n_nodes:
        raise InfeasibleDegreeError(f"n_joined: expected 1 to {n_nodes - 1} for {n_nodes} nodes, got {n_joined}")
    return NodeGraph.from_networkx(nx.barabasi_albert_graph(n_nodes, n_joined, seed=integer_seed(seed)))


def watts_strogatz(
    n_nodes: int, degree: int, probability: float, *, seed: int | np.random.Generator | None = None
) -> NodeGraph:
    """Return a ring of an even degree whose edges are moved with a probability each; `ws_flex` takes any mean degree.

    Parameters
    ----------
    n_nodes, degree : int
        The degree is even.
    probability : float
        In [0, 1].
    seed : int, numpy.random.Generator or None

    Returns
    -------
    NodeGraph
        Not necessarily connected.

    Raises
    ------
    InfeasibleDegreeError
        The degree is odd, or there is no ring with these numbers.
    ValueError
        The probability is outside [0, 1].

    Examples
    --------
    >>> watts_strogatz(10, 4, 0.0)
    NodeGraph: 10 nodes, 20 edges, 4-regular
    """
    import networkx as nx

    check_degree(n_nodes, degree)
    if degree % 2:
        raise InfeasibleDegreeError(f"degree: expected an even number, got {degree}; use ws_flex")
    check_probability(probability)
    made = nx.watts_strogatz_graph(n_nodes, degree, probability, seed=integer_seed(seed))
    return NodeGraph.from_networkx(made)


def tree(n_nodes: int, *, seed: int | np.random.Generator | None = None) -> NodeGraph:
    """Return a tree drawn evenly from all trees on the nodes 0 to n - 1.

    Parameters
    ----------
    n_nodes : int
        At least 1.
    seed : int, numpy.random.Generator or None

    Returns
    -------
    NodeGraph

    Examples
    --------
    >>> tree(7, seed=0).n_edges
    6
    """
    import networkx as nx

    check_degree(n_nodes, 0)
    made: nx.Graph = nx.random_labeled_tree(n_nodes, seed=integer_seed(seed))
    return NodeGraph.from_edges(n_nodes, list(made.edges))
