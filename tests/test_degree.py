"""Degrees: drawn graphs, then networkx on every form of connection."""

import networkx as nx
import numpy as np
import pytest

import netgraph as ng
from netgraph.generators import biregular
from random_graphs import random_graph


def two_connections_between_two_layers() -> ng.NetGraph:
    connections = [
        ng.Connection("v", "x", "y", 2, 2),
        ng.Connection("w", "x", "y", 1, 2, target_start=1),
        ng.Wiring("x", "y", 2),
    ]
    return ng.NetGraph({"x": 2, "y": 2}, connections, np.array([0b1001, 0b11]), [0, 1], [2, 3])


def test_drawn():
    graph = two_connections_between_two_layers()

    assert ng.in_degrees(graph).tolist() == [0, 0, 1, 2]
    assert ng.out_degrees(graph).tolist() == [2, 1, 0, 0]
    assert ng.in_degrees(graph, fixed=True).tolist() == [0, 0, 1, 2]


@pytest.mark.parametrize("cyclic", [False, True])
@pytest.mark.parametrize("seed", range(12))
def test_degrees_are_those_of_networkx(seed, cyclic):
    graph = random_graph(seed, cyclic=cyclic)
    G = ng.to_networkx(graph)
    weighted = nx.DiGraph((s, t) for s, t, kept in G.edges(data="kept") if kept)
    weighted.add_nodes_from(range(graph.n_units))

    for fixed, oracle in ((False, weighted), (True, G)):
        np.testing.assert_array_equal(ng.in_degrees(graph, fixed=fixed), [oracle.in_degree[u] for u in range(len(G))])
        np.testing.assert_array_equal(ng.out_degrees(graph, fixed=fixed), [oracle.out_degree[u] for u in range(len(G))])


def test_rows_of_layers():
    rows = ng.layer_degrees(ng.from_biadjacency([[[1, 0, 1], [0, 0, 0]], [[1, 1]]]))

    assert rows[0] == ng.DegreeRow("layer0", 3, 0, 0.0, 0, 0, pytest.approx(2 / 3), 1)
    assert rows[1] == ng.DegreeRow("layer1", 2, 0, 1.0, 2, 1, 1.0, 1)


def test_a_layer_without_units():
    graph = ng.from_biadjacency([np.zeros((0, 3)), np.zeros((2, 0))])

    assert ng.layer_degrees(graph)[1] == ng.DegreeRow("layer1", 0, 0, 0.0, 0, 0, 0.0, 0)
    assert ng.is_regular(graph)


@pytest.mark.parametrize(("sources", "targets", "degree"), [(6, 4, 3), (5, 7, 2), (9, 4, 2)])
def test_biregular_layers_are_regular(sources, targets, degree):
    layer = biregular(sources, targets, degree, seed=0)
    graph = ng.from_biadjacency([layer, np.ones((3, targets))])

    assert ng.is_biregular(graph, "layer0", "layer1")
    assert ng.is_regular(graph)


@pytest.mark.parametrize("moved", [[[1, 1, 0], [1, 0, 0], [1, 0, 1]], [[1, 1, 1], [1, 0, 0], [0, 1, 1]]])
def test_one_side_alone_does_not_make_it_regular(moved):
    """In-degrees 2, 1, 2 with out-degrees 3, 1, 1; then in-degrees 3, 1, 2 with out-degrees 2, 2, 2."""
    assert not ng.is_regular(ng.from_biadjacency([moved]))


def test_unknown_layers():
    graph = ng.from_biadjacency([[[1]], [[1]]])

    with pytest.raises(KeyError, match="no layer 'z'"):
        ng.is_biregular(graph, "layer0", "z")
    with pytest.raises(ValueError, match="no connection 'layer0' -> 'layer2'"):
        ng.is_biregular(graph, "layer0", "layer2")
