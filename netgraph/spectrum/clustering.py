"""Triangles, 4-cycles and small-worldness of node graphs.

For k-cores, rich clubs, assortativity, modularity, bridges and the like go through ``graph.to_networkx()``; at the size
of a relational graph networkx is fast enough.
"""

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array

from netgraph.errors import GraphStructureError
from netgraph.generators import erdos_renyi, ws_flex
from netgraph.node_graph import NodeGraph
from netgraph.paths import average_shortest_path_length, reachable_fraction
from netgraph.spectrum.gaps import adjacency_array

__all__ = ["SmallWorldness", "clustering", "four_cycles", "small_worldness", "transitivity"]

ROWS = 512
"""Rows of a product of adjacency matrices held at a time."""


@dataclass(frozen=True, slots=True)
class SmallWorldness:
    """How close a graph is to a small world: clustered like a ring, with paths as short as in a random graph.

    Parameters
    ----------
    sigma : float
        (C / C_random) / (L / L_random); above 1 in a small world.
    omega : float
        L_random / L - C / C_ring; near 0 in a small world, towards -1 in a ring, towards 1 in a random graph.
    """

    sigma: float
    omega: float


def clustering(graph: NodeGraph) -> float:
    """Return the mean over nodes of the share of pairs of neighbours that are joined.

    Parameters
    ----------
    graph : NodeGraph

    Returns
    -------
    float
        In [0, 1]. Nodes with fewer than 2 neighbours count as 0, as in networkx; 0 without nodes.

    References
    ----------
    .. [1] Watts and Strogatz, "Collective dynamics of small-world networks", Nature 393 (1998): C.

    Examples
    --------
    >>> from netgraph.generators import circulant, complete
    >>> clustering(complete(4)), clustering(circulant(12, degree=4))
    (1.0, 0.5)
    """
    pairs = graph.degrees * (graph.degrees - 1) / 2
    shares = np.divide(_triangles(graph), pairs, out=np.zeros(graph.n_nodes), where=pairs > 0)
    return float(shares.mean()) if graph.n_nodes else 0.0


def transitivity(graph: NodeGraph) -> float:
    """Return 3 * triangles / pairs of edges with a common end.

    Parameters
    ----------
    graph : NodeGraph

    Returns
    -------
    float
        In [0, 1]; 0 if no two edges meet.

    Examples
    --------
    >>> transitivity(NodeGraph.from_edges(4, [(0, 1), (1, 2), (2, 0), (2, 3)]))
    0.6
    """
    pairs = int((graph.degrees * (graph.degrees - 1)).sum()) // 2
    return float(_triangles(graph).sum() / pairs) if pairs else 0.0


def four_cycles(graph: NodeGraph) -> int:
    """Return the number of cycles of length 4: the sum over pairs of nodes of C(common neighbours, 2), divided by 2.

    Few of them mean that paths of two edges lead to many different nodes; it is the objective of Shimizu and Mori for
    graphs of diameter 3.

    Parameters
    ----------
    graph : NodeGraph

    Returns
    -------
    int

    Examples
    --------
    >>> from netgraph.generators import complete, hypercube
    >>> four_cycles(hypercube(3)), four_cycles(complete(4))
    (6, 3)
    """
    adjacency = adjacency_array(graph)
    squares = 0
    for start in range(0, graph.n_nodes, ROWS):
        common = (adjacency[start : start + ROWS] @ adjacency).data
        squares += int((common * (common - 1)).sum()) // 2
    own = int((graph.degrees * (graph.degrees - 1)).sum()) // 2  # a node and itself
    return (squares - own) // 4  # each cycle has two pairs of opposite nodes, in both orders


def small_worldness(
    graph: NodeGraph, *, n_random: int = 10, seed: int | np.random.Generator | None = None
) -> SmallWorldness:
    """Return sigma and omega against random graphs and a ring with as many nodes and edges.

    Parameters
    ----------
    graph : NodeGraph
        Connected, with a mean degree of at least 2.
    n_random : int
        Random graphs to average over, at least 1.
    seed : int, numpy.random.Generator or None

    Returns
    -------
    SmallWorldness
        sigma is nan if the random graphs have no triangle, omega if the ring has none.

    Raises
    ------
    GraphStructureError
        The graph is not connected, or its mean degree is below 2.
    ValueError
        `n_random` is below 1.

    References
    ----------
    .. [1] Humphries and Gurney, "Network small-world-ness", PLoS ONE 3 (2008): sigma.
    .. [2] Telesford et al., "The ubiquity of small-world networks", Brain Connectivity 1 (2011): omega. Differs from
       both, and from networkx, in that random graphs keep the number of edges and not the degree of each node.

    Examples
    --------
    >>> from netgraph.generators import ws_flex
    >>> small_worldness(ws_flex(100, 6, 0.1, seed=0), seed=0).sigma > 1
    True
    """
    if n_random < 1:
        raise ValueError(f"n_random: expected at least 1, got {n_random}")
    own_length, mean_degree = average_shortest_path_length(graph), 2 * graph.n_edges / max(graph.n_nodes, 1)
    if reachable_fraction(graph) < 1 or mean_degree < 2:
        raise GraphStructureError(f"expected a connected graph of mean degree 2 or more, got {graph!r}")
    rng = np.random.default_rng(seed)
    drawn = [erdos_renyi(graph.n_nodes, graph.n_edges, seed=rng) for _ in range(n_random)]
    random_length = float(np.mean([average_shortest_path_length(other) for other in drawn]))
    random_clustering = float(np.mean([clustering(other) for other in drawn]))
    ring = clustering(ws_flex(graph.n_nodes, mean_degree, 0.0))
    own = clustering(graph)
    sigma = own / random_clustering * random_length / own_length if random_clustering else np.nan
    return SmallWorldness(float(sigma), float(random_length / own_length - own / ring if ring else np.nan))


def _triangles(graph: NodeGraph) -> np.ndarray:
    """Return in how many triangles each node is."""
    adjacency = adjacency_array(graph)
    return csr_array(adjacency * (adjacency @ adjacency)).sum(axis=1) / 2
