"""Graphs without chance: rings, circulants, grids, cubes."""

from collections.abc import Iterable

import numpy as np

from netgraph.errors import InfeasibleDegreeError
from netgraph.generators.feasible import check_degree
from netgraph.node_graph import NodeGraph

__all__ = ["circulant", "complete", "cycle", "generalised_petersen", "grid", "hypercube"]


def circulant(n_nodes: int, *, degree: int | None = None, offsets: Iterable[int] | None = None) -> NodeGraph:
    """Return the graph in which node i is joined to i + o and i - o (mod n) for each offset o.

    With a degree in place of offsets these are 1, 2, ..., degree / 2 and, for an odd degree, n / 2: the ring with the
    longest paths, from which RGP starts its swaps [1]_.

    Parameters
    ----------
    n_nodes : int
    degree : int, optional
    offsets : iterable of int, optional
        Different from each other and from 0 up to sign and modulo n. One of the two must be given.

    Returns
    -------
    NodeGraph
        Regular.

    Raises
    ------
    InfeasibleDegreeError
        There is no regular graph of this degree, or an offset joins a node to itself or to the same node twice.
    ValueError
        Both or neither of `degree` and `offsets` are given.

    References
    ----------
    .. [1] Regular Graph Pruning, arXiv 2110.15192 (2021), and its code; differs from it for odd degrees, where that
       takes the complement of a circulant.

    Examples
    --------
    >>> circulant(6, degree=2) == cycle(6), circulant(6, offsets=[2, 3]).neighbours[0].tolist()
    (True, [2, 3, 4])
    """
    if (degree is None) == (offsets is None):
        raise ValueError(f"expected either degree or offsets, got degree={degree} and offsets={offsets}")
    if degree is not None:
        check_degree(n_nodes, degree)
        offsets = [*range(1, degree // 2 + 1), *([n_nodes // 2] if degree % 2 else [])]
    assert offsets is not None
    steps = [min(step % n_nodes, -step % n_nodes) for step in offsets]
    if 0 in steps or len(set(steps)) < len(steps):
        raise InfeasibleDegreeError(
            f"offsets {steps} modulo {n_nodes}: expected numbers other than 0, no two equal up to sign"
        )
    moves = sorted({move for step in steps for move in (step, n_nodes - step)})
    nodes = np.arange(n_nodes)[:, None]
    return NodeGraph.from_neighbours((nodes + np.array(moves, dtype=np.int64)) % n_nodes)


def cycle(n_nodes: int) -> NodeGraph:
    """Return the cycle 0, 1, ..., n - 1, 0.

    Parameters
    ----------
    n_nodes : int
        At least 3.

    Returns
    -------
    NodeGraph

    Raises
    ------
    InfeasibleDegreeError
        Fewer than 3 nodes.

    Examples
    --------
    >>> cycle(4).neighbours.tolist()
    [[1, 3], [0, 2], [1, 3], [0, 2]]
    """
    return circulant(n_nodes, degree=2)


def complete(n_nodes: int) -> NodeGraph:
    """Return the graph in which all pairs of nodes are joined.

    Parameters
    ----------
    n_nodes : int
        At least 1.

    Returns
    -------
    NodeGraph

    Raises
    ------
    InfeasibleDegreeError
        There is no node.

    Examples
    --------
    >>> complete(5)
    NodeGraph: 5 nodes, 10 edges, 4-regular
    """
    check_degree(n_nodes, 0)
    return NodeGraph.from_adjacency(~np.eye(n_nodes, dtype=bool))


def hypercube(dimension: int) -> NodeGraph:
    """Return the graph on the 2^dimension bit strings in which strings that differ in one bit are joined.

    Parameters
    ----------
    dimension : int
        At least 0.

    Returns
    -------
    NodeGraph

    Examples
    --------
    >>> hypercube(3).neighbours[0].tolist()
    [1, 2, 4]
    """
    if dimension < 0:
        raise ValueError(f"dimension: expected at least 0, got {dimension}")
    return NodeGraph.from_neighbours(np.arange(2**dimension)[:, None] ^ (1 << np.arange(dimension)))


def grid(*sizes: int) -> NodeGraph:
    """Return the grid of any number of dimensions, nodes numbered row by row.

    Parameters
    ----------
    *sizes : int
        Nodes along each dimension, at least 1.

    Returns
    -------
    NodeGraph

    Examples
    --------
    >>> grid(2, 3).edges().tolist()
    [[0, 1], [0, 3], [1, 2], [1, 4], [2, 5], [3, 4], [4, 5]]
    """
    if not sizes or min(sizes) < 1:
        raise ValueError(f"sizes: expected at least one, each at least 1, got {sizes}")
    number = np.arange(int(np.prod(sizes))).reshape(sizes)
    steps = [(np.delete(number, -1, axis), np.delete(number, 0, axis)) for axis in range(len(sizes))]
    edges = [np.stack([a.reshape(-1), b.reshape(-1)], axis=1) for a, b in steps]
    return NodeGraph.from_edges(number.size, np.concatenate(edges))


def generalised_petersen(n_nodes: int, step: int) -> NodeGraph:
    """Return an outer cycle of n / 2 nodes, each joined to its inner node, and inner node i to i + step and i - step.

    Parameters
    ----------
    n_nodes : int
        Even, at least 6.
    step : int
        At least 1 and less than a quarter of `n_nodes`.

    Returns
    -------
    NodeGraph
        3-regular; the Petersen graph for 10 nodes and step 2.

    Raises
    ------
    InfeasibleDegreeError
        There is no such graph.

    Examples
    --------
    >>> generalised_petersen(10, 2)
    NodeGraph: 10 nodes, 15 edges, 3-regular
    """
    half = n_nodes // 2
    if n_nodes % 2 or n_nodes < 6 or not 1 <= step < half / 2:
        raise InfeasibleDegreeError(
            f"{n_nodes} nodes, step {step}: expected an even number of at least 6 and 1 <= step < n_nodes / 4"
        )
    outer = np.arange(half)
    table = [(outer + 1) % half, (outer - 1) % half, outer + half]
    inner = [half + (outer + step) % half, half + (outer - step) % half, outer]
    return NodeGraph.from_neighbours(np.concatenate([np.stack(table, axis=1), np.stack(inner, axis=1)]))
