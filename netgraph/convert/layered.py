"""Layers for a graph that has none: nodes grouped by the longest path that leads to them.

Edges that close a cycle are set aside first: among the nodes of one strongly connected component, those that lead to a
node with the same or a smaller number. What is left has no cycle, and the layer of a node is the number of edges on the
longest path to it. An edge that then does not lead to a later layer becomes a feedback connection.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from netgraph.bits import pack_rows
from netgraph.connection import Connection, ParameterInfo, Wiring
from netgraph.convert.biadjacency import matrix_connection
from netgraph.errors import GraphStructureError
from netgraph.graph import NetGraph

__all__ = ["Layering", "checked_edges", "layered_graph", "unit_order"]


@dataclass(frozen=True, slots=True, eq=False)
class Layering:
    """Which node became which unit.

    Parameters
    ----------
    order : ndarray of int64, shape (n_units,)
        Node of each unit.
    unit : ndarray of int64, shape (n_units,)
        Unit of each node.
    layer : ndarray of int64, shape (n_units,)
        Layer number of each node.
    starts : ndarray of int64, shape (n_layers + 1,)
        First unit of each layer, then the end.
    """

    order: np.ndarray
    unit: np.ndarray
    layer: np.ndarray
    starts: np.ndarray

    @classmethod
    def of(cls, edges: np.ndarray, n_nodes: int) -> "Layering":
        """Return the layers of the nodes 0 to `n_nodes` - 1 under `edges`, shape (n_edges, 2)."""
        layer = _longest_path(edges[~_closes_cycle(edges, n_nodes)], n_nodes)
        order = np.argsort(layer, kind="stable")
        unit = np.empty(n_nodes, dtype=np.int64)
        unit[order] = np.arange(n_nodes)
        return cls(order, unit, layer, np.cumsum([0, *np.bincount(layer)]))


def unit_order(edges: ArrayLike, n_nodes: int) -> np.ndarray:
    """Return which node became which unit in `from_edge_array` and `from_scipy`.

    Parameters
    ----------
    edges : array_like of int, shape (n_edges, 2)
        Source and target node of each edge.
    n_nodes : int

    Returns
    -------
    ndarray of int64, shape (n_nodes,)
        Node of each unit: by layer, then by node number.

    Raises
    ------
    GraphStructureError
        `edges` has another shape or dtype, or names a node outside [0, n_nodes).

    Examples
    --------
    >>> unit_order([(2, 0), (0, 1)], 3).tolist()
    [2, 0, 1]
    """
    return Layering.of(checked_edges(edges, n_nodes), n_nodes).order


def checked_edges(edges: ArrayLike, n_nodes: int) -> np.ndarray:
    """Return `edges` as ndarray of int64, shape (n_edges, 2), or raise GraphStructureError."""
    pairs = np.asarray(edges)
    if pairs.size == 0:
        return np.zeros((0, 2), dtype=np.int64)
    if pairs.ndim != 2 or pairs.shape[1] != 2 or pairs.dtype.kind not in "iu":
        raise GraphStructureError(
            f"edges: expected int rows (source, target), got {pairs.dtype} of shape {pairs.shape}"
        )
    if not 0 <= pairs.min() <= pairs.max() < n_nodes:
        raise GraphStructureError(f"edges: expected nodes in [0, {n_nodes}), got {pairs.min()} to {pairs.max()}")
    return pairs.astype(np.int64)


def layered_graph(
    edges: np.ndarray,
    n_nodes: int,
    *,
    fixed: np.ndarray | None = None,
    inputs: ArrayLike | None = None,
    outputs: ArrayLike | None = None,
) -> tuple[NetGraph, Layering]:
    """Return the graph of any directed graph, and which node became which unit.

    Parameters
    ----------
    edges : ndarray of int64, shape (n_edges, 2)
    n_nodes : int
    fixed : ndarray of bool, shape (n_edges,), optional
        True for the edges that carry no weight; none if not given.
    inputs, outputs : array_like of int, optional
        Nodes; those without a predecessor and without a successor if not given.

    Returns
    -------
    graph : NetGraph
        One parameter "layer0->layer1" for each pair of layers that weighted edges join, of shape (out, in).
    layering : Layering
    """
    layering = Layering.of(edges, n_nodes)
    weighted = np.ones(len(edges), dtype=bool) if fixed is None else ~fixed
    connections, bits = _weighted(edges[weighted], layering)
    graph = NetGraph(
        layers={f"layer{i}": _size(layering, i) for i in range(len(layering.starts) - 1)},
        connections=(*connections, *_wired(edges[~weighted], layering)),
        bits=bits,
        inputs=layering.unit[_nodes("inputs", inputs, edges[:, 1], n_nodes)],
        outputs=layering.unit[_nodes("outputs", outputs, edges[:, 0], n_nodes)],
        parameters={c.parameter: ParameterInfo((c.rows, c.columns), "edge") for c in connections},
    )
    return graph, layering


def _weighted(edges: np.ndarray, layering: Layering) -> tuple[list[Connection], np.ndarray]:
    """Return one connection for each pair of layers that `edges` join, and the bits of all."""
    connections: list[Connection] = []
    words = [np.zeros(0, dtype=np.uint64)]
    for source, target, pairs in _by_layers(edges, layering):
        kept = np.zeros((_size(layering, target), _size(layering, source)), dtype=bool)
        kept[pairs[:, 1], pairs[:, 0]] = True
        names = f"layer{source}", f"layer{target}"
        connections.append(matrix_connection("->".join(names), names, kept.shape, feedback=source >= target))
        words.append(pack_rows(kept))
    return connections, np.concatenate(words)


def _wired(edges: np.ndarray, layering: Layering) -> list[Wiring]:
    return [
        Wiring(f"layer{source}", f"layer{target}", 0, pairs=pairs.T.astype(np.int32), feedback=source >= target)
        for source, target, pairs in _by_layers(edges, layering)
    ]


def _size(layering: Layering, layer: int) -> int:
    return int(layering.starts[layer + 1] - layering.starts[layer])


def _nodes(label: str, chosen: ArrayLike | None, ends: np.ndarray, n_nodes: int) -> np.ndarray:
    """Return the chosen nodes, or by default those at which no edge ends."""
    if chosen is None:
        nodes = np.flatnonzero(np.bincount(ends, minlength=n_nodes) == 0)
        if n_nodes and not nodes.size:
            side = "predecessor" if label == "inputs" else "successor"
            raise GraphStructureError(f"{label}: every node has a {side}; name the {label} with {label}=")
        return nodes
    nodes = np.asarray(chosen, dtype=np.int64).reshape(-1)
    if nodes.size and not 0 <= nodes.min() <= nodes.max() < n_nodes:
        raise GraphStructureError(f"{label}: expected nodes in [0, {n_nodes}), got {nodes.tolist()}")
    return nodes


def _by_layers(edges: np.ndarray, layering: Layering) -> list[tuple[int, int, np.ndarray]]:
    """Return (source layer, target layer, pairs of units counted inside the layers), by target, then source layer."""
    layer = layering.layer[edges]
    local = layering.unit[edges] - layering.starts[layer]
    order = np.lexsort((layer[:, 0], layer[:, 1]))
    joined, starts = np.unique(layer[order][:, ::-1], axis=0, return_index=True)
    parts = np.split(local[order], starts[1:])
    return [(source, target, part) for (target, source), part in zip(joined.tolist(), parts, strict=False)]


def _closes_cycle(edges: np.ndarray, n_nodes: int) -> np.ndarray:
    ones = np.ones(len(edges), dtype=np.int8)
    square = csr_array((ones, (edges[:, 0], edges[:, 1])), shape=(n_nodes, n_nodes))
    component = connected_components(square, connection="strong")[1] if n_nodes else np.zeros(0, np.int32)
    return (component[edges[:, 0]] == component[edges[:, 1]]) & (edges[:, 1] <= edges[:, 0])


def _longest_path(edges: np.ndarray, n_nodes: int) -> np.ndarray:
    """Return the number of edges on the longest path to each node of a graph without cycles."""
    targets = edges[np.argsort(edges[:, 0], kind="stable"), 1]
    starts = np.cumsum([0, *np.bincount(edges[:, 0], minlength=n_nodes)])
    waiting = np.bincount(edges[:, 1], minlength=n_nodes)
    layer = np.zeros(n_nodes, dtype=np.int64)
    ready, number = np.flatnonzero(waiting == 0), 0
    while ready.size:
        layer[ready] = number
        reached = targets[_ranges(starts[ready], starts[ready + 1])]
        np.subtract.at(waiting, reached, 1)
        ready, number = np.unique(reached[waiting[reached] == 0]), number + 1
    return layer


def _ranges(starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Return the integers of all ranges, one range after the other."""
    lengths = ends - starts
    before = np.cumsum(lengths) - lengths
    return np.repeat(starts - before, lengths) + np.arange(lengths.sum())
