"""Maximum flow and minimum cuts: how many disjoint ways lead from some units to others, and where they are narrowest.

Every edge that passes a change on has capacity 1, wiring too. scipy finds the flow.
"""

from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import breadth_first_order, maximum_flow

from netgraph.flow.edges import Units, passing_edges, unit_ids
from netgraph.graph import NetGraph

__all__ = ["EdgeCut", "UnitCut", "bottleneck_layer", "max_flow", "min_cut", "min_unit_cut"]


@dataclass(frozen=True, slots=True, eq=False)
class EdgeCut:
    """A smallest set of edges whose removal leaves no path.

    Parameters
    ----------
    size : int
        Number of edges, those of different connections between the same two units counted one by one.
    sources, targets : ndarray of int64
        The ends of the edges, each pair of units once.
    """

    size: int
    sources: np.ndarray
    targets: np.ndarray


@dataclass(frozen=True, slots=True, eq=False)
class UnitCut:
    """A smallest set of units whose removal leaves no path.

    Parameters
    ----------
    units : ndarray of int64
        Rising.
    layers : dict of str to int
        How many of them each layer holds, without the layers that hold none.
    """

    units: np.ndarray
    layers: dict[str, int]

    @property
    def size(self) -> int:
        """Number of units."""
        return int(self.units.size)


def max_flow(graph: NetGraph, *, sources: Units = None, targets: Units = None) -> int:
    """Return the largest number of paths without a common edge that lead from some units to others.

    Parameters
    ----------
    graph : NetGraph
        May have cycles.
    sources, targets : str or array_like of int, optional
        The name of a layer or unit ids; the inputs and the outputs of the graph if not given.

    Returns
    -------
    int

    Raises
    ------
    KeyError
        A layer is unknown.
    ValueError
        A number is not a unit, or a unit is source and target.

    Examples
    --------
    >>> import netgraph as ng
    >>> graph = ng.from_biadjacency([[[1, 1], [1, 0]], [[1, 1]]])
    >>> max_flow(graph), max_flow(graph, targets="layer1")
    (2, 3)
    """
    return _EdgeFlow(graph, sources, targets).value


def min_cut(graph: NetGraph, *, sources: Units = None, targets: Units = None) -> EdgeCut:
    """Return a smallest set of edges that every path from some units to others must use, that nearest to the sources.

    Parameters
    ----------
    graph, sources, targets
        As `max_flow` takes them; it raises the same errors.

    Returns
    -------
    EdgeCut
        Its size is the maximum flow.

    Examples
    --------
    >>> import netgraph as ng
    >>> cut = min_cut(ng.from_biadjacency([[[1, 1], [0, 0]], [[1, 1]]]))
    >>> cut.size, cut.sources.tolist(), cut.targets.tolist()
    (1, [2], [4])
    """
    flow = _EdgeFlow(graph, sources, targets)
    near = flow.near()
    rows, columns = flow.edges.coords
    crossing = near[rows] & ~near[columns]
    return EdgeCut(flow.value, rows[crossing].astype(np.int64), columns[crossing].astype(np.int64))


def min_unit_cut(graph: NetGraph, *, sources: Units = None, targets: Units = None) -> UnitCut:
    """Return a smallest set of other units that every path from some units to others must use.

    Its size is the largest number of paths without a common unit between their ends (Menger's theorem). Of several
    sets, that nearest to the sources is returned.

    Parameters
    ----------
    graph, sources, targets
        As `max_flow` takes them; it raises the same errors.

    Returns
    -------
    UnitCut

    Raises
    ------
    ValueError
        An edge leads straight from a source to a target, so that no other unit lies between.

    Examples
    --------
    >>> import netgraph as ng
    >>> graph = ng.from_biadjacency([np.ones((4, 3)), np.ones((2, 4)), np.ones((3, 2))])
    >>> min_unit_cut(graph).layers
    {'layer2': 2}
    """
    start, end = _ends(graph, sources, targets)
    edges = _capacities(graph)
    is_start, is_end = np.zeros((2, graph.n_units), dtype=bool)
    is_start[start] = is_end[end] = True
    rows, columns = edges.coords
    if (straight := is_start[rows] & is_end[columns]).any():
        a, b = int(rows[straight][0]), int(columns[straight][0])
        raise ValueError(f"edge {a} -> {b}: leads straight from a source to a target; no other unit lies between")
    n, every = graph.n_units, np.arange(graph.n_units)
    inside = np.where(is_start | is_end, n + 1, 1)
    split = coo_array(
        (np.append(inside, np.full(rows.size, n + 1)), (np.append(every, rows + n), np.append(every + n, columns))),
        shape=(2 * n, 2 * n),
    )
    near = _Flow(split, start, end + n).near()
    units = np.flatnonzero(near[:n] & ~near[n : 2 * n])
    held = {
        name: int(np.count_nonzero((units >= own.start) & (units < own.stop))) for name, own in graph.slices.items()
    }
    return UnitCut(units, {name: count for name, count in held.items() if count})


def bottleneck_layer(graph: NetGraph) -> str | None:
    """Return the layer that holds most units of the smallest unit cut between inputs and outputs.

    Parameters
    ----------
    graph : NetGraph

    Returns
    -------
    str or None
        The first of several; None if no path leads from an input to an output.

    Raises
    ------
    ValueError
        An edge leads straight from an input to an output.

    Examples
    --------
    >>> import netgraph as ng
    >>> bottleneck_layer(ng.from_biadjacency([np.ones((4, 3)), np.ones((2, 4)), np.ones((3, 2))]))
    'layer2'
    """
    held = min_unit_cut(graph).layers
    return max(held, key=lambda name: held[name]) if held else None


def _ends(graph: NetGraph, sources: Units, targets: Units) -> tuple[np.ndarray, np.ndarray]:
    start = unit_ids(graph, "sources", sources, graph.inputs)
    end = unit_ids(graph, "targets", targets, graph.outputs)
    if (both := np.intersect1d(start, end)).size:
        raise ValueError(f"unit {both[0]} is a source and a target; expected different units")
    return start, end


def _capacities(graph: NetGraph) -> coo_array:
    """Return how many edges that pass a change on join each two units."""
    ends = [np.zeros((2, 0), dtype=np.int64)]
    ends += [np.stack([source[open_], target[open_]]) for _, source, target, open_ in passing_edges(graph)]
    rows, columns = np.concatenate(ends, axis=1)
    edges = coo_array((np.ones(rows.size, dtype=np.int64), (rows, columns)), shape=(graph.n_units, graph.n_units))
    edges.sum_duplicates()
    return edges


class _Flow:
    """A maximum flow between two sets of nodes."""

    def __init__(self, edges: coo_array, start: np.ndarray, end: np.ndarray) -> None:
        n = edges.shape[0]
        self.source = n
        most = int(edges.data.sum()) + 1
        ends = np.append(np.full(start.size, n), end), np.append(start, np.full(end.size, n + 1))
        rows, columns = (np.append(side, more) for side, more in zip(edges.coords, ends, strict=True))
        data = np.append(edges.data, np.full(start.size + end.size, most))
        data = np.minimum(data, np.iinfo(np.int32).max).astype(np.int32)
        self.capacities = csr_array((data, (rows, columns)), shape=(n + 2, n + 2))
        self.result = maximum_flow(self.capacities, n, n + 1)
        self.value = int(self.result.flow_value)

    def near(self) -> np.ndarray:
        """Return which nodes the source still reaches along edges that are not full: bool, shape (n + 2,)."""
        left = csr_array(self.capacities - self.result.flow)
        left.eliminate_zeros()
        reached = np.zeros(left.shape[0], dtype=bool)
        reached[breadth_first_order(left, self.source, return_predecessors=False)] = True
        return reached


class _EdgeFlow(_Flow):
    """A maximum flow along the edges of a graph."""

    def __init__(self, graph: NetGraph, sources: Units, targets: Units) -> None:
        start, end = _ends(graph, sources, targets)
        self.edges = _capacities(graph)
        super().__init__(self.edges, start, end)
