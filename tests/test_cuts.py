"""Flows and cuts: drawn ones, and networkx on every form of connection."""

import networkx as nx
import numpy as np
import pytest

import netgraph as ng
from netgraph.flow import bottleneck_layer, max_flow, min_cut, min_unit_cut
from netgraph.flow.edges import passing_edges
from random_graphs import random_graph

HOURGLASS = ng.from_biadjacency([np.ones((4, 3)), np.ones((2, 4)), np.ones((3, 2))])


def flow_network(graph, *, units_too=False):
    """Return the networkx graph with a super source "s" and a super target "t"."""
    G = nx.DiGraph()
    G.add_nodes_from(["s", "t"])
    for _, sources, targets, passing in passing_edges(graph):
        for a, b in zip(sources[passing].tolist(), targets[passing].tolist(), strict=True):
            capacity = G.get_edge_data(("out", a), ("in", b), {"capacity": 0})["capacity"]
            G.add_edge(("out", a), ("in", b), capacity=capacity + 1)
    ends = set(graph.inputs.tolist()) | set(graph.outputs.tolist())
    if units_too:
        nx.set_edge_attributes(G, graph.n_units + 1, "capacity")
    for u in range(graph.n_units):
        G.add_edge(("in", u), ("out", u), **({"capacity": 1} if units_too and u not in ends else {}))
    G.add_edges_from(("s", ("in", u)) for u in graph.inputs.tolist())
    G.add_edges_from((("out", u), "t") for u in graph.outputs.tolist())
    return G


def without(graph, cut):
    """Return the edges of the graph that are not in the cut, as a networkx graph on the units."""
    G = nx.DiGraph()
    G.add_nodes_from(range(graph.n_units))
    for _, sources, targets, passing in passing_edges(graph):
        G.add_edges_from(zip(sources[passing].tolist(), targets[passing].tolist(), strict=True))
    G.remove_edges_from(zip(cut.sources.tolist(), cut.targets.tolist(), strict=True))
    return G


def disjoint_ends(seed, cyclic=False):
    """Return a random graph whose inputs are no outputs."""
    graph = random_graph(seed, cyclic=cyclic, density=0.05)
    outputs = np.setdiff1d(graph.outputs, graph.inputs)
    return ng.NetGraph(
        graph.layers, graph.connections, graph.bits, graph.inputs, outputs, graph.products, gate=graph.gate
    )


def test_drawn():
    assert max_flow(HOURGLASS) == 6
    assert max_flow(HOURGLASS, targets="layer1") == 12
    assert max_flow(HOURGLASS, sources=[0], targets=[7, 8]) == 4
    assert min_unit_cut(HOURGLASS).units.tolist() == [7, 8]
    assert min_unit_cut(HOURGLASS).size == 2
    assert bottleneck_layer(HOURGLASS) == "layer2"


def test_the_cut_nearest_to_the_sources():
    chain = ng.from_biadjacency([[[1]], [[1]], [[1]]])
    cut = min_cut(chain)

    assert (cut.size, cut.sources.tolist(), cut.targets.tolist()) == (1, [0], [1])
    assert min_unit_cut(chain).layers == {"layer1": 1}


@pytest.mark.parametrize("cyclic", [False, True])
@pytest.mark.parametrize("seed", range(8))
def test_flows_and_edge_cuts_are_those_of_networkx(seed, cyclic):
    graph = disjoint_ends(seed, cyclic)
    cut = min_cut(graph)
    left = without(graph, cut)
    reached = set(graph.inputs.tolist()).union(*(nx.descendants(left, u) for u in graph.inputs.tolist()))

    assert max_flow(graph) == cut.size == nx.maximum_flow_value(flow_network(graph), "s", "t")
    assert not reached & set(graph.outputs.tolist())


@pytest.mark.parametrize("seed", range(8))
def test_unit_cuts_are_those_of_networkx(seed):
    graph = disjoint_ends(seed)
    direct = without(graph, min_cut(HOURGLASS))
    if any(direct.has_edge(a, b) for a in graph.inputs.tolist() for b in graph.outputs.tolist()):
        with pytest.raises(ValueError, match="leads straight from a source to a target"):
            min_unit_cut(graph)
        return
    cut = min_unit_cut(graph)
    direct.remove_nodes_from(cut.units.tolist())
    reached = set().union(*(nx.descendants(direct, u) for u in graph.inputs.tolist()))

    assert cut.size == nx.maximum_flow_value(flow_network(graph, units_too=True), "s", "t")
    assert cut.size == sum(cut.layers.values())
    assert not reached & set(graph.outputs.tolist())


def test_nothing_flows():
    cut = ng.from_biadjacency([[[1]], [[0]]])

    assert max_flow(cut) == min_cut(cut).size == min_unit_cut(cut).size == 0
    assert bottleneck_layer(cut) is None


def test_a_graph_without_connections():
    bare = ng.NetGraph({"x": 2, "y": 1}, [], np.zeros(0, dtype=np.uint64), [0, 1], [2])

    assert max_flow(bare) == min_cut(bare).size == min_unit_cut(bare).size == 0


def test_edges_into_closed_gates_carry_nothing():
    graph = ng.NetGraph(
        {"x": 1, "y": 2}, [ng.Connection("w", "x", "y", 2, 1)], np.array([3]), [0], [1, 2], gate=np.array([1, 1, 0])
    )

    assert max_flow(graph) == 1


def test_ends_that_do_not_fit():
    with pytest.raises(KeyError, match="sources: no layer 'z'"):
        max_flow(HOURGLASS, sources="z")
    with pytest.raises(ValueError, match=r"targets: expected unit ids in \[0, 12\), got 3 to 99"):
        max_flow(HOURGLASS, targets=[99, 3])
    with pytest.raises(ValueError, match="unit 2 is a source and a target"):
        max_flow(HOURGLASS, targets=[2])
