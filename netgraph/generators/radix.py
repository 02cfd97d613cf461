"""RadiX-Net: sparse layers of mixed radix with the same number of paths between any input and any output."""

from collections.abc import Sequence
from math import prod

import numpy as np

from netgraph.convert import from_biadjacency
from netgraph.errors import InfeasibleDegreeError
from netgraph.graph import NetGraph

__all__ = ["radix_net"]


def radix_net(radices: Sequence[Sequence[int]], widths: Sequence[int]) -> NetGraph:
    """Return a RadiX-Net [1]_: between any input and any output unit there are equally many paths.

    One list of radices (r_1, ..., r_L) with product n describes L layers on n nodes: the i-th joins node v to the
    nodes v + j r_1 ... r_(i-1) (mod n) for 0 <= j < r_i, so that exactly one path leads from any node to any other.
    Several lists follow each other. Then each node of layer k is replaced by ``widths[k]`` units, joined as it was (a
    Kronecker product with a matrix of ones).

    Parameters
    ----------
    radices : sequence of sequences of int
        Each at least 2. All lists have the same product n; that of the last one may divide it.
    widths : sequence of int
        One more than there are radices in all, each at least 1: layer k has ``widths[k] * n`` units.

    Returns
    -------
    NetGraph
        A chain of layers; the targets of layer k + 1 have in-degree r widths[k] for its radix r.

    Raises
    ------
    InfeasibleDegreeError
        The radices or widths are not as described.

    References
    ----------
    .. [1] Robinett and Kepner, "RadiX-Net: Structured Sparse Matrices for Deep Neural Networks", arXiv 1905.00416
       (2019), section III.

    Examples
    --------
    >>> radix_net([(2, 2)], (1, 1, 2))
    NetGraph: 3 layers, 16 units, 24 of 48 weights kept
      layer   units  weights  kept  from
      layer0      4        -     -  input
      layer1      4       16     8  layer0
      layer2      8       32    16  layer1, output
    """
    n_nodes = _checked_product(radices, widths)
    matrices: list[np.ndarray] = []
    for radix, step in ((r, prod(own[:place])) for own in radices for place, r in enumerate(own)):
        row = np.zeros((n_nodes, n_nodes), dtype=bool)
        nodes = np.arange(n_nodes)
        for j in range(radix):
            row[(nodes + j * step) % n_nodes, nodes] = True
        before, after = widths[len(matrices) : len(matrices) + 2]
        matrices.append(np.kron(row, np.ones((after, before), dtype=bool)))
    return from_biadjacency(matrices)


def _checked_product(radices: Sequence[Sequence[int]], widths: Sequence[int]) -> int:
    products = [prod(own) for own in radices]
    if not products or any(r < 2 for own in radices for r in own) or not all(radices):
        raise InfeasibleDegreeError(f"radices: expected lists of numbers of at least 2, got {radices}")
    if any(p != products[0] for p in products[:-1]) or products[0] % products[-1]:
        raise InfeasibleDegreeError(f"radices: expected equal products, the last one dividing them, got {products}")
    wanted = 1 + sum(map(len, radices))
    if len(widths) != wanted or min(widths) < 1:
        raise InfeasibleDegreeError(f"widths: expected {wanted} numbers of at least 1, got {widths}")
    return products[0]
