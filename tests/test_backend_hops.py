"""The searches behind the networkx backend: networkx as the oracle of answers and orders, what the kernel checks."""

import networkx as nx
import numpy as np
import pytest

from netgraph import native
from netgraph.backend import convert_from_nx, functions


@pytest.mark.parametrize("cutoff", [None, -1, 0, 1, 1.5, 3, 1e9, float("inf"), float("nan")])
@pytest.mark.parametrize("directed", [False, True])
def test_nodes_come_in_the_order_of_networkx(every_way, directed, cutoff):
    G = nx.relabel_nodes(nx.gnp_random_graph(70, 0.03, seed=3, directed=directed), lambda node: ("node", node * 7 % 70))
    expected = [(source, list(lengths.items())) for source, lengths in nx.all_pairs_shortest_path_length(G, cutoff)]
    graph = convert_from_nx(G)
    found = [
        (source, list(lengths.items())) for source, lengths in functions.all_pairs_shortest_path_length(graph, cutoff)
    ]

    assert found == expected
    for source, lengths in expected[:20]:
        assert list(functions.single_source_shortest_path_length(graph, source, cutoff).items()) == lengths


@pytest.mark.parametrize("directed", [False, True])
def test_descendants_and_ancestors_are_those_of_networkx(every_way, directed):
    G = nx.gnp_random_graph(90, 0.015, seed=5, directed=directed)
    graph = convert_from_nx(G)

    for node in G:
        assert functions.descendants(graph, node) == nx.descendants(G, node)
        assert functions.ancestors(graph, node) == nx.ancestors(G, node)


@pytest.mark.skipif(native.kernels is None, reason="the compiled kernels are missing")
def test_what_the_search_reads_and_writes_is_checked():
    graph, order, met = convert_from_nx(nx.path_graph(4)), np.empty((1, 4), dtype=np.int32), np.empty(1, dtype=np.int64)

    def search(offsets=graph.offsets, targets=graph.targets, source=0, order=order, met=met):
        native.kernels.breadth_first(offsets, targets, np.array([source]), 4, order, order.copy(), met)

    for source in (-1, 4):
        with pytest.raises(ValueError, match="sources: one is no node"):
            search(source=source)
    for targets in (graph.targets + 3, graph.targets - 2):
        with pytest.raises(ValueError, match="targets: one is no node"):
            search(targets=targets)
    for offsets in (graph.offsets[:-1], graph.offsets * [1, 9, 1, 1, 1], graph.offsets - [2, 0, 0, 0, 0]):
        with pytest.raises(ValueError, match="offsets: do not fit targets"):
            search(offsets=np.ascontiguousarray(offsets))
    with pytest.raises(ValueError, match="order, hops: expected a row for each source"):
        search(order=np.empty((1, 3), dtype=np.int32))
    with pytest.raises(ValueError, match="met: expected one for each source"):
        search(met=np.empty(2, dtype=np.int64))
