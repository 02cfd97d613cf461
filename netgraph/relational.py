"""Relational graphs: a small node graph lifted to the channels of a layer of any width.

Each node owns a contiguous group of the channels of every layer. Two channels are joined if their nodes are, or, with
self-loops, if they belong to the same node. So one graph says which channels of any two layers talk to each other, and
a residual connection between layers of one width keeps each channel with its node.

References
----------
You, Leskovec, He and Xie, "Graph Structure of Neural Networks" (ICML 2020), section 2: always with self-loops. Regular
Graph Pruning, arXiv 2110.15192 (2021): without.
"""

import numpy as np

from netgraph.errors import ChannelsBelowNodesError
from netgraph.node_graph import NodeGraph

__all__ = ["channel_counts", "node_of_channel", "relational_biadjacency"]


def channel_counts(n_channels: int, n_nodes: int, *, seed: int = 1) -> np.ndarray:
    """Return how many channels each node owns: n_channels / n_nodes, rounded up for some nodes and down for others.

    Parameters
    ----------
    n_channels, n_nodes : int
    seed : int
        Chooses the nodes with a channel more, as the papers' code does, where it is always 1. Layers of one width must
        be split alike, so it is one number for a whole network.

    Returns
    -------
    ndarray of int64, shape (n_nodes,)
        Sums to `n_channels`.

    Raises
    ------
    ChannelsBelowNodesError
        There are fewer channels than nodes.

    Examples
    --------
    >>> channel_counts(10, 4).tolist(), channel_counts(8, 4).tolist()
    ([2, 2, 3, 3], [2, 2, 2, 2])
    """
    if not 1 <= n_nodes <= n_channels:
        raise ChannelsBelowNodesError(
            f"{n_channels} channels for {n_nodes} nodes: expected at least one node and one channel for each; "
            "take a smaller graph or leave this layer dense"
        )
    more = np.arange(n_nodes) < n_channels % n_nodes
    # The generator of old, whose permutations the published masks were made with.
    return n_channels // n_nodes + np.random.RandomState(seed).permutation(more).astype(np.int64)


def node_of_channel(n_channels: int, n_nodes: int, *, seed: int = 1) -> np.ndarray:
    """Return the node that owns each channel.

    Parameters
    ----------
    n_channels, n_nodes, seed
        As `channel_counts` takes them; it raises the same error.

    Returns
    -------
    ndarray of int64, shape (n_channels,)
        Never falling.

    Examples
    --------
    >>> node_of_channel(10, 4).tolist()
    [0, 0, 1, 1, 2, 2, 2, 3, 3, 3]
    """
    return np.repeat(np.arange(n_nodes), channel_counts(n_channels, n_nodes, seed=seed))


def relational_biadjacency(
    graph: NodeGraph,
    n_targets: int,
    n_sources: int,
    *,
    self_loops: bool = False,
    share_neighbours: int = 1,
    seed: int = 1,
) -> np.ndarray:
    """Return which channels of a layer a relational graph joins.

    Parameters
    ----------
    graph : NodeGraph
    n_targets, n_sources : int
        Output and input channels.
    self_loops : bool
        Whether channels of the same node are joined: True as You et al., False as RGP.
    share_neighbours : int
        Split the channels of each node into so many parts; the outputs of a node read one part of each neighbour. That
        keeps 1 / share_neighbours of the weights, in dense blocks with so many times more rows, which matrix units
        like. The parts of a node are read equally often, or once more or less where its degree is no multiple.
    seed : int
        As in `channel_counts`.

    Returns
    -------
    ndarray of bool, shape (n_targets, n_sources)
        Of a d-regular graph exactly d / n_nodes are True, (d + 1) / n_nodes with self-loops, where n_nodes divides the
        channels of one side; nearly that where it divides neither.

    Raises
    ------
    ChannelsBelowNodesError
        A side has fewer channels than the graph has nodes, or parts of nodes.
    ValueError
        `share_neighbours` is less than 1.

    Examples
    --------
    >>> path = NodeGraph.from_edges(3, [(0, 1), (1, 2)])
    >>> relational_biadjacency(path, 6, 3).astype(int).tolist()
    [[0, 1, 0], [0, 1, 0], [1, 0, 1], [1, 0, 1], [0, 1, 0], [0, 1, 0]]

    Each end of the path reads half of the middle, and the middle half of each end:

    >>> relational_biadjacency(path, 6, 6, share_neighbours=2).astype(int)[::2].tolist()
    [[0, 0, 1, 0, 0, 0], [1, 0, 0, 0, 1, 0], [0, 0, 0, 1, 0, 0]]
    """
    if share_neighbours < 1:
        raise ValueError(f"share_neighbours: expected at least 1, got {share_neighbours}")
    n_parts = graph.n_nodes * share_neighbours
    rows, columns = (node_of_channel(size, n_parts, seed=seed) for size in (n_targets, n_sources))
    joined = graph.adjacency() | (np.eye(graph.n_nodes, dtype=bool) if self_loops else False)
    return _parts_read(joined, share_neighbours)[rows[:, None] // share_neighbours, columns]


def _parts_read(joined: np.ndarray, n_parts: int) -> np.ndarray:
    """Return which parts of which node each node reads: the readers of a node take its parts in turn."""
    turn = (joined.cumsum(axis=0) - 1) % n_parts
    part = np.arange(n_parts)
    return (joined[:, :, None] & (turn[:, :, None] == part)).reshape(len(joined), -1)
