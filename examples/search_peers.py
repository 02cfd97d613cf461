"""The mean path length of a regular graph and random double edge swaps by other libraries, where they are there."""

from collections.abc import Callable
from importlib.util import find_spec

import numpy as np

import netgraph as ng

__all__ = ["PACKAGES", "QUOTED_EVALUATIONS", "QUOTED_GAPS", "QUOTED_LENGTHS", "mean_length_by", "swaps_by"]

PACKAGES = ("networkx", "scipy", "igraph", "networkit", "rustworkx")
"""Import names; all but the first two are optional."""

QUOTED_EVALUATIONS = {
    (64, 4): 315e3,
    (64, 8): 387e3,
    (256, 16): 58e3,
    (1024, 8): 7.1e3,
    (1024, 11): 4.7e3,
    (4096, 60): 84.0,
}
"""Evaluations a second of mnakao/ODP (MATRIX, AVX2), measured by us on a Zen 5 core at 3.85 GHz, one thread."""

QUOTED_LENGTHS = {
    (64, 4): 2.9003,
    (64, 8): 1.9826,
    (256, 16): 2.1603,
    (1024, 8): 3.5339,
    (1024, 11): 3.0911,
    (4096, 60): 2.3630,
}
"""Mean path length that mnakao/ODP reaches in 5 to 12 s of that core, with its symmetry where that is better."""

QUOTED_GAPS = {(64, 8): 2.860, (256, 8): 0.674, (512, 8): 4.876, (1024, 8): 0.617, (1024, 11): 6.538}
"""Best known graphs: how far their mean path length lies above the lower bound, in percent to three digits.

Graph Golf 2016, research.nii.ac.jp/graphgolf/2016. The lengths there, 1.927, 2.736, 3.111, 3.505 and 3.059 hops, have
two digits less.
"""


def mean_length_by(name: str, graph: ng.NodeGraph) -> Callable[[], float] | None:
    """Return what computes the mean path length of a graph that is built already; None if the package is absent."""
    return _MEANS[name](graph) if find_spec(name) else None


def _by_networkx(graph: ng.NodeGraph) -> Callable[[], float]:
    import networkx as nx

    G = graph.to_networkx()
    return lambda: nx.average_shortest_path_length(G)


def _by_scipy(graph: ng.NodeGraph) -> Callable[[], float]:
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import shortest_path

    matrix = csr_array(graph.adjacency().astype(float))
    pairs = graph.n_nodes * (graph.n_nodes - 1)
    return lambda: float(shortest_path(matrix, method="D", unweighted=True).sum() / pairs)


def _by_igraph(graph: ng.NodeGraph) -> Callable[[], float]:
    import igraph

    return igraph.Graph(graph.n_nodes, graph.edges().tolist()).average_path_length


def _by_networkit(graph: ng.NodeGraph) -> Callable[[], float]:
    import networkit as nk

    nk.setNumberOfThreads(1)
    G = nk.Graph(graph.n_nodes)
    for a, b in graph.edges().tolist():
        G.addEdge(a, b)
    pairs = graph.n_nodes * (graph.n_nodes - 1)
    return lambda: float(np.asarray(nk.distance.APSP(G).run().getDistances()).sum() / pairs)


def _by_rustworkx(graph: ng.NodeGraph) -> Callable[[], float]:
    import rustworkx

    G = rustworkx.PyGraph()
    G.add_nodes_from(range(graph.n_nodes))
    G.add_edges_from_no_data([tuple(edge) for edge in graph.edges().tolist()])
    return lambda: float(rustworkx.unweighted_average_shortest_path_length(G, parallel_threshold=1 << 30))


_MEANS = {
    "networkx": _by_networkx,
    "scipy": _by_scipy,
    "igraph": _by_igraph,
    "networkit": _by_networkit,
    "rustworkx": _by_rustworkx,
}


def swaps_by(name: str, graph: ng.NodeGraph, count: int) -> Callable[[], object] | None:
    """Return what makes `count` random double edge swaps; None if the package is absent or has no such function."""
    if name == "networkx":
        import networkx as nx

        G = graph.to_networkx()
        return lambda: nx.double_edge_swap(G, nswap=count, max_tries=100 * count, seed=1)
    if name == "igraph" and find_spec(name):
        import igraph

        made = igraph.Graph(graph.n_nodes, graph.edges().tolist())
        return lambda: made.rewire(count)
    return None
