"""Random double edge swaps: another graph with the same degrees."""

import numpy as np

from netgraph import native
from netgraph.describe import some_names
from netgraph.errors import SearchLimitError
from netgraph.graph import NetGraph
from netgraph.node_graph import NodeGraph
from netgraph.search import reference
from netgraph.search.tables import MOST_NODES, graph_of_table, table_of

__all__ = ["swap_connection_edges", "swap_edges"]


def swap_edges(
    graph: NodeGraph, *, nswap: int, max_tries: int | None = None, seed: int | np.random.Generator | None = None
) -> NodeGraph:
    """Return the graph after random double edge swaps: each node keeps its degree.

    A swap turns two edges a - b and c - d into a - d and c - b. It is drawn anew if that gives a loop or an edge that
    is there already. The graph can fall apart: see `reachable_fraction`. About ten swaps an edge forget where they
    started.

    Parameters
    ----------
    graph : NodeGraph
        At most 65536 nodes. It is not changed.
    nswap : int
        Swaps to make, at least 0.
    max_tries : int or None
        Draws before the search gives up; None: 100 for each swap.
    seed : int, numpy.random.Generator or None

    Returns
    -------
    NodeGraph

    Raises
    ------
    SearchLimitError
        The tries did not suffice, as in a complete graph or a star, where no swap is possible.
    TypeError
        `nswap` is no whole number.
    ValueError
        `nswap` is negative or the graph too large.

    Examples
    --------
    >>> ring = NodeGraph.from_edges(6, [(i, (i + 1) % 6) for i in range(6)])
    >>> swap_edges(ring, nswap=3, seed=1).degrees.tolist()
    [2, 2, 2, 2, 2, 2]
    """
    tries = _tries(nswap, max_tries)
    if graph.n_nodes > MOST_NODES:
        raise ValueError(f"graph: expected at most {MOST_NODES} nodes, got {graph.n_nodes}")
    if nswap == 0:
        return graph
    table = table_of(graph)
    random = int(np.random.default_rng(seed).integers(1 << 63))
    swap = reference.swap_edges if native.kernels is None else native.kernels.swap_edges
    _check_made(swap(table, nswap, tries, random) if table.size else 0, nswap, tries)
    return graph_of_table(table)


def swap_connection_edges(
    graph: NetGraph,
    parameter: str,
    *,
    nswap: int,
    max_tries: int | None = None,
    seed: int | np.random.Generator | None = None,
) -> NetGraph:
    """Return the network after random double edge swaps within one connection: units keep in- and out-degree.

    Edges are pairs of a source and a target unit. Two edges (i, o) and (j, p) become (i, p) and (j, o), unless these
    are there already; each target keeps its own set of kept taps. With groups, both edges are of one group.

    Parameters
    ----------
    graph : NetGraph
        It is not changed.
    parameter : str
        One with a single use.
    nswap : int
        Swaps to make, at least 0.
    max_tries : int or None
        Draws before the search gives up; None: 100 for each swap.
    seed : int, numpy.random.Generator or None

    Returns
    -------
    NetGraph

    Raises
    ------
    KeyError
        No connection uses the parameter.
    SearchLimitError
        The tries did not suffice.
    TypeError
        `nswap` is no whole number.
    ValueError
        `nswap` is negative, or the parameter has several uses.

    Examples
    --------
    >>> import netgraph as ng
    >>> graph = ng.from_biadjacency([[[1, 0], [0, 1]]])
    >>> ng.to_biadjacency(swap_connection_edges(graph, "weight1", nswap=1, seed=0), "layer0", "layer1").astype(int)
    array([[0, 1],
           [1, 0]])
    """
    tries = _tries(nswap, max_tries)
    uses = [position for position, c in enumerate(graph.weighted) if c.parameter == parameter]
    if not uses:
        raise KeyError(f"parameter {parameter!r}: no connection uses it; the graph has {some_names(graph.parameters)}")
    if len(uses) > 1:
        raise ValueError(
            f"parameter {parameter!r}: expected one use, got {len(uses)}, which one mask cannot tell apart"
        )
    c = graph.weighted[uses[0]]
    kept = graph.kept(uses[0]).reshape(c.rows, c.columns, c.taps).copy()
    rows_per_group = c.rows // c.groups if c.groups else 0
    _check_made(_swap_pairs(kept, rows_per_group, nswap, tries, np.random.default_rng(seed)), nswap, tries)
    mask = graph.masks()[parameter].reshape(-1).copy()
    mask[c.elements().reshape(-1)] = kept.reshape(-1)
    return graph.with_masks({parameter: mask.reshape(graph.parameters[parameter].shape)})


def _swap_pairs(kept: np.ndarray, rows_per_group: int, nswap: int, tries: int, rng: np.random.Generator) -> int:
    """Swap pairs of (row, column) in place; return how many swaps were made."""
    rows, columns = (ends.tolist() for ends in np.nonzero(kept.any(axis=2)))
    there, made = set(zip(rows, columns, strict=True)), 0
    if len(rows) < 2:
        return 0
    for _ in range(tries):
        if made == nswap:
            break
        e, f = rng.integers(len(rows), size=2).tolist()
        a, b = (rows[e], columns[f]), (rows[f], columns[e])
        if rows[e] // rows_per_group != rows[f] // rows_per_group or a in there or b in there:
            continue
        there -= {(rows[e], columns[e]), (rows[f], columns[f])}
        there |= {a, b}
        for row, old, new in ((rows[e], columns[e], columns[f]), (rows[f], columns[f], columns[e])):
            kept[row, [old, new]] = kept[row, [new, old]]
        columns[e], columns[f] = columns[f], columns[e]
        made += 1
    return made


def _tries(nswap: int, max_tries: int | None) -> int:
    if not isinstance(nswap, int | np.integer):
        raise TypeError(f"nswap: expected a whole number, got {nswap!r}")
    if nswap < 0:
        raise ValueError(f"nswap: expected at least 0, got {nswap}")
    return 100 * nswap if max_tries is None else max_tries


def _check_made(made: int, nswap: int, tries: int) -> None:
    if made < nswap:
        raise SearchLimitError(
            f"swaps: made {made} of {nswap} in {tries} tries; ask for fewer, or allow more tries with max_tries="
        )
