"""Graphs of diameter 2 from finite fields: Erdos-Renyi polarity and McKay-Miller-Siran."""

import numpy as np

from netgraph.errors import InfeasibleDegreeError
from netgraph.generators.finite_field import FiniteField, finite_field
from netgraph.node_graph import NodeGraph

__all__ = ["hoffman_singleton", "mckay_miller_siran", "polarity"]


def polarity(order: int) -> NodeGraph:
    """Return the Erdos-Renyi polarity graph: points of the projective plane over GF(q), joined if their product is 0.

    It has q^2 + q + 1 nodes and diameter 2, and any two nodes have exactly one common neighbour (themselves counted
    where a point is orthogonal to itself). The q + 1 such points have degree q, all others q + 1.

    Parameters
    ----------
    order : int
        q, a power of a prime.

    Returns
    -------
    NodeGraph
        Not regular; `netgraph.generators.refill` makes it so.

    Raises
    ------
    InfeasibleDegreeError
        There is no field of this order.

    References
    ----------
    .. [1] Erdos, Renyi and Sos, "On a problem of graph theory", Studia Scientiarum Mathematicarum Hungarica 1 (1966).

    Examples
    --------
    >>> polarity(3)
    NodeGraph: 13 nodes, 24 edges, degrees 3 to 4
    """
    field = finite_field(order)
    elements = np.arange(order)
    products, sums = (make(elements[:, None], elements) for make in (field.multiply, field.add))
    points = _points(order)
    edges = [np.zeros((0, 2), dtype=np.int64)]
    for number, (a, b, c) in enumerate(points):
        x, y, z = points[number + 1 :].T
        total = sums[sums[products[a][x], products[b][y]], products[c][z]]
        others = number + 1 + np.flatnonzero(total == 0)
        edges.append(np.stack([np.full_like(others, number), others], axis=1))
    return NodeGraph.from_edges(len(points), np.concatenate(edges))


def mckay_miller_siran(order: int) -> NodeGraph:
    """Return the McKay-Miller-Siran graph: 2 q^2 nodes, degree (3 q - e) / 2, diameter 2.

    Nodes are (0, x, y) and (1, m, c) over GF(q). (0, x, y) is joined to (1, m, c) if y = m x + c, to (0, x, z) if
    y - z is in a set X, and (1, m, c) to (1, m, d) if c - d is in a set X'. With a primitive element g, X holds the
    even and X' the odd powers of g, changed as in [2]_ where these are not closed under negation. e is 0, 1 or -1 for q
    mod 4 = 0, 1 or 3.

    Parameters
    ----------
    order : int
        q, a power of a prime, q mod 4 not 2; 5 gives the Hoffman-Singleton graph.

    Returns
    -------
    NodeGraph

    Raises
    ------
    InfeasibleDegreeError
        There is no field of this order, or it is 2.

    References
    ----------
    .. [1] McKay, Miller and Siran, "A note on large graphs of diameter two and given maximum degree", Journal of
       Combinatorial Theory B 74 (1998).
    .. [2] Hafner, "Geometric realisation of the graphs of McKay-Miller-Siran", Journal of Combinatorial Theory B 90
       (2004).

    Examples
    --------
    >>> mckay_miller_siran(7)
    NodeGraph: 98 nodes, 539 edges, 11-regular
    """
    field = finite_field(order)
    if order % 4 == 2:
        raise InfeasibleDegreeError(f"order: expected q mod 4 other than 2, got {order}")
    x, y = np.divmod(np.arange(order * order), order)
    table = [_within(field, x, y, chosen, side) for side, chosen in enumerate(_generators(field))]
    lines = np.arange(order)
    slope = np.broadcast_to(lines, (order * order, order))
    first = order * order + slope * order + field.subtract(y[:, None], field.multiply(slope, x[:, None]))
    second = slope * order + field.add(field.multiply(slope, x[:, None]), y[:, None])
    rows = [np.concatenate(sides, axis=1) for sides in zip(table, (first, second), strict=True)]
    return NodeGraph.from_neighbours(np.concatenate(rows))


def hoffman_singleton() -> NodeGraph:
    """Return the Hoffman-Singleton graph: 50 nodes, degree 7, diameter 2, girth 5; it meets the Moore bound.

    Returns
    -------
    NodeGraph

    Examples
    --------
    >>> hoffman_singleton()
    NodeGraph: 50 nodes, 175 edges, 7-regular
    """
    return mckay_miller_siran(5)


def _points(order: int) -> np.ndarray:
    """Return one vector for each point of the projective plane, its first nonzero coordinate 1: shape (n, 3)."""
    a, b = (axis.reshape(-1) for axis in np.indices((order, order)))
    line = np.arange(order)
    plane = np.stack([np.ones_like(a), a, b], axis=1)
    return np.concatenate([plane, np.stack([0 * line, 0 * line + 1, line], axis=1), [[0, 0, 1]]])


def _generators(field: FiniteField) -> tuple[np.ndarray, np.ndarray]:
    """Return the sets X and X'."""
    q, powers = field.order, field.powers
    even, odd = [*range(0, q - 1, 2)], [*range(1, q, 2)]
    if q % 4 == 3:  # -1 is an odd power: both sets change parity half way to stay closed under negation
        half = (q - 1) // 2
        even = [*range(0, half, 2), *range(half, q - 1, 2)]
        odd = [*range(1, half + 1, 2), *range(half + 1, q, 2)]
    return powers[even], powers[np.array(odd) % (q - 1)]


def _within(field: FiniteField, x: np.ndarray, y: np.ndarray, chosen: np.ndarray, side: int) -> np.ndarray:
    return side * field.order**2 + x[:, None] * field.order + field.add(y[:, None], chosen)
