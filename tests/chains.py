"""Graphs of fully connected networks, built by hand for the tests of masks and selection."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

import netgraph as ng
from netgraph.bits import pack_rows


def chain(sizes: Sequence[int]) -> ng.NetGraph:
    """Return the graph of linear layers without biases: weight ``w1`` of shape (out, in) from ``l0`` to ``l1``, ..."""
    layers = {f"l{i}": size for i, size in enumerate(sizes)}
    connections = [
        ng.Connection(f"w{i}", f"l{i - 1}", f"l{i}", rows, columns, index=ng.ElementIndex(0, (0, columns, 1, 1)))
        for i, (columns, rows) in enumerate(pairwise(sizes), start=1)
    ]
    parameters = {c.parameter: ng.ParameterInfo((c.rows, c.columns), "edge") for c in connections}
    return ng.NetGraph(
        layers,
        tuple(connections),
        bits=[word for c in connections for word in full(c)],
        inputs=range(sizes[0]),
        outputs=range(sum(sizes) - sizes[-1], sum(sizes)),
        parameters=parameters,
    )


def full(connection: ng.Connection) -> list[int]:
    """Return the words of a connection that keeps everything."""
    kept = np.ones((connection.rows, connection.width), dtype=bool)
    return pack_rows(kept).tolist()
