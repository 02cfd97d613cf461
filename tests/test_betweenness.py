"""Edge betweenness against networkx, and against all shortest paths where wiring has length 0."""

from itertools import pairwise

import networkx as nx
import numpy as np
import pytest

import netgraph as ng
from netgraph.flow import edge_betweenness
from netgraph.flow.edges import passing_edges
from random_graphs import random_graph


def layered(seed, widths=(9, 12, 80, 11, 6), density=0.2):
    rng = np.random.default_rng(seed)
    return ng.from_biadjacency([rng.random((b, a)) < density for a, b in pairwise(widths)])


def pairs(graph):
    return list(zip(*(ends.tolist() for ends in graph.edges()), strict=True))


def by_all_paths(graph, sources, targets):
    """Betweenness of the edges of a graph from the list of all its shortest paths."""
    G = nx.MultiDiGraph()
    G.add_nodes_from(range(graph.n_units))
    number = 0
    for c, source, target, passing in passing_edges(graph):
        for a, b, open_ in zip(source.tolist(), target.tolist(), passing.tolist(), strict=True):
            if open_:
                G.add_edge(a, b, number=number if c.parameter else None, weight=int(c.parameter is not None))
            number += c.parameter is not None
    found = np.zeros(number)
    order = list(nx.topological_sort(G))
    for s in sources:
        ways = {s: (0, [()])}
        for u in order:
            for a, _, data in G.in_edges(u, data=True):
                if a in ways and u != s:
                    length, paths = ways[a][0] + data["weight"], [(*p, data["number"]) for p in ways[a][1]]
                    best = ways.get(u, (length + 1, []))
                    if length <= best[0]:
                        ways[u] = (length, paths + (best[1] if length == best[0] else []))
        for t in set(ways) & set(targets) - {s}:
            for path in ways[t][1]:
                np.add.at(found, [e for e in path if e is not None], 1 / len(ways[t][1]))
    return found


def test_drawn():
    graph = ng.from_biadjacency([[[1, 1], [0, 1]], [[1, 1]]])

    assert edge_betweenness(graph).tolist() == [2, 1.5, 1.5, 2.5, 1.5]
    assert edge_betweenness(graph, sources=[0], targets=[4]).tolist() == [1, 0, 0, 1, 0]


@pytest.mark.parametrize("seed", range(4))
def test_betweenness_is_that_of_networkx(seed):
    """With 118 units there are two batches of sources."""
    graph = layered(seed)
    found = nx.edge_betweenness_centrality(ng.to_networkx(graph), normalized=False)

    np.testing.assert_allclose(edge_betweenness(graph), [found[pair] for pair in pairs(graph)])


@pytest.mark.parametrize("seed", range(4))
def test_betweenness_between_inputs_and_outputs(seed):
    """networkx 3.6 is no oracle for this: its subset version shares by predecessors, not by paths."""
    graph = layered(seed, widths=(5, 8, 9, 4))
    ends = graph.inputs.tolist(), graph.outputs.tolist()

    np.testing.assert_allclose(
        edge_betweenness(graph, sources="layer0", targets="layer3"), by_all_paths(graph, *ends), atol=1e-12
    )


@pytest.mark.parametrize("seed", range(10))
def test_wiring_has_length_0_and_closed_gates_stop(seed):
    graph = random_graph(seed, density=0.02, layers=5)
    rng = np.random.default_rng(seed)
    sources, targets = (rng.choice(graph.n_units, size=min(12, graph.n_units), replace=False) for _ in range(2))
    expected = by_all_paths(graph, sources.tolist(), targets.tolist())

    np.testing.assert_allclose(edge_betweenness(graph, sources=sources, targets=targets), expected, atol=1e-12)


def test_sums_of_betweenness_are_sums_of_lengths():
    graph = layered(7)
    lengths = dict(nx.all_pairs_shortest_path_length(ng.to_networkx(graph)))

    assert edge_betweenness(graph).sum() == pytest.approx(sum(sum(own.values()) for own in lengths.values()))


def test_no_sources_and_no_edges():
    empty = ng.from_biadjacency([np.zeros((2, 2))])

    assert edge_betweenness(empty).tolist() == []
    assert edge_betweenness(layered(0), sources=[]).sum() == 0


def test_cycles():
    with pytest.raises(ng.GraphStructureError, match="the graph has cycles"):
        edge_betweenness(random_graph(0, cyclic=True))
