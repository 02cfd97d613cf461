"""Affine polarity graphs: graphs of diameter two and three, short from the start, where a search never gets."""

import math

import numpy as np

from netgraph.node_graph import NodeGraph
from netgraph.paths import distance_histogram

__all__ = ["algebraic_seed", "has_algebraic_seed"]

POLYNOMIALS = {4: 0b111, 8: 0b1011, 16: 0b10011, 32: 0b100101, 64: 0b1000011, 128: 0b10000011, 256: 0b100011101}
"""For each order of a field of characteristic two an irreducible polynomial, a bit a coefficient."""

DRAWS = 6
"""How many choices of classes are compared where the degree leaves a choice."""


def has_algebraic_seed(n_nodes: int, degree: int) -> bool:
    """Return whether `algebraic_seed` has a graph for that many nodes of that degree that is worth starting from.

    It has one for n = q^2, q = 8, 16, ... 256, and pays for degrees near q: below about q / 2 a search finds shorter
    graphs.
    """
    q = math.isqrt(n_nodes)
    if q < 8 or q * q != n_nodes or q not in POLYNOMIALS:
        return False
    return degree == q or (q >= 16 and 9 * q <= 16 * degree < 16 * q)


def algebraic_seed(n_nodes: int, degree: int, rng: np.random.Generator) -> NodeGraph:
    """Return the shortest of a few affine polarity graphs.

    Nodes are points (x, y) of the plane over the field of q = 2^m elements. For each chosen class c != 0 node (x, y)
    is joined with (x + c, y + x (x + c)), for c = 0 with (x, y + x^2); the loops of class 0 at x = 0 become pairs. Two
    nodes have at most one neighbour in common, but for those pairs. With all classes the degree is q.

    Parameters
    ----------
    n_nodes : int
        q^2.
    degree : int
        At most q.
    rng : numpy.random.Generator
        Draws the classes where there are more than the degree takes.

    Returns
    -------
    NodeGraph

    References
    ----------
    Brown (1966), "On graphs that do not contain a Thomsen graph", Canadian Mathematical Bulletin 9: 281-285, without
    the points of one line.
    """
    q = math.isqrt(n_nodes)
    table = _products(q)
    draws = 1 if degree == q else DRAWS
    classes = [np.append(rng.permutation(np.arange(1, q))[: degree - 1], 0) for _ in range(draws)]
    return min((_polarity_graph(table, chosen) for chosen in classes), key=_hops)


def _polarity_graph(table: np.ndarray, classes: np.ndarray) -> NodeGraph:
    q = len(table)
    x, y = np.divmod(np.arange(q * q), q)
    columns = [(x ^ c) * q + (y ^ table[x, x ^ c]) for c in classes.tolist()]
    columns[-1] = np.where(x == 0, y ^ 1, columns[-1])
    return NodeGraph.from_neighbours(np.stack(columns, axis=1))


def _hops(graph: NodeGraph) -> tuple[int, int]:
    """Return pairs that are not joined and the sum of hops over those that are: shorter graphs compare less."""
    counts = distance_histogram(graph)
    return graph.n_nodes**2 - int(counts.sum()), int(counts @ np.arange(len(counts)))


def _products(q: int) -> np.ndarray:
    """Return the table of multiplication of the field of q elements."""
    a, b = np.meshgrid(np.arange(q), np.arange(q), indexing="ij")
    product = np.zeros((q, q), dtype=np.int64)
    for bit in range(q.bit_length() - 1):
        product ^= np.where(b >> bit & 1, a, 0)
        a = a << 1
        a = np.where(a & q, a ^ POLYNOMIALS[q], a)
    return product
