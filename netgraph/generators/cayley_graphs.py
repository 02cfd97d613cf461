"""Cayley graphs of semidirect products of two cyclic groups, and a search for one with short paths."""

from collections.abc import Iterable
from functools import lru_cache

import numpy as np

from netgraph.errors import InfeasibleDegreeError
from netgraph.generators.feasible import check_degree
from netgraph.node_graph import NodeGraph

__all__ = ["cayley", "groups_of", "inverse_in", "search_cayley"]


def cayley(sizes: tuple[int, int], power: int, generators: Iterable[tuple[int, int]]) -> NodeGraph:
    """Return the Cayley graph of the group Z_s x|_r Z_t: element g is joined to g h for each generator h.

    The group has the elements (a, b), a modulo s and b modulo t, and the product
    (a, b) (c, d) = (a + r^b c, b + d). The graph looks the same from every node.

    Parameters
    ----------
    sizes : tuple of 2 int
        s and t; the graph has s t nodes, element (a, b) is number a t + b.
    power : int
        r, with r^t = 1 modulo s; 1 gives the direct product.
    generators : iterable of tuple of 2 int
        Closed under inverses and without (0, 0).

    Returns
    -------
    NodeGraph
        Regular.

    Raises
    ------
    InfeasibleDegreeError
        r^t is not 1 modulo s, or the generators are not as described.

    References
    ----------
    .. [1] Kitasuka, Matsuzaki and Iida, "Order adjustment approach using Cayley graphs for the order/degree problem",
       IEICE Transactions E101-D (2018).

    Examples
    --------
    The triangular prism is a Cayley graph of the symmetric group S_3 = Z_3 x|_2 Z_2:

    >>> cayley((3, 2), 2, [(1, 0), (2, 0), (0, 1)])
    NodeGraph: 6 nodes, 9 edges, 3-regular
    """
    s, t = sizes
    if s < 1 or t < 1 or (pow(power, t, s) - 1) % s:
        raise InfeasibleDegreeError(f"s={s}, t={t}, r={power}: expected r^t = 1 modulo s")
    chosen = sorted({(a % s, b % t) for a, b in generators})
    inverse = {inverse_in(sizes, power, h) for h in chosen}
    if (0, 0) in inverse or inverse != set(chosen):
        raise InfeasibleDegreeError(f"generators {chosen}: expected each with its inverse, and not (0, 0)")
    return NodeGraph.from_neighbours(_table(sizes, power, chosen))


def search_cayley(
    n_nodes: int, degree: int, *, tries: int = 300, seed: int | np.random.Generator | None = None
) -> NodeGraph | None:
    """Return the Cayley graph with the smallest sum of path lengths among random ones.

    Parameters
    ----------
    n_nodes, degree : int
    tries : int
        Number of random groups and generators.
    seed : int, numpy.random.Generator or None

    Returns
    -------
    NodeGraph or None
        None if no try gave a connected graph of this degree, as for one node.

    Raises
    ------
    InfeasibleDegreeError
        There is no regular graph with these numbers.

    Examples
    --------
    >>> search_cayley(20, 3, tries=50, seed=0)
    NodeGraph: 20 nodes, 30 edges, 3-regular
    """
    check_degree(n_nodes, degree)
    rng = np.random.default_rng(seed)
    groups = groups_of(n_nodes)
    best, least = None, np.inf
    for _ in range(tries if groups else 0):
        sizes, r = groups[rng.integers(len(groups))]
        chosen = _draw(sizes, r, degree, rng)
        if chosen is None:
            continue
        table = _table(sizes, r, chosen)
        length = _length_from(table, 0, least)
        if length < least:
            best, least = table, length
    return None if best is None else NodeGraph.from_neighbours(best)


@lru_cache
def groups_of(n_nodes: int) -> tuple[tuple[tuple[int, int], int], ...]:
    """Return the sizes (s, t) and the power r of every group Z_s x|_r Z_t with this many elements.

    Parameters
    ----------
    n_nodes : int

    Returns
    -------
    tuple of ((s, t), r)
        Some are isomorphic to each other.

    Examples
    --------
    >>> groups_of(6)
    (((6, 1), 1), ((3, 2), 1), ((3, 2), 2), ((2, 3), 1))
    """
    sizes = [(n_nodes // t, t) for t in range(1, n_nodes) if n_nodes % t == 0]
    return tuple(((s, t), r) for s, t in sizes for r in range(1, s) if pow(r, t, s) == 1)


def inverse_in(sizes: tuple[int, int], power: int, element: tuple[int, int]) -> tuple[int, int]:
    """Return the inverse of an element (a, b) of the group.

    Parameters
    ----------
    sizes : tuple of 2 int
    power : int
    element : tuple of 2 int

    Returns
    -------
    tuple of 2 int

    Examples
    --------
    >>> inverse_in((7, 3), 2, (1, 1))
    (3, 2)
    """
    (a, b), (s, t) = element, sizes
    return -a * pow(power, -b % t, s) % s, -b % t


def _draw(sizes: tuple[int, int], power: int, degree: int, rng: np.random.Generator) -> list[tuple[int, int]] | None:
    """Return random generators with their inverses, or None where an element of order 2 is wanted and none is met."""
    chosen: set[tuple[int, int]] = {(0, 0)}
    for _ in range(20 * degree):
        drawn = (int(rng.integers(sizes[0])), int(rng.integers(sizes[1])))
        both = {drawn, inverse_in(sizes, power, drawn)}
        if len(chosen | both) <= degree + 1:
            chosen |= both
        if len(chosen) == degree + 1:
            return sorted(chosen - {(0, 0)})
    return None


def _table(sizes: tuple[int, int], power: int, generators: list[tuple[int, int]]) -> np.ndarray:
    s, t = sizes
    a, b = np.divmod(np.arange(s * t), t)
    turn = np.array([pow(power, k, s) for k in range(t)], dtype=np.int64)[b]
    return np.stack([(a + turn * c) % s * t + (b + d) % t for c, d in generators], axis=1)


def _length_from(table: np.ndarray, node: int, bound: float) -> float:
    """Return the sum of the path lengths from a node; infinite if some node is not reached or at `bound` or above."""
    met = np.zeros(len(table), dtype=bool)
    met[node] = True
    frontier, total, hops = np.array([node]), 0, 0
    while frontier.size and total + (hops + 1) * np.count_nonzero(~met) < bound:
        hops += 1
        found = np.unique(table[frontier])
        frontier = found[~met[found]]
        met[frontier] = True
        total += hops * frontier.size
    return total if met.all() else np.inf
