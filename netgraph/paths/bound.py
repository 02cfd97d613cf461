"""How short paths can be at best: the bound of Moore's type for n nodes of degree d."""

from itertools import count

from netgraph.errors import InfeasibleDegreeError
from netgraph.node_graph import NodeGraph
from netgraph.paths.measures import average_shortest_path_length

__all__ = ["aspl_gap", "aspl_lower_bound", "diameter_lower_bound"]


def aspl_lower_bound(n_nodes: int, degree: int) -> float:
    """Return the least mean path length that a graph of `n_nodes` nodes of degree at most `degree` can have.

    From a node at most d (d - 1)^(k - 1) nodes are k hops away. With K the first k up to which all nodes have room,
    S = sum over k < K of k d (d - 1)^(k - 1) and R the nodes that are left for K, the bound is
    (S + K R) / (n - 1). For diameter 2 that is 2 - d / (n - 1), which every graph of that diameter has.

    Parameters
    ----------
    n_nodes : int
        At least 2.
    degree : int
        From 1 to ``n_nodes - 1``.

    Returns
    -------
    float
        Hops, at least 1.

    Raises
    ------
    InfeasibleDegreeError
        No connected graph has that many nodes of that degree.

    References
    ----------
    Cerf, Cowan, Mullin and Stanton (1974), "A lower bound on the average shortest path length in regular graphs",
    Networks 4: 335-342.

    Examples
    --------
    The Petersen graph meets its bound:

    >>> aspl_lower_bound(10, 3) == 5 / 3
    True
    """
    shells = _shells(n_nodes, degree)
    return sum(hops * size for hops, size in enumerate(shells, 1)) / (n_nodes - 1)


def diameter_lower_bound(n_nodes: int, degree: int) -> int:
    """Return the least diameter that a graph of `n_nodes` nodes of degree at most `degree` can have, by Moore's bound.

    Parameters
    ----------
    n_nodes : int
        At least 2.
    degree : int
        From 1 to ``n_nodes - 1``.

    Returns
    -------
    int

    Raises
    ------
    InfeasibleDegreeError
        No connected graph has that many nodes of that degree.

    Examples
    --------
    >>> diameter_lower_bound(10, 3), diameter_lower_bound(11, 3)
    (2, 3)
    """
    return len(_shells(n_nodes, degree))


def aspl_gap(graph: NodeGraph) -> float:
    """Return how far the mean path length lies above its bound, as a share of the bound: 0.0 is best possible.

    The bound is that for the largest degree of the graph. Only pairs that a path joins count, as in
    `average_shortest_path_length`, so that a graph in pieces can have a negative gap.

    Parameters
    ----------
    graph : NodeGraph
        At least two nodes and one edge.

    Returns
    -------
    float

    Raises
    ------
    InfeasibleDegreeError
        The graph has no edge, or a largest degree of 1 and more than two nodes.

    Examples
    --------
    >>> aspl_gap(NodeGraph.from_edges(5, [(0, 1), (1, 2), (2, 3), (3, 4), (4, 0)]))
    0.0
    """
    bound = aspl_lower_bound(graph.n_nodes, int(graph.degrees.max(initial=0)))
    return average_shortest_path_length(graph) / bound - 1


def _shells(n_nodes: int, degree: int) -> list[int]:
    """Return how many nodes can be 1, 2, 3 ... hops from a node, as near as there is room."""
    if not 1 <= degree < n_nodes or (degree == 1 and n_nodes > 2):
        wanted = f"a degree from {1 if n_nodes == 2 else 2} to {n_nodes - 1}" if n_nodes > 1 else "at least 2 nodes"
        raise InfeasibleDegreeError(f"{n_nodes} nodes of degree {degree}: expected {wanted} for a connected graph")
    shells: list[int] = []
    left = n_nodes - 1
    for hops in count():
        shells.append(min(left, degree * (degree - 1) ** hops))
        left -= shells[-1]
        if not left:
            return shells
    raise AssertionError("a shell is never empty")
