"""How else one would find accessible and co-accessible units and count consistent weights: numpy, scipy, networkx.

All take the networks of `graphs`, in which no product has a zero factor, so that reach is plain reachability.
"""

from dataclasses import dataclass

import networkx as nx
import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import breadth_first_order

import netgraph as ng

__all__ = ["Answer", "Edges", "by_networkx", "by_numpy", "by_scipy", "edges_of", "networkx_graph"]


@dataclass(frozen=True)
class Answer:
    """Accessible and co-accessible units, and how many weights are consistent (None: not counted)."""

    accessible: np.ndarray
    co_accessible: np.ndarray
    n_consistent: int | None

    def equals(self, other: "Answer") -> bool:
        """Return whether two answers agree in all that both know."""
        counted = None not in (self.n_consistent, other.n_consistent)
        return (
            np.array_equal(self.accessible, other.accessible)
            and np.array_equal(self.co_accessible, other.co_accessible)
            and (not counted or self.n_consistent == other.n_consistent)
        )


def by_numpy(graph: ng.NetGraph, weights: dict[str, np.ndarray]) -> Answer:
    """Go layer by layer over boolean masks, forward and back."""
    live, co = np.zeros(graph.n_units, bool), np.zeros(graph.n_units, bool)
    live[graph.inputs], co[graph.outputs] = True, True
    kept = {c.parameter: weights[c.parameter].reshape(c.rows, c.columns, c.taps) != 0 for c in graph.weighted}
    pairs = {name: mask.any(axis=2) if mask.shape[2] > 1 else mask[:, :, 0] for name, mask in kept.items()}
    for c in graph.connections:
        source, target = graph.slices[c.source], graph.slices[c.target]
        if isinstance(c, ng.Connection):
            live[target] |= (pairs[c.parameter] & live[source]).any(axis=1)
        else:
            live[target] |= np.repeat(live[source].reshape(c.groups, -1).any(axis=1), c.fan_out)
    n_consistent = 0
    for c in reversed(graph.connections):
        source, target = graph.slices[c.source], graph.slices[c.target]
        if isinstance(c, ng.Connection):
            co[source] |= pairs[c.parameter][co[target]].any(axis=0)
            n_consistent += np.count_nonzero(kept[c.parameter] & (co[target][:, None] & live[source])[:, :, None])
        else:
            co[source] |= np.repeat(co[target].reshape(c.groups, -1).any(axis=1), c.fan_in)
    return Answer(live, co, int(n_consistent))


@dataclass(frozen=True)
class Edges:
    """Edge arrays: source, target and number of kept weights. Two more nodes stand for all inputs and all outputs.

    A block of wiring that mixes goes through a hub node, so that it does not become fan_in * fan_out edges.
    """

    source: np.ndarray
    target: np.ndarray
    weights: np.ndarray
    n_nodes: int
    start: int
    end: int


def edges_of(graph: ng.NetGraph, weights: dict[str, np.ndarray]) -> Edges:
    """Return the edge arrays of a graph under the kept elements of `weights`."""
    start, end, n = graph.n_units, graph.n_units + 1, graph.n_units + 2
    parts = [(np.full(graph.inputs.size, start), graph.inputs, 0), (graph.outputs, np.full(graph.outputs.size, end), 0)]
    for c in graph.connections:
        first, to = graph.slices[c.source].start, graph.slices[c.target].start
        if isinstance(c, ng.Connection):
            taps = np.count_nonzero(weights[c.parameter].reshape(c.rows, c.columns, c.taps), axis=2)
            row, column = np.nonzero(taps)
            parts.append((column + first, row + to, taps[row, column]))
        elif c.fan_in == 1 or c.fan_out == 1:
            source, target = c.edges()
            parts.append((source + first, target + to, 0))
        else:
            hubs = np.arange(n, n + c.groups)
            parts.append((np.arange(c.groups * c.fan_in) + first, np.repeat(hubs, c.fan_in), 0))
            parts.append((np.repeat(hubs, c.fan_out), np.arange(c.groups * c.fan_out) + to, 0))
            n += c.groups
    source, target = (np.concatenate([part[i] for part in parts]).astype(np.int32) for i in (0, 1))
    counts = np.concatenate([np.broadcast_to(part[2], part[0].shape) for part in parts])
    return Edges(source, target, counts, n, start, end)


def by_scipy(graph: ng.NetGraph, edges: Edges) -> Answer:
    """Build two sparse matrices and search breadth first from either end."""
    matrix = coo_array((np.ones(edges.source.size, np.int8), (edges.source, edges.target)), (edges.n_nodes,) * 2)
    live, co = np.zeros(edges.n_nodes, bool), np.zeros(edges.n_nodes, bool)
    live[breadth_first_order(matrix.tocsr(), edges.start, return_predecessors=False)] = True
    co[breadth_first_order(matrix.T.tocsr(), edges.end, return_predecessors=False)] = True
    consistent = edges.weights[live[edges.source] & co[edges.target]].sum()
    return Answer(live[: graph.n_units], co[: graph.n_units], int(consistent))


def networkx_graph(edges: Edges) -> nx.DiGraph:
    """Return the graph that networkx searches."""
    digraph = nx.DiGraph()
    digraph.add_nodes_from(range(edges.n_nodes))
    digraph.add_edges_from(zip(edges.source.tolist(), edges.target.tolist(), strict=True))
    return digraph


def by_networkx(graph: ng.NetGraph, digraph: nx.DiGraph, edges: Edges) -> Answer:
    """Search a graph that stands already, from either end; nothing is counted."""
    live, co = np.zeros(edges.n_nodes, bool), np.zeros(edges.n_nodes, bool)
    live[list(nx.descendants(digraph, edges.start))] = True
    co[list(nx.ancestors(digraph, edges.end))] = True
    return Answer(live[: graph.n_units], co[: graph.n_units], None)
