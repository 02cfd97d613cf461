"""Bits from weights: kept is what is not 0, read in the same pass that finds out what the kept weights reach."""

from collections.abc import Container, Mapping
from functools import lru_cache

import numpy as np

from netgraph.bits import full_rows
from netgraph.connection import Connection, ElementIndex, ParameterInfo
from netgraph.describe import some_names
from netgraph.graph import NetGraph
from netgraph.reach import Sweep, passes

__all__ = ["checked_weights", "pack_weights", "sweep_weights", "with_weights", "with_whole"]


def with_weights(graph: NetGraph, weights: Mapping[str, np.ndarray], *, dtype: str | None = None) -> NetGraph:
    """Return the same graph with the elements kept whose weight is not 0.

    Parameters
    ----------
    graph : NetGraph
    weights : mapping of str to ndarray
        Values in the parameter's shape: float64, float32, float16, uint8, bool or another real dtype. -0.0 is 0.
        Parameters without an entry stay as they are. Gates and constant sources count as present whatever their
        value, so an entry for one changes nothing.
    dtype : {"bfloat16"}, optional
        Meaning of the arrays of dtype uint16.

    Returns
    -------
    NetGraph

    Raises
    ------
    KeyError
        A name is not a parameter of this graph.
    ValueError
        An array has another shape than its parameter, or a dtype that has no meaning here.
    WeightValueError
        A weight is NaN.

    Examples
    --------
    >>> import netgraph as ng
    >>> connections = [ng.Connection("w", "x", "y", 1, 2, index=ng.ElementIndex(0, (2, 2, 1, 1)))]
    >>> graph = ng.NetGraph({"x": 2, "y": 1}, connections, np.array([0b11]), [0, 1], [2])
    >>> with_weights(graph, {"w": np.array([-0.0, 0.5])}).bits.tolist()
    [2]
    """
    return sweep_weights(graph, weights, dtype=dtype)[0]


def sweep_weights(
    graph: NetGraph, weights: Mapping[str, np.ndarray], *, dtype: str | None = None
) -> tuple[NetGraph, Sweep]:
    """Return `with_weights` and its `sweep`, reading the weights once.

    Parameters
    ----------
    graph, weights, dtype
        As `with_weights` takes them; it raises the same errors.

    Returns
    -------
    kept : NetGraph
    found : Sweep

    Examples
    --------
    >>> import netgraph as ng
    >>> connections = [ng.Connection("w", "x", "y", 1, 2, index=ng.ElementIndex(0, (2, 2, 1, 1)))]
    >>> graph = ng.NetGraph({"x": 2, "y": 1}, connections, np.array([0b11]), [0, 1], [2])
    >>> kept, found = sweep_weights(graph, {"w": np.array([-0.0, 0.5])})
    >>> kept.bits.tolist(), found.consistent.tolist()
    ([2], [1])
    """
    bits, found = passes.sweep_weights(graph, checked_weights(graph, weights, dtype))
    return graph.with_bits(bits), Sweep(*found)


def with_whole(graph: NetGraph, names: Container[str]) -> NetGraph:
    """Return the same graph with every element of some parameters kept.

    Parameters
    ----------
    graph : NetGraph
    names : container of str
        The parameters; the others stay as they are.

    Returns
    -------
    NetGraph

    Examples
    --------
    >>> import netgraph as ng
    >>> connections = [ng.Connection("w", "x", "y", 1, 2), ng.Connection("v", "x", "y", 1, 2)]
    >>> graph = ng.NetGraph({"x": 2, "y": 1}, connections, np.array([0b01, 0b00]), [0, 1], [2])
    >>> with_whole(graph, {"v"}).bits.tolist()
    [1, 3]
    """
    bits = graph.bits.copy()
    for position, c in enumerate(graph.weighted):
        if c.parameter in names:
            bits[graph.word_starts[position] : graph.word_starts[position + 1]] = full_rows(c.rows, c.width)
    return graph.with_bits(bits)


def pack_weights(values: np.ndarray, *, dtype: str | None = None) -> np.ndarray:
    """Return the bit rows of a matrix of weights: kept is what is not 0.

    For weights that come piece by piece, each piece some rows of a connection.

    Parameters
    ----------
    values : ndarray, shape (rows, width)
        As `with_weights` takes them.
    dtype : {"bfloat16"}, optional
        Meaning of an array of dtype uint16.

    Returns
    -------
    ndarray of uint64, shape (n_words(rows, width),)

    Raises
    ------
    WeightValueError
        A weight is NaN.

    Examples
    --------
    >>> pack_weights(np.array([[0.5, 0.0], [-0.0, 2.0]])).tolist()
    [9]
    """
    return with_weights(_single(*values.shape), {"values": values}, dtype=dtype).bits


@lru_cache(maxsize=8)
def _single(rows: int, width: int) -> NetGraph:
    """Return the graph of one connection, which pieces of the same shape share with its compiled plan."""
    connection = Connection("values", "from", "to", rows, width, index=ElementIndex(0, (rows * width, width, 1, 1)))
    return NetGraph(
        layers={"from": width, "to": rows},
        connections=(connection,),
        bits=np.zeros(connection.n_words, dtype=np.uint64),
        inputs=np.zeros(0, dtype=np.int64),
        outputs=np.zeros(0, dtype=np.int64),
        parameters={"values": ParameterInfo((rows, width), "edge")},
    )


def checked_weights(
    graph: NetGraph, weights: Mapping[str, np.ndarray], dtype: str | None = None
) -> dict[str, np.ndarray]:
    """Return the weights as arrays, after a check of names, shapes and dtypes; `with_weights` tells the errors.

    Parameters
    ----------
    graph, weights, dtype
        As `with_weights` takes them.

    Returns
    -------
    dict of str to ndarray
    """
    if dtype not in (None, "bfloat16"):
        raise ValueError(f"dtype: expected 'bfloat16' or None, got {dtype!r}; other dtypes are those of the arrays")
    return {name: _checked_weight(graph, name, np.asarray(array), dtype) for name, array in weights.items()}


def _checked_weight(graph: NetGraph, name: str, array: np.ndarray, dtype: str | None) -> np.ndarray:
    if name not in graph.parameters:
        raise KeyError(f"weight {name!r}: no such parameter; the graph has {some_names(graph.parameters)}")
    shape = graph.parameters[name].shape
    if array.shape != shape:
        raise ValueError(f"weight {name!r}: expected shape {shape}, got {array.shape}")
    if array.dtype.kind not in "fbiu":
        raise ValueError(f"weight {name!r}: expected a real dtype, got {array.dtype}")
    if array.dtype == np.uint16 and dtype is None:
        raise ValueError(f"weight {name!r}: dtype uint16 has two readings; pass dtype='bfloat16', or array != 0")
    return array
