"""Numbers of paths and path norms: how many ways lead from the inputs to the outputs, and how heavy they are."""

from collections.abc import Mapping

import numpy as np

from netgraph import native
from netgraph.connection import Connection
from netgraph.convert.explode import exploded
from netgraph.flow import kernels
from netgraph.flow.operators import edge_factors, weight_factors
from netgraph.flow.passes import PathSums, check_acyclic, run
from netgraph.graph import NetGraph
from netgraph.reach import sweep
from netgraph.walks import passing_targets
from netgraph.weights import checked_weights

__all__ = ["edge_shares", "exact_path_counts", "log2_paths", "path_counts", "path_sums", "weight_shares"]

ALIGNMENT = 64
"""Bytes."""


def path_counts(graph: NetGraph) -> PathSums:
    """Return the number of paths from the inputs to each unit and from each unit to the outputs.

    A path runs along kept weights and wiring that pass a change on, so a unit has a path from an input exactly if it is
    accessible, and one to an output exactly if it is co-accessible. An edge counts once however many of its weights
    are kept; edges of different connections between the same two units are different paths.

    Parameters
    ----------
    graph : NetGraph

    Returns
    -------
    PathSums
        Exact up to 2^53 paths, then with an error of about 1e-16 for each layer.

    Raises
    ------
    GraphStructureError
        The graph has cycles.

    Examples
    --------
    >>> import netgraph as ng
    >>> counts = path_counts(ng.from_biadjacency([[[1, 1], [0, 1]], [[1, 1]]]))
    >>> (2**counts.log2_forward).round(9).tolist(), (2**counts.log2_backward).round(9).tolist(), 2**counts.log2_total
    ([1.0, 1.0, 2.0, 1.0, 3.0], [1.0, 2.0, 1.0, 1.0, 1.0], 3.0)
    >>> counts.shares.round(3).tolist()
    [0.333, 0.667, 0.667, 0.333, 1.0]
    """
    return _sums(graph, None, 1)


def log2_paths(graph: NetGraph) -> float:
    """Return log2 of the number of paths from an input to an output.

    Parameters
    ----------
    graph : NetGraph

    Returns
    -------
    float
        -inf if there is no path.

    Raises
    ------
    GraphStructureError
        The graph has cycles.

    Examples
    --------
    >>> import netgraph as ng
    >>> log2_paths(ng.from_biadjacency([[[1, 1], [0, 1]], [[1, 0]]]))
    1.0
    """
    return path_counts(graph).log2_total


def path_sums(graph: NetGraph, weights: Mapping[str, np.ndarray], *, power: float = 1) -> PathSums:
    """Return sums over paths of the product of abs(w)^power along each: the path norm and its parts.

    With power 1 the total is what SynFlow calls R [1]_, without its input, norms and biases; with power 2 it is the
    squared path norm. Taps of a convolution add up. Where a layer multiplies, each factor passes its own paths on.

    Parameters
    ----------
    graph : NetGraph
    weights : mapping of str to ndarray
        Values of every edge parameter, in its shape. Only kept elements count.
    power : float
        Above 0.

    Returns
    -------
    PathSums
        Computed in float64 under one exponent a layer: never infinite, where the gradient of a deep network overflows.

    Raises
    ------
    KeyError
        An edge parameter has no values, or a name is unknown.
    ValueError
        An array has another shape than its parameter, or the power is not positive.
    WeightValueError
        A kept weight is not finite.
    GraphStructureError
        The graph has cycles.

    References
    ----------
    .. [1] Tanaka et al., "Pruning neural networks without any data by iteratively conserving synaptic flow" (NeurIPS
       2020), equation 2.

    Examples
    --------
    >>> import netgraph as ng
    >>> graph = ng.from_biadjacency([[[1, 1], [0, 1]], [[1, 1]]])
    >>> weights = {"weight1": np.array([[1.0, -2.0], [9.0, 3.0]]), "weight2": np.array([[1.0, 1.0]])}
    >>> float(2 ** path_sums(graph, weights).log2_total)
    6.0
    """
    return _sums(graph, _all_weights(graph, weights, power), power)


def edge_shares(graph: NetGraph, counts: PathSums) -> np.ndarray:
    """Return the share of all input-output paths that run through each edge.

    Parameters
    ----------
    graph : NetGraph
    counts : PathSums
        ``path_counts(graph)``.

    Returns
    -------
    ndarray of float64, shape (n_edges,)
        In the order of ``graph.edges()``; fractions in [0, 1], 0 for edges that are not consistent.

    Examples
    --------
    >>> import netgraph as ng
    >>> graph = ng.from_biadjacency([[[1, 1], [0, 1]], [[1, 1]]])
    >>> edge_shares(graph, path_counts(graph)).round(3).tolist()
    [0.333, 0.333, 0.333, 0.667, 0.333]
    """
    sources, targets = graph.edges()
    return np.where(graph.gate[targets], counts.product(sources, targets), 0.0)


def weight_shares(
    graph: NetGraph,
    weights: Mapping[str, np.ndarray],
    sums: PathSums,
    *,
    power: float = 1,
    out: dict[str, np.ndarray] | None = None,
) -> dict[str, np.ndarray]:
    """Return the share of each weight in the path norm: with power 1 the SynFlow score divided by R.

    Parameters
    ----------
    graph, weights, power
        As for `path_sums`, which raises the same errors.
    sums : PathSums
        ``path_sums(graph, weights, power=power)``.
    out : dict of str to ndarray, optional
        What an earlier call with weights of the same dtypes has returned, to be overwritten and returned. Getting new
        memory from the system takes longer than all else.

    Returns
    -------
    dict of str to ndarray
        One array for each edge parameter, in its shape; fractions in [0, 1], added up over the uses of a parameter.
        float32 for weights of at most 32 bits, which makes 0 of shares below 1e-45, else float64. New arrays share one
        block of memory.

    Raises
    ------
    ValueError
        An array of `out` has another shape or dtype than it would be given, or gaps.

    Examples
    --------
    >>> import netgraph as ng
    >>> graph = ng.from_biadjacency([[[1, 1]], [[1]]])
    >>> weights = {"weight1": np.array([[1.0, -3.0]]), "weight2": np.array([[5.0]])}
    >>> weight_shares(graph, weights, path_sums(graph, weights))
    {'weight1': array([[0.25, 0.75]]), 'weight2': array([[1.]])}
    """
    checked = _all_weights(graph, weights, power)
    found = _zeros(graph, checked) if out is None else _fitting(graph, checked, out)
    if native.kernels is not None and power in (1, 2):
        kernels.write_shares(graph, checked, int(power), sums, found, fresh=out is None)
        return found
    for shares in found.values():
        shares.fill(0)
    factors = weight_factors(graph, checked, power)
    for position, c in enumerate(graph.weighted):
        first = graph.slices[c.source].start + c.source_start, graph.slices[c.target].start + c.target_start
        sources, targets = slice(first[0], first[0] + c.groups * c.columns), slice(first[1], first[1] + c.rows)
        near, far = sums.scaled(sources, targets)
        _add_elements(found[c.parameter], c, factors.shares(position, near, far * graph.gate[targets]))
    return found


def exact_path_counts(graph: NetGraph) -> tuple[list[int], list[int]]:
    """Return `path_counts` in whole numbers of any size: slow, the oracle for the fast ones.

    Parameters
    ----------
    graph : NetGraph

    Returns
    -------
    forward, backward : list of int
        One number a unit.

    Raises
    ------
    GraphStructureError
        The graph has cycles.

    Examples
    --------
    >>> import netgraph as ng
    >>> exact_path_counts(ng.from_biadjacency([[[1, 1], [0, 1]], [[1, 1]]]))
    ([1, 1, 2, 1, 3], [1, 2, 1, 1, 1])
    """
    check_acyclic(graph)
    forward, backward = np.zeros((2, graph.n_units), dtype=object)
    forward[graph.inputs] = backward[graph.outputs] = 1
    flags = [passing for _, passing in passing_targets(graph, sweep(graph).nonzero)]
    place = {name: number for number, name in enumerate(graph.layers)}
    edges = [(c, s[open_[t]], t[open_[t]]) for (c, s, t, _), open_ in zip(exploded(graph), flags, strict=True)]
    for _, sources, targets in sorted(edges, key=lambda edge: place[edge[0].target]):
        np.add.at(forward, targets, forward[sources])
    for _, sources, targets in sorted(edges, key=lambda edge: -place[edge[0].source]):
        np.add.at(backward, sources, backward[targets])
    return forward.tolist(), backward.tolist()


def _sums(graph: NetGraph, weights: Mapping[str, np.ndarray] | None, power: float) -> PathSums:
    check_acyclic(graph)
    if native.kernels is not None and power in (1, 2):
        return kernels.sums(graph, weights, int(power))
    return run(graph, edge_factors(graph) if weights is None else weight_factors(graph, weights, power))


def _zeros(graph: NetGraph, weights: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return zeros for the shares of each edge parameter, all in one block: the system clears large pages faster."""
    sizes = [graph.parameters[name].size * _share_dtype(weights[name]).itemsize for name in graph.edge_parameters]
    ends = np.cumsum([-(-size // ALIGNMENT) * ALIGNMENT for size in sizes], dtype=np.int64)
    block = np.zeros(int(ends[-1]) if sizes else 0, dtype=np.uint8)
    found = {}
    for name, size, end in zip(graph.edge_parameters, sizes, ends.tolist(), strict=True):
        first = end - -(-size // ALIGNMENT) * ALIGNMENT
        shares = block[first : first + size].view(_share_dtype(weights[name]))
        found[name] = shares.reshape(graph.parameters[name].shape)
    return found


def _fitting(graph: NetGraph, weights: Mapping[str, np.ndarray], out: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    for name in graph.edge_parameters:
        shape, dtype = graph.parameters[name].shape, _share_dtype(weights[name])
        if name not in out or out[name].shape != shape or out[name].dtype != dtype or not out[name].flags.c_contiguous:
            raise ValueError(f"out: expected an array without gaps for {name!r}, {dtype} of shape {shape}; omit it")
    return {name: out[name] for name in graph.edge_parameters}


def _share_dtype(weight: np.ndarray) -> np.dtype:
    return np.dtype(np.float32 if weight.dtype.itemsize <= 4 else np.float64)


def _add_elements(found: np.ndarray, c: Connection, own: np.ndarray) -> None:
    """Add one value for each element of a connection to the array of its parameter."""
    flat, first = found.reshape(-1), c.contiguous_offset
    if first is not None:
        flat[first : first + c.size] += own.reshape(-1)
    else:
        np.add.at(flat, c.elements(), own)


def _all_weights(graph: NetGraph, weights: Mapping[str, np.ndarray], power: float) -> dict[str, np.ndarray]:
    if not power > 0:
        raise ValueError(f"power: expected a number above 0, got {power}")
    missing = [name for name in graph.edge_parameters if name not in weights]
    if missing:
        raise KeyError(f"weight {missing[0]!r}: no values; expected those of every edge parameter")
    return checked_weights(graph, weights)
