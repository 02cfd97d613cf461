"""NodeGraph: an undirected simple graph of nodes, as relational graphs, edge swapping and path objectives use it.

It is small beside a `NetGraph` (tens to thousands of nodes) and knows no layers, weights or directions. Lifted to the
layers of a network, its nodes become groups of channels.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import csr_array

from netgraph.errors import GraphStructureError

if TYPE_CHECKING:
    import networkx as nx

__all__ = ["NodeGraph"]


@dataclass(frozen=True, eq=False, repr=False)
class NodeGraph:
    """Undirected graph without loops and parallel edges on the nodes 0 to n - 1; immutable.

    Made by `from_edges`, `from_adjacency`, `from_neighbours` or `from_networkx`, which take edges in any order; two
    graphs with the same edges are equal.

    Parameters
    ----------
    offsets : ndarray of int64, shape (n_nodes + 1,)
        The neighbours of node v are ``targets[offsets[v]:offsets[v + 1]]``.
    targets : ndarray of int32, shape (2 * n_edges,)
        Rising within each node; each edge stands at both of its ends.

    Raises
    ------
    GraphStructureError
        A neighbour is no node, a node is its own neighbour, an edge stands twice or at one end only, or the neighbours
        of a node do not rise.

    Examples
    --------
    >>> square = NodeGraph.from_edges(4, [(0, 1), (1, 2), (2, 3), (3, 0)])
    >>> square
    NodeGraph: 4 nodes, 4 edges, 2-regular
    >>> square.neighbours.tolist()
    [[1, 3], [0, 2], [1, 3], [0, 2]]
    """

    offsets: np.ndarray
    targets: np.ndarray

    def __post_init__(self) -> None:
        for name, dtype in (("offsets", np.int64), ("targets", np.int32)):
            array = np.array(getattr(self, name), dtype=dtype)
            array.flags.writeable = False
            object.__setattr__(self, name, array)
        self._check()

    @classmethod
    def from_edges(cls, n_nodes: int, edges: Iterable[tuple[int, int]] | np.ndarray) -> "NodeGraph":
        """Return the graph with these edges.

        Parameters
        ----------
        n_nodes : int
        edges : array-like of int, shape (n_edges, 2)
            Each edge once, its ends in either order.

        Returns
        -------
        NodeGraph

        Raises
        ------
        GraphStructureError
            An end is no node, an edge is a loop or is given twice.
        """
        pairs = np.asarray(edges if isinstance(edges, np.ndarray) else list(edges), dtype=np.int64).reshape(-1, 2)
        if pairs.size and (pairs.min() < 0 or pairs.max() >= n_nodes):
            raise GraphStructureError(f"edges: expected nodes 0 to {n_nodes - 1}, got {pairs.min()} to {pairs.max()}")
        both = np.concatenate([pairs, pairs[:, ::-1]])
        both = both[np.lexsort((both[:, 1], both[:, 0]))]
        return cls(np.searchsorted(both[:, 0], np.arange(n_nodes + 1)), both[:, 1])

    @classmethod
    def from_adjacency(cls, adjacency: object) -> "NodeGraph":
        """Return the graph of a symmetric matrix: an edge wherever it is not 0.

        Parameters
        ----------
        adjacency : array-like or scipy.sparse array, shape (n_nodes, n_nodes)

        Returns
        -------
        NodeGraph

        Raises
        ------
        GraphStructureError
            The matrix is not square or not symmetric, or has an entry on the diagonal.
        """
        matrix = csr_array(adjacency)
        if matrix.shape[0] != matrix.shape[-1] or len(matrix.shape) != 2:
            raise GraphStructureError(f"adjacency: expected a square matrix, got shape {matrix.shape}")
        matrix.sum_duplicates()
        matrix.eliminate_zeros()
        return cls(matrix.indptr, matrix.indices)

    @classmethod
    def from_neighbours(cls, neighbours: object) -> "NodeGraph":
        """Return the regular graph in which row v lists the neighbours of node v, in any order.

        Parameters
        ----------
        neighbours : array-like of int, shape (n_nodes, degree)

        Returns
        -------
        NodeGraph

        Raises
        ------
        GraphStructureError
            As for the class; a neighbour that does not have the node as its neighbour is an edge at one end only.
        """
        table = np.sort(np.asarray(neighbours, dtype=np.int64), axis=1)
        return cls(np.arange(len(table) + 1) * table.shape[1], table.reshape(-1))

    @classmethod
    def from_networkx(cls, G: "nx.Graph") -> "NodeGraph":
        """Return the graph of an undirected networkx graph; nodes are numbered in the order of `G`.

        Parameters
        ----------
        G : networkx.Graph
            Attributes are not read.

        Returns
        -------
        NodeGraph

        Raises
        ------
        GraphStructureError
            `G` is directed or a multigraph, or has a loop.
        """
        if G.is_directed() or G.is_multigraph():
            kind = "directed" if G.is_directed() else "a multigraph"
            raise GraphStructureError(f"G: expected a simple undirected networkx graph, got one that is {kind}")
        number = {node: position for position, node in enumerate(G)}
        return cls.from_edges(len(number), [(number[a], number[b]) for a, b in G.edges])

    def to_networkx(self) -> "nx.Graph":
        """Return the graph as a networkx graph on the nodes 0 to n - 1."""
        import networkx as nx

        made: nx.Graph = nx.Graph()
        made.add_nodes_from(range(self.n_nodes))
        made.add_edges_from(self.edges().tolist())
        return made

    @property
    def n_nodes(self) -> int:
        """Number of nodes."""
        return len(self.offsets) - 1

    @property
    def n_edges(self) -> int:
        """Number of edges."""
        return len(self.targets) // 2

    @cached_property
    def degrees(self) -> np.ndarray:
        """Number of neighbours of each node: ndarray of int64, shape (n_nodes,)."""
        return np.diff(self.offsets)

    @property
    def is_regular(self) -> bool:
        """Whether all nodes have the same degree."""
        return bool((self.degrees == self.degrees[:1]).all())

    @property
    def neighbours(self) -> np.ndarray:
        """Neighbours of each node of a regular graph: ndarray of int32, shape (n_nodes, degree), rows rising.

        Raises
        ------
        GraphStructureError
            The graph is not regular; use `offsets` and `targets`.
        """
        if not self.is_regular:
            low, high = int(self.degrees.min()), int(self.degrees.max())
            raise GraphStructureError(
                f"neighbours: expected a regular graph, got degrees {low} to {high}; use offsets and targets"
            )
        return self.targets.reshape(self.n_nodes, -1)

    def edges(self) -> np.ndarray:
        """Return each edge once, lower end first, in rising order: ndarray of int64, shape (n_edges, 2)."""
        ends = self._ends()
        return ends[ends[:, 0] < ends[:, 1]]

    def adjacency(self) -> np.ndarray:
        """Return the adjacency matrix: ndarray of bool, shape (n_nodes, n_nodes)."""
        matrix = np.zeros((self.n_nodes, self.n_nodes), dtype=bool)
        matrix[tuple(self._ends().T)] = True
        return matrix

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, NodeGraph):
            return NotImplemented
        return np.array_equal(self.offsets, other.offsets) and np.array_equal(self.targets, other.targets)

    def __hash__(self) -> int:
        return hash((self.offsets.tobytes(), self.targets.tobytes()))

    def __repr__(self) -> str:
        degrees = self.degrees
        shape = f"{degrees[0]}-regular" if len(degrees) and self.is_regular else "degrees 0"
        if not self.is_regular:
            shape = f"degrees {degrees.min()} to {degrees.max()}"
        return f"NodeGraph: {self.n_nodes} nodes, {self.n_edges} edges, {shape}"

    def _ends(self) -> np.ndarray:
        return np.stack([np.repeat(np.arange(self.n_nodes), self.degrees), self.targets.astype(np.int64)], axis=1)

    def _check(self) -> None:
        bounds, n_nodes = self.offsets, len(self.offsets) - 1
        if n_nodes < 0 or bounds[0] != 0 or bounds[-1] != len(self.targets) or (np.diff(bounds) < 0).any():
            raise GraphStructureError(f"offsets: expected to rise from 0 to {len(self.targets)}")
        if self.targets.size and (self.targets.min() < 0 or self.targets.max() >= n_nodes):
            raise GraphStructureError(f"targets: expected nodes 0 to {n_nodes - 1}, got one outside")
        ends = self._ends()
        if (loops := ends[ends[:, 0] == ends[:, 1], 0]).size:
            raise GraphStructureError(f"node {loops[0]} is its own neighbour; a NodeGraph has no loops")
        code = ends[:, 0] * n_nodes + ends[:, 1]
        if (wrong := np.flatnonzero(np.diff(code) <= 0)).size:
            a, b = ends[wrong[0] + 1].tolist()
            raise GraphStructureError(f"node {a}: neighbour {b} stands twice or out of order")
        back = np.sort(ends[:, 1] * n_nodes + ends[:, 0])
        if not np.array_equal(code, back):
            a, b = divmod(int(np.setdiff1d(code, back)[0]), n_nodes)
            raise GraphStructureError(f"edge {a} - {b}: stands at node {a} only; an undirected edge stands at both")
