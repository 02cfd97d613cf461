"""Graphs of networkx as arrays, and back."""

from collections.abc import Hashable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import csr_array

if TYPE_CHECKING:
    import networkx as nx

__all__ = ["BackendGraph", "convert_from_nx", "convert_to_nx"]


@dataclass(frozen=True, eq=False)
class BackendGraph:
    """A graph of networkx as arrays: what is kept are its nodes and which are joined.

    Parameters
    ----------
    nodes : list of hashable
    offsets, targets : ndarray of int64 and int32
        The successors of node i are ``targets[offsets[i]:offsets[i + 1]]``, the neighbours in an undirected graph.
    directed : bool
    """

    nodes: list[Hashable]
    offsets: np.ndarray
    targets: np.ndarray
    directed: bool

    __networkx_backend__ = "netgraph"

    def is_directed(self) -> bool:
        """Tell whether edges have a direction."""
        return self.directed

    def is_multigraph(self) -> bool:
        """Return False: parallel edges have become one."""
        return False

    def __len__(self) -> int:
        return len(self.nodes)

    def __contains__(self, node: Hashable) -> bool:
        return node in self.number

    @cached_property
    def number(self) -> dict[Hashable, int]:
        """Place of each node in `nodes`."""
        return {node: place for place, node in enumerate(self.nodes)}

    @cached_property
    def names(self) -> np.ndarray:
        """The nodes as an array of objects, from which many are taken at once."""
        return np.fromiter(self.nodes, dtype=object, count=len(self.nodes))

    @cached_property
    def reverse(self) -> "BackendGraph":
        """The graph with its edges turned round; itself if it is undirected."""
        if not self.directed:
            return self
        ones = np.ones(self.targets.size, dtype=np.int8)
        turned = csr_array((ones, self.targets, self.offsets), shape=(len(self), len(self))).T.tocsr()
        return BackendGraph(self.nodes, turned.indptr.astype(np.int64), turned.indices.astype(np.int32), True)


def convert_from_nx(graph: "nx.Graph", **ignored: object) -> BackendGraph:
    """Return a graph of networkx as this backend reads it.

    Parameters
    ----------
    graph : networkx.Graph or a subclass
    **ignored
        What networkx tells about attributes; none is read.

    Returns
    -------
    BackendGraph

    Examples
    --------
    >>> import networkx as nx
    >>> convert_from_nx(nx.path_graph(3)).targets.tolist()
    [1, 0, 2, 1]
    """
    nodes = list(graph)
    number = {node: place for place, node in enumerate(nodes)}
    counts = [len(near) for _, near in graph.adjacency()]
    targets = np.fromiter((number[node] for _, near in graph.adjacency() for node in near), np.int32, sum(counts))
    return BackendGraph(nodes, np.cumsum([0, *counts]), targets, graph.is_directed())


def convert_to_nx(result: object, **ignored: object) -> object:
    """Return a result as networkx has it: a graph of this backend as a graph of networkx, all else as it is.

    Parameters
    ----------
    result : object
    **ignored
        What networkx tells about the call.

    Returns
    -------
    object

    Examples
    --------
    >>> import networkx as nx
    >>> convert_to_nx(convert_from_nx(nx.path_graph(3))).edges
    EdgeView([(0, 1), (1, 2)])
    """
    if not isinstance(result, BackendGraph):
        return result
    import networkx as nx

    made: nx.Graph = nx.DiGraph() if result.directed else nx.Graph()
    made.add_nodes_from(result.nodes)
    sources = np.repeat(np.arange(len(result)), np.diff(result.offsets)).tolist()
    pairs = zip(sources, result.targets.tolist(), strict=True)
    made.add_edges_from((result.nodes[a], result.nodes[b]) for a, b in pairs)
    return made
