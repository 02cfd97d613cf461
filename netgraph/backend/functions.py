"""The functions of networkx that run here, under its names and with its errors.

Path lengths are hops. Arguments that ask for something else are `can_run`'s to refuse.
"""

from collections.abc import Hashable, Iterator

import numpy as np

from netgraph.backend.graph import BackendGraph
from netgraph.backend.hops import hop_counts, searches
from netgraph.paths.measures import total_hops

__all__ = [
    "all_pairs_shortest_path_length",
    "ancestors",
    "average_shortest_path_length",
    "descendants",
    "diameter",
    "single_source_shortest_path_length",
]


def average_shortest_path_length(G: BackendGraph, weight: None = None, method: str | None = None) -> float:
    """Return the mean number of hops over ordered pairs of nodes.

    Parameters
    ----------
    G : BackendGraph
    weight : None
    method : {None, "unweighted"}

    Returns
    -------
    float

    Raises
    ------
    networkx.NetworkXError
        Some node does not reach some other.
    networkx.NetworkXPointlessConcept
        The graph has no node.

    Examples
    --------
    >>> import networkx as nx
    >>> from netgraph.backend import convert_from_nx
    >>> average_shortest_path_length(convert_from_nx(nx.path_graph(3)))
    1.3333333333333333
    """
    import networkx as nx

    n_nodes = len(G)
    if n_nodes == 0:
        raise nx.NetworkXPointlessConcept("the null graph has no paths, thus there is no average shortest path length")
    if n_nodes == 1:
        return 0
    counts = hop_counts(G)
    if counts.sum() < n_nodes**2:
        raise nx.NetworkXError(f"Graph is not {'strongly ' if G.directed else ''}connected.")
    return total_hops(counts) / (n_nodes * (n_nodes - 1))


def diameter(G: BackendGraph, e: None = None, usebounds: bool = False, weight: None = None) -> int:
    """Return the largest number of hops between two nodes.

    Parameters
    ----------
    G : BackendGraph
    e : None
    usebounds : bool
        False.
    weight : None

    Returns
    -------
    int

    Raises
    ------
    networkx.NetworkXError
        Some node does not reach some other.
    ValueError
        The graph has no node.

    Examples
    --------
    >>> import networkx as nx
    >>> from netgraph.backend import convert_from_nx
    >>> diameter(convert_from_nx(nx.path_graph(5)))
    4
    """
    import networkx as nx

    if not len(G):
        raise ValueError("the graph has no nodes, thus no diameter")
    counts = hop_counts(G)
    if counts.sum() < len(G) ** 2:
        kind = "digraph is not strongly" if G.directed else "graph is not"
        raise nx.NetworkXError(f"Found infinite path length because the {kind} connected")
    return counts.size - 1


def all_pairs_shortest_path_length(
    G: BackendGraph, cutoff: float | None = None
) -> Iterator[tuple[Hashable, dict[Hashable, int]]]:
    """Yield each node with the number of hops to every node that it reaches.

    Parameters
    ----------
    G : BackendGraph
    cutoff : int, optional
        Only nodes within so many hops.

    Yields
    ------
    tuple of node and dict
        Nodes in the order of networkx: nearer ones come first.

    Examples
    --------
    >>> import networkx as nx
    >>> from netgraph.backend import convert_from_nx
    >>> dict(all_pairs_shortest_path_length(convert_from_nx(nx.path_graph(3))))
    {0: {0: 0, 1: 1, 2: 2}, 1: {1: 0, 0: 1, 2: 1}, 2: {2: 0, 1: 1, 0: 2}}
    """
    for source, met in zip(G.nodes, searches(G, np.arange(len(G)), cutoff), strict=True):
        yield source, _by_node(G, *met)


def single_source_shortest_path_length(
    G: BackendGraph, source: Hashable, cutoff: float | None = None
) -> dict[Hashable, int]:
    """Return the number of hops from a node to every node that it reaches.

    Parameters
    ----------
    G : BackendGraph
    source : node
    cutoff : int, optional
        Only nodes within so many hops.

    Returns
    -------
    dict
        Nodes in the order of networkx: nearer ones come first.

    Raises
    ------
    networkx.NodeNotFound
        `source` is not in the graph.

    Examples
    --------
    >>> import networkx as nx
    >>> from netgraph.backend import convert_from_nx
    >>> single_source_shortest_path_length(convert_from_nx(nx.path_graph(4)), 1)
    {1: 0, 0: 1, 2: 1, 3: 2}
    """
    import networkx as nx

    if source not in G:
        raise nx.NodeNotFound(f"Source {source} is not in G")
    return _by_node(G, *_search_from(G, source, cutoff))


def descendants(G: BackendGraph, source: Hashable) -> set[Hashable]:
    """Return all nodes that a node reaches, without itself.

    Parameters
    ----------
    G : BackendGraph
    source : node

    Returns
    -------
    set

    Raises
    ------
    networkx.NetworkXError
        `source` is not in the graph.

    Examples
    --------
    >>> import networkx as nx
    >>> from netgraph.backend import convert_from_nx
    >>> descendants(convert_from_nx(nx.DiGraph([(0, 1), (1, 2)])), 1)
    {2}
    """
    import networkx as nx

    if source not in G:
        raise nx.NetworkXError(f"The node {source} is not in the {'digraph' if G.directed else 'graph'}.")
    order, _ = _search_from(G, source)
    return set(G.names[order[1:]].tolist())


def ancestors(G: BackendGraph, source: Hashable) -> set[Hashable]:
    """Return all nodes that reach a node, without itself.

    Parameters
    ----------
    G : BackendGraph
    source : node

    Returns
    -------
    set

    Raises
    ------
    networkx.NetworkXError
        `source` is not in the graph.

    Examples
    --------
    >>> import networkx as nx
    >>> from netgraph.backend import convert_from_nx
    >>> ancestors(convert_from_nx(nx.DiGraph([(0, 1), (1, 2)])), 1)
    {0}
    """
    return descendants(G.reverse, source)


def _search_from(G: BackendGraph, source: Hashable, cutoff: float | None = None) -> tuple[np.ndarray, np.ndarray]:
    return next(searches(G, np.array([G.number[source]]), cutoff))


def _by_node(G: BackendGraph, order: np.ndarray, hops: np.ndarray) -> dict[Hashable, int]:
    return dict(zip(G.names[order].tolist(), hops.tolist(), strict=True))
