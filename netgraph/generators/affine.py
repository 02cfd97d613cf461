"""Affine polarity graphs: q^2 nodes, any degree up to q, hardly any two nodes with two common neighbours."""

import numpy as np

from netgraph.errors import InfeasibleDegreeError
from netgraph.generators.finite_field import finite_field, prime_power
from netgraph.node_graph import NodeGraph

__all__ = ["affine_polarity"]


def affine_polarity(order: int, degree: int, *, seed: int | np.random.Generator | None = None) -> NodeGraph:
    """Return a regular graph on GF(q)^2, q = 2^m, with few paths of two edges wasted.

    For each chosen class c, an element of GF(q), node (x, y) is joined to (x + c, y + x (x + c)): a perfect matching.
    Class 0 would join the nodes (0, y) to themselves; they are joined in pairs instead. Without these q / 2 edges no
    two nodes have two common neighbours; with all q classes and the loops in their place the second largest absolute
    eigenvalue is sqrt(q). Fewer classes are drawn at random, but never all from one affine subspace of GF(2)^m: those
    that lie in one without 0 give a bipartite graph, in one with 0 a graph in pieces.

    Parameters
    ----------
    order : int
        q, a power of 2; the graph has q^2 nodes, node (x, y) is number x q + y.
    degree : int
        1 to `order`. Up to m classes always lie in an affine subspace, so connected non-bipartite graphs begin at
        degree m + 1.
    seed : int, numpy.random.Generator or None
        Chooses the classes.

    Returns
    -------
    NodeGraph

    Raises
    ------
    InfeasibleDegreeError
        `order` is no power of 2, or the degree is outside its range.

    References
    ----------
    .. [1] Brown, "On graphs that do not contain a Thomsen graph", Canadian Mathematical Bulletin 9 (1966): the
       projective graph of which this is the affine part, cut into matchings.

    Examples
    --------
    >>> affine_polarity(8, 8)
    NodeGraph: 64 nodes, 256 edges, 8-regular
    """
    if (prime_power(order) or (0, 0))[0] != 2 or not 1 <= degree <= order:
        raise InfeasibleDegreeError(
            f"order {order}, degree {degree}: expected a power of 2 and a degree from 1 to the order"
        )
    field = finite_field(order)
    x, y = np.divmod(np.arange(order * order), order)
    table = []
    for c in _classes(order, degree, np.random.default_rng(seed)):
        other = field.add(x, c)
        level = field.add(y, field.multiply(x, other))
        table.append(other * order + (level if c else np.where(x == 0, y ^ 1, level)))
    return NodeGraph.from_neighbours(np.stack(table, axis=1))


def _classes(order: int, degree: int, rng: np.random.Generator) -> list[int]:
    dimension = order.bit_length() - 1
    while True:
        drawn = rng.permutation(order)[:degree].tolist()
        if degree <= dimension or _rank([c ^ drawn[0] for c in drawn[1:]]) == dimension:
            return drawn


def _rank(vectors: list[int]) -> int:
    """Return the rank of some vectors over GF(2), each an integer with one bit a coordinate."""
    basis: list[int] = []
    for vector in vectors:
        for other in basis:
            vector = min(vector, vector ^ other)
        if vector:
            basis.append(vector)
    return len(basis)
