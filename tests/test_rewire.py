"""Swaps alone, and rewiring for any objective."""

import networkx as nx
import numpy as np
import pytest
from numpy.testing import assert_array_equal

import netgraph as ng
from netgraph.search import reference, tables
from search_graphs import irregular, regular


@pytest.mark.parametrize("seed", range(5))
def test_swaps_keep_degrees(seed):
    graph = irregular(50, seed)
    swapped = ng.swap_edges(graph, nswap=40, seed=seed)

    assert_array_equal(swapped.degrees, graph.degrees)
    assert swapped != graph
    assert swapped == ng.swap_edges(graph, nswap=40, seed=seed)


def test_one_swap_changes_four_ends():
    graph = regular(20, 3)
    before, after = (set(map(tuple, g.edges().tolist())) for g in (graph, ng.swap_edges(graph, nswap=1, seed=0)))

    assert len(before - after) == len(after - before) == 2


def test_no_swap_leaves_the_graph():
    graph = regular(20, 3)

    assert ng.swap_edges(graph, nswap=0) == graph


@pytest.mark.parametrize("G", [nx.complete_graph(5), nx.star_graph(4), nx.empty_graph(3)])
def test_swaps_give_up_with_their_counts(G):
    with pytest.raises(ng.SearchLimitError, match="made 0 of 3 in 50 tries"):
        ng.swap_edges(ng.NodeGraph.from_networkx(G), nswap=3, max_tries=50, seed=0)


def test_swaps_must_not_be_negative():
    with pytest.raises(ValueError, match="nswap: expected at least 0, got -1"):
        ng.swap_edges(regular(20, 3), nswap=-1)


def network(seed, taps=1, groups=1):
    """A connection of 12 targets and 8 sources a group, about half of its taps kept."""
    index = ng.ElementIndex(0, (12 // groups * 8 * taps, 8 * taps, taps, 1))
    c = ng.Connection("w", "x", "y", 12, 8, taps, groups, index)
    graph = ng.NetGraph(
        {"x": 8 * groups, "y": 12}, [c], np.zeros(c.n_words), range(8 * groups), range(8 * groups, 8 * groups + 12)
    )
    return graph.with_masks({"w": np.random.default_rng(seed).random(c.size) < 0.4 / taps})


@pytest.mark.parametrize(("taps", "groups"), [(1, 1), (3, 1), (1, 3), (9, 2)])
@pytest.mark.parametrize("seed", range(4))
def test_swaps_in_a_connection_keep_both_degrees(seed, taps, groups):
    graph = network(seed, taps, groups)
    swapped = ng.swap_connection_edges(graph, "w", nswap=10, seed=seed)
    before, after = (ng.to_biadjacency(g, "x", "y") for g in (graph, swapped))

    assert not np.array_equal(before, after)
    assert_array_equal(before.sum(axis=0), after.sum(axis=0))
    assert_array_equal(before.sum(axis=1), after.sum(axis=1))
    assert graph.masks()["w"].sum() == swapped.masks()["w"].sum()


def test_swaps_in_a_connection_give_up_with_their_counts():
    full = ng.from_biadjacency([np.ones((3, 3))])

    with pytest.raises(ng.SearchLimitError, match="made 0 of 1 in 100 tries"):
        ng.swap_connection_edges(full, "weight1", nswap=1)
    with pytest.raises(ng.SearchLimitError, match="made 0 of 1"):
        ng.swap_connection_edges(ng.from_biadjacency([np.zeros((3, 3))]), "weight1", nswap=1)
    with pytest.raises(KeyError, match="parameter 'weight9': no connection uses it"):
        ng.swap_connection_edges(full, "weight9", nswap=1)


def test_swaps_in_a_shared_parameter_are_refused():
    connections = [ng.Connection("w", a, b, 2, 2, index=ng.ElementIndex(0, (4, 2, 1, 1))) for a, b in ("xh", "hy")]
    graph = ng.NetGraph({"x": 2, "h": 2, "y": 2}, connections, np.full(2, 0b1001), [0, 1], [4, 5])

    with pytest.raises(ValueError, match="parameter 'w': expected one use, got 2"):
        ng.swap_connection_edges(graph, "w", nswap=1)


def test_any_objective_can_be_rewired_for():
    def clustering(graph):
        return -nx.average_clustering(graph.to_networkx())

    graph = regular(20, 4)
    found = ng.rewire(graph, clustering, steps=300, seed=0)

    assert found.value == clustering(found.graph) < clustering(graph)
    assert_array_equal(found.graph.degrees, graph.degrees)
    assert (np.diff(found.trace[:, 1]) < 0).all()
    assert (found.steps, found.graph) == (300, ng.rewire(graph, clustering, steps=300, seed=0).graph)


def test_rewiring_for_path_length_takes_the_steps_of_the_annealer():
    graph = regular(24, 3)
    random = int(np.random.default_rng(5).integers(1 << 63))
    annealer = reference.Swaps(tables.table_of(graph), 0, random)
    annealer.run(150, 0.0, 0)

    def length(candidate):
        return ng.average_shortest_path_length(candidate) if ng.reachable_fraction(candidate) == 1 else np.nan

    assert ng.rewire(graph, length, steps=150, seed=5).value * 24 * 23 == pytest.approx(annealer.best)


def test_an_interrupted_rewiring_keeps_the_best():
    calls = []

    def objective(graph):
        calls.append(graph)
        if len(calls) == 20:
            raise KeyboardInterrupt
        return ng.average_shortest_path_length(graph)

    found = ng.rewire(regular(30, 3), objective, steps=1000, seed=1)

    assert found.value == min(map(ng.average_shortest_path_length, calls[:-1]))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": -1}, "expected at least 0"),
        ({"steps": 1, "hot": 1.0}, "expected both 0, or hot >= cold > 0, got 1.0 and 0.0"),
        ({"steps": 1, "hot": 1.0, "cold": 2.0}, "expected both 0"),
    ],
)
def test_bad_arguments_of_rewire(options, message):
    with pytest.raises(ValueError, match=message):
        ng.rewire(regular(20, 3), ng.average_shortest_path_length, **options)


@pytest.mark.parametrize("unwanted", [np.nan, np.inf])
def test_graphs_that_an_objective_does_not_want_are_left(unwanted):
    graph = regular(20, 3)
    found = ng.rewire(graph, lambda other: 1.0 if other == graph else unwanted, steps=50, hot=1.0, cold=0.5, seed=0)

    assert (found.graph, found.accepted) == (graph, 0)
