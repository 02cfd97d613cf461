"""How fast a signal fills a relational graph whose layers pass it on to neighbours only, never to the node itself."""

import math

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from netgraph.node_graph import NodeGraph
from netgraph.paths import reference

__all__ = ["aopu", "gradient_resistance"]


def gradient_resistance(graph: NodeGraph) -> float:
    """Return the mean number of steps until a walk from a node can be at any node: at least 1, inf if it never can.

    The frontier of node v is S_0 = {v}, S_{t+1} = the neighbours of S_t; the number of steps is the least t with S_t =
    all nodes. Of a bipartite graph each frontier lies on one side, and of a graph in pieces in one piece: it never
    fills, and the result is inf. [1]_ stops at 100 steps instead.

    Parameters
    ----------
    graph : NodeGraph

    Returns
    -------
    float
        Steps; nan for a graph without nodes.

    References
    ----------
    .. [1] Code of "Regular graph pruning" (arXiv 2110.15192), gradient_resistance_calculate.py.

    Examples
    --------
    In a triangle the frontier holds the two others after one step, all after two:

    >>> gradient_resistance(NodeGraph.from_edges(3, [(0, 1), (1, 2), (2, 0)]))
    2.0
    >>> gradient_resistance(NodeGraph.from_edges(4, [(0, 1), (1, 2), (2, 3), (3, 0)]))
    inf
    """
    if graph.n_nodes == 0:
        return math.nan
    if not _mixes(graph):
        return math.inf
    steps = 0
    for sources in _batches(graph):
        for frontier in reference.frontiers(graph, sources):
            waiting = len(sources) - _n_full(frontier)
            if waiting == 0:
                break
            steps += waiting
    return steps / graph.n_nodes


def aopu(graph: NodeGraph, *, n_layers: int = 15) -> float:
    """Return the mean over nodes of how many nodes a signal touches in `n_layers` layers, each counted in each layer.

    The sum of the sizes of the frontiers S_0 ... S_{n_layers - 1} of a node, see `gradient_resistance`. Equal to the
    "average output propagation units" of [1]_ where all frontiers fill within the layers, and defined for bipartite
    graphs too.

    Parameters
    ----------
    graph : NodeGraph
    n_layers : int
        At least 1.

    Returns
    -------
    float
        Nodes, from 1 to ``n_layers * graph.n_nodes``; nan for a graph without nodes.

    Raises
    ------
    ValueError
        `n_layers` is below 1.

    References
    ----------
    .. [1] Code of "Regular graph pruning" (arXiv 2110.15192), gradient_resistance_calculate.py.

    Examples
    --------
    >>> aopu(NodeGraph.from_edges(3, [(0, 1), (1, 2), (2, 0)]), n_layers=4)
    9.0
    """
    if n_layers < 1:
        raise ValueError(f"n_layers: expected at least 1, got {n_layers}")
    if graph.n_nodes == 0:
        return math.nan
    touched = 0
    for sources in _batches(graph):
        steps = reference.frontiers(graph, sources)
        touched += sum(int(np.bitwise_count(next(steps)).sum()) for _ in range(n_layers))
    return touched / graph.n_nodes


def _batches(graph: NodeGraph) -> list[np.ndarray]:
    starts = range(0, graph.n_nodes, reference.TOGETHER)
    return [np.arange(start, min(start + reference.TOGETHER, graph.n_nodes)) for start in starts]


def _n_full(frontier: np.ndarray) -> int:
    """Return how many sources are at every node."""
    return int(np.bitwise_count(np.bitwise_and.reduce(frontier, axis=0)).sum())


def _mixes(graph: NodeGraph) -> bool:
    """Return whether walks of one length join all nodes: connected, not bipartite. Then the double cover is connected.

    The double cover has each node on two sides and leads from each side to the other.
    """
    n_nodes, targets = graph.n_nodes, graph.targets
    offsets = np.concatenate([graph.offsets, graph.offsets[1:] + len(targets)])
    edges = (np.ones(2 * len(targets)), np.concatenate([targets + n_nodes, targets]), offsets)
    cover = csr_array(edges, shape=(2 * n_nodes, 2 * n_nodes))
    return bool(connected_components(cover, directed=False, return_labels=False) == 1)
