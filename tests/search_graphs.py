"""Graphs that the tests of the search begin with, and a Ctrl-C in the middle of it."""

import networkx as nx
import pytest

import netgraph as ng
from netgraph import native

needs_kernels = pytest.mark.skipif(native.kernels is None, reason="the compiled kernels are missing")


def regular(n, d, seed=0):
    return ng.NodeGraph.from_networkx(nx.random_regular_graph(d, n, seed=seed))


def irregular(n, seed=0):
    return ng.NodeGraph.from_networkx(nx.connected_watts_strogatz_graph(n, 4, 0.5, seed=seed))


SEARCHES = [
    (regular(30, 3), "swaps"),
    (regular(64, 6), "pairs"),
    (regular(96, 4), "symmetric"),
    (regular(64, 8), "algebraic"),
    (regular(66, 5), "cayley"),
    (irregular(40), "swaps"),
    (irregular(40), "auto"),
]


def interrupt_at(block):
    """Return a progress callback that presses Ctrl-C at a block."""
    seen = []

    def report(progress):
        seen.append(progress)
        if len(seen) == block:
            raise KeyboardInterrupt

    return report
