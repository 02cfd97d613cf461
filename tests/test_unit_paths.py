"""Path lengths of networks: drawn ones, Dijkstra over every edge and wire, and the kernels against numpy."""

import math

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy.sparse import csr_array
from scipy.sparse.csgraph import dijkstra

import netgraph as ng
from netgraph.convert.explode import exploded
from random_graphs import random_graph


def residual():
    """Units x0 x1 | h0 h1 | y0 y1: x0 - h0 - y0 by weights, and an identity from x to y."""
    connections = [
        ng.Connection("w", "x", "h", 2, 2, index=ng.ElementIndex(0, (4, 2, 1, 1))),
        ng.Connection("v", "h", "y", 2, 2, index=ng.ElementIndex(0, (4, 2, 1, 1))),
        ng.Wiring("x", "y", 2),
    ]
    return ng.NetGraph({"x": 2, "h": 2, "y": 2}, connections, np.array([0b1, 0b1]), [0, 1], [4, 5])


def lengths_by_dijkstra(graph, undirected):
    """Distances with wiring at a cost so small that it does not add up to an edge."""
    least = {}
    for c, sources, targets, _ in exploded(graph):
        cost = 1.0 if c.parameter is not None else 1e-6
        for pair in zip(sources.tolist(), targets.tolist(), strict=True):
            if pair[0] != pair[1]:
                least[pair] = min(cost, least.get(pair, 1.0))
    rows, columns = np.array([*least, (0, 0)]).T
    costs = csr_array(([*least.values(), 0.0], (rows, columns)), shape=(graph.n_units, graph.n_units))
    return np.floor(dijkstra(costs, directed=not undirected) + 1e-3)


def histogram(lengths):
    joined = lengths[np.isfinite(lengths)].astype(int)
    return np.bincount(joined, minlength=1)


def test_wiring_is_free(every_way):
    graph = residual()

    assert ng.unit_distance_histogram(graph).tolist() == [2, 2]
    assert ng.input_output_path_length(graph) == 0
    assert ng.input_output_reachable_fraction(graph) == 0.5
    assert ng.unit_path_length(graph) == 0.5
    assert ng.unit_reachable_fraction(graph) == 4 / 30


def test_both_ways(every_way):
    graph = residual()

    assert ng.unit_distance_histogram(graph, undirected=True).tolist() == [4, 4]
    assert ng.unit_path_length(graph, undirected=True) == 0.5
    assert ng.unit_reachable_fraction(graph, undirected=True) == 8 / 30


def test_layers_one_after_the_other(every_way):
    graph = ng.from_biadjacency([np.ones((3, 2)), np.ones((4, 3)), np.ones((1, 4))])

    assert ng.unit_distance_histogram(graph).tolist() == [0, 6 + 12 + 4, 8 + 3, 2]
    assert ng.input_output_path_length(graph) == 3
    assert ng.input_output_reachable_fraction(graph) == 1


def test_nothing_is_joined(every_way):
    graph = ng.from_biadjacency([np.zeros((3, 2))])

    assert math.isnan(ng.input_output_path_length(graph))
    assert math.isnan(ng.unit_path_length(graph))
    assert (ng.input_output_reachable_fraction(graph), ng.unit_reachable_fraction(graph)) == (0, 0)


@pytest.mark.parametrize("undirected", [False, True])
@pytest.mark.parametrize("cyclic", [False, True])
@pytest.mark.parametrize("seed", range(12))
def test_dijkstra_counts_the_same(every_way, seed, cyclic, undirected):
    graph = random_graph(seed, cyclic=cyclic)
    lengths = lengths_by_dijkstra(graph, undirected)
    np.fill_diagonal(lengths, np.inf)
    between = lengths[np.ix_(graph.inputs, graph.outputs)]

    assert_array_equal(ng.unit_distance_histogram(graph, undirected=undirected), histogram(lengths))
    assert_array_equal(
        ng.unit_distance_histogram(graph, sources=graph.inputs, targets=graph.outputs, undirected=undirected),
        histogram(between),
    )


def test_wide_layers_are_searched_in_parts(every_way):
    rng = np.random.default_rng(0)
    graph = ng.from_biadjacency([rng.random((700, 600)) < 0.004, rng.random((50, 700)) < 0.02])
    lengths = lengths_by_dijkstra(graph, False)
    np.fill_diagonal(lengths, np.inf)

    assert_array_equal(ng.unit_distance_histogram(graph), histogram(lengths))


def test_repeated_units_count_once():
    graph = residual()

    assert ng.unit_distance_histogram(graph, sources=np.array([0, 0]), targets=np.array([2, 4, 4])).tolist() == [1, 1]


@pytest.mark.parametrize("name", ["sources", "targets"])
@pytest.mark.parametrize("unit", [-1, 6])
def test_ids_are_checked(name, unit):
    with pytest.raises(IndexError, match=f"{name}: expected units 0 to 5, got "):
        ng.unit_distance_histogram(residual(), **{name: np.array([unit])})
