"""Graphs as the annealers hold them: tables of neighbours, and arcs of graphs with a cyclic symmetry."""

import numpy as np

from netgraph import native
from netgraph.node_graph import NodeGraph
from netgraph.search import reference

__all__ = [
    "GROUPS",
    "MOST_NODES",
    "Annealer",
    "graph_of_arcs",
    "graph_of_table",
    "open_annealer",
    "random_arcs",
    "table_of",
]

MOST_NODES = 1 << 16
"""Nodes that a table can name."""

GROUPS = (64, 32, 16, 8, 4)
"""Orders of the rotations that the kernels know."""

Annealer = reference.Swaps | reference.TwoHops | reference.Lifts | reference.Cayley
"""Or the class of the same name of the compiled kernels."""


def open_annealer(kind: str, cells: np.ndarray, option: int, random: int) -> Annealer:
    """Return the annealer of that kind, the name of its class, on these cells, compiled if there are kernels."""
    annealer: Annealer = getattr(native.kernels or reference, kind)(cells, option, random)
    return annealer


def table_of(graph: NodeGraph) -> np.ndarray:
    """Return the neighbours of each node, filled up with the node itself: ndarray of uint16, shape (n, degree)."""
    width = int(graph.degrees.max(initial=0))
    table = np.repeat(np.arange(graph.n_nodes, dtype=np.uint16)[:, None], width, axis=1)
    table[np.arange(width) < graph.degrees[:, None]] = graph.targets
    return np.ascontiguousarray(table)


def graph_of_table(table: np.ndarray) -> NodeGraph:
    """Return the graph of such a table."""
    nodes = np.repeat(np.arange(len(table)), table.shape[1])
    neighbours = table.reshape(-1).astype(np.int64)
    once = nodes < neighbours
    return NodeGraph.from_edges(len(table), np.stack([nodes[once], neighbours[once]], axis=1))


def graph_of_arcs(arcs: np.ndarray, group: int) -> NodeGraph:
    """Return the graph whose arc (t, s) of row m leads from node (m, p) to (t, p + s); (m, p) is node group m + p."""
    targets, shifts = (arcs >> 8).astype(np.int64), (arcs & 0xFF).astype(np.int64)
    turned = (shifts[:, None] + np.arange(group)[:, None]) % group
    return NodeGraph.from_neighbours((targets[:, None] * group + turned).reshape(-1, arcs.shape[1]))


def random_arcs(n_nodes: int, degree: int, group: int, rng: np.random.Generator) -> np.ndarray:
    """Return the arcs of a random graph with that symmetry, not always connected: ndarray of uint32, (rows, degree).

    The ends of arcs are paired at random and each pair is given a random turn, anew until no edge is a loop, its own
    reverse or there twice.
    """
    rows = n_nodes // group
    while True:
        ends = rng.permutation(rows * degree).reshape(-1, 2)
        arcs = np.zeros(rows * degree, dtype=np.uint32)
        taken: set[tuple[int, int, int]] = set()
        if all(_turn_pair(arcs, taken, a, b, degree, group, rng) for a, b in ends.tolist()):
            return arcs.reshape(rows, degree)


def _turn_pair(
    arcs: np.ndarray,
    taken: set[tuple[int, int, int]],
    a: int,
    b: int,
    degree: int,
    group: int,
    rng: np.random.Generator,
) -> bool:
    """Join two ends by an arc with a turn that is free; False if none is."""
    row, end = a // degree, b // degree
    for shift in rng.permutation(group).tolist():
        if (row, end, shift) in taken or (row == end and 2 * shift % group == 0):
            continue
        taken |= {(row, end, shift), (end, row, -shift % group)}
        arcs[a], arcs[b] = end << 8 | shift, row << 8 | -shift % group
        return True
    return False
