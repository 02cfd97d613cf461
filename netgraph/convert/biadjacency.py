"""Biadjacency matrices: one (out, in) matrix for each pair of joined layers."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse import csr_array, issparse

from netgraph.bits import pack_rows
from netgraph.connection import Connection, ElementIndex, ParameterInfo
from netgraph.convert.explode import exploded
from netgraph.describe import some_names
from netgraph.errors import GraphStructureError, WeightValueError
from netgraph.graph import NetGraph

__all__ = ["from_biadjacency", "matrix_connection", "to_biadjacency"]


def matrix_connection(parameter: str, layers: tuple[str, str], shape: tuple[int, int], feedback: bool) -> Connection:
    """Return a connection that uses a whole (out, in) matrix, from ``layers[0]`` to ``layers[1]``."""
    rows, columns = shape
    index = ElementIndex(0, (rows * columns, columns, 1, 1))
    return Connection(parameter, *layers, rows=rows, columns=columns, index=index, feedback=feedback)


def from_biadjacency(
    matrices: Sequence[ArrayLike], *, layers: Sequence[str] | None = None, parameters: Sequence[str] | None = None
) -> NetGraph:
    """Return the graph of a chain of layers: matrix ``i`` joins layer ``i`` to layer ``i + 1``.

    The first layer is the input, the last one the output. Parameter ``i`` has the shape of matrix ``i``.

    Parameters
    ----------
    matrices : sequence of array_like or scipy sparse, each of shape (out, in)
        An entry that is not 0 is a kept weight.
    layers : sequence of str, optional
        Names, one more than matrices; "layer0", "layer1", ... if not given.
    parameters : sequence of str, optional
        Names, one for each matrix; "weight1", "weight2", ... if not given.

    Returns
    -------
    NetGraph

    Raises
    ------
    GraphStructureError
        No matrix is given, one has not two dimensions or does not fit the one before it, or the names are not as many
        as needed or not different.
    WeightValueError
        An entry is NaN.

    Examples
    --------
    >>> graph = from_biadjacency([[[1, 0], [0, 0], [2, 0]], [[1, 1, 0]]], layers=["x", "hidden", "y"])
    >>> dict(graph.layers), graph.masks()["weight2"].tolist()
    ({'x': 2, 'hidden': 3, 'y': 1}, [[True, True, False]])
    """
    kept = [_kept(number, matrix) for number, matrix in enumerate(matrices)]
    _check_chain(kept)
    names = _names("layers", layers, [f"layer{i}" for i in range(len(kept) + 1)])
    weights = _names("parameters", parameters, [f"weight{i + 1}" for i in range(len(kept))])
    sizes = [kept[0].shape[1], *(matrix.shape[0] for matrix in kept)]
    ends = np.cumsum([0, *sizes])
    return NetGraph(
        layers=dict(zip(names, sizes, strict=True)),
        connections=tuple(
            matrix_connection(weight, pair, matrix.shape, feedback=False)
            for weight, pair, matrix in zip(weights, pairwise(names), kept, strict=True)
        ),
        bits=np.concatenate([pack_rows(matrix) for matrix in kept]),
        inputs=np.arange(ends[0], ends[1]),
        outputs=np.arange(ends[-2], ends[-1]),
        parameters={w: ParameterInfo(matrix.shape, "edge") for w, matrix in zip(weights, kept, strict=True)},
    )


def to_biadjacency(graph: NetGraph, source: str, target: str) -> np.ndarray:
    """Return which units of two layers are joined by an edge, all connections between them taken together.

    Parameters
    ----------
    graph : NetGraph
    source, target : str
        Names of two layers.

    Returns
    -------
    ndarray of bool, shape (units of target, units of source)
        Fixed wiring counts as an edge.

    Raises
    ------
    KeyError
        A layer is unknown.
    ValueError
        No connection leads from `source` to `target`.

    Examples
    --------
    >>> to_biadjacency(from_biadjacency([[[1, 0], [0, 0], [2, 0]]]), "layer0", "layer1").astype(int).tolist()
    [[1, 0], [0, 0], [1, 0]]
    """
    for name in (source, target):
        if name not in graph.layers:
            raise KeyError(f"no layer {name!r}; the graph has {some_names(graph.layers)}")
    if not any(c.source == source and c.target == target for c in graph.connections):
        known = dict.fromkeys(f"{c.source} -> {c.target}" for c in graph.connections)
        raise ValueError(f"no connection {source!r} -> {target!r}; the graph has {some_names(known)}")
    joined = np.zeros((graph.layers[target], graph.layers[source]), dtype=bool)
    for c, sources, targets, _ in exploded(graph):
        if c.source == source and c.target == target:
            joined[targets - graph.slices[target].start, sources - graph.slices[source].start] = True
    return joined


def _kept(number: int, matrix: ArrayLike) -> np.ndarray:
    values = csr_array(matrix).toarray() if issparse(matrix) else np.asarray(matrix)
    if values.ndim != 2:
        raise GraphStructureError(f"matrix {number}: expected 2 dimensions (out, in), got shape {values.shape}")
    if np.isnan(values).any():
        raise WeightValueError(f"matrix {number}: entry {tuple(np.argwhere(np.isnan(values))[0].tolist())} is NaN")
    return values != 0


def _check_chain(kept: Sequence[np.ndarray]) -> None:
    if not kept:
        raise GraphStructureError("matrices: expected at least one, got none")
    for number, (first, second) in enumerate(pairwise(kept), start=1):
        if second.shape[1] != first.shape[0]:
            raise GraphStructureError(
                f"matrix {number}: expected {first.shape[0]} columns, as matrix {number - 1} has rows, "
                f"got shape {second.shape}; matrices are (out, in)"
            )


def _names(label: str, names: Sequence[str] | None, default: list[str]) -> list[str]:
    chosen = default if names is None else list(names)
    if len(chosen) != len(default) or len(set(chosen)) != len(chosen):
        raise GraphStructureError(f"{label}: expected {len(default)} different names, got {chosen}")
    return chosen
