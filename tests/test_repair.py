"""netgraph.repair: the fewest removed weights that join an input to an output, against Dijkstra of networkx."""

from dataclasses import replace
from itertools import pairwise

import networkx as nx
import numpy as np
import pytest

import netgraph as ng
from netgraph.bits import pack_rows
from random_graphs import random_graph


def random_scores(graph, seed):
    rng = np.random.default_rng(seed)
    return {name: rng.integers(0, 6, graph.parameters[name].shape).astype(float) for name in graph.edge_parameters}


def cut_graph(seed, *, cyclic=False):
    """Return a small random graph with few kept weights, without the inputs and outputs that are joined already."""
    graph = random_graph(seed, cyclic=cyclic, products=False, density=0.01)
    found = ng.sweep(graph)
    return replace(
        graph,
        inputs=graph.inputs[~found.co_accessible[graph.inputs]],
        outputs=graph.outputs[~found.accessible[graph.outputs]],
    )


def possible_edges(graph, scores, least=-np.inf):
    """Return the graph with every edge that may be used, `cost` 1 if it has no kept tap; by score, and gates open."""
    edges = nx.DiGraph()
    edges.add_nodes_from(range(graph.n_units))
    open_ = [(s, t) for s, t in ng.to_networkx(graph).edges if graph.gate[t]]
    for c in graph.weighted:
        flat = scores[c.parameter].reshape(-1)[c.elements()].max(axis=2)
        for row, column in zip(*np.nonzero(flat >= least), strict=True):
            source = graph.slices[c.source].start + c.source_start + row // (c.rows // c.groups) * c.columns + column
            target = graph.slices[c.target].start + c.target_start + row
            if graph.gate[target]:
                edges.add_edge(int(source), int(target), cost=1)
    edges.add_edges_from(open_, cost=0)
    return edges


def fewest(graph, scores, least=-np.inf):
    edges = possible_edges(graph, scores, least)
    costs = nx.multi_source_dijkstra_path_length(edges, set(graph.inputs.tolist()), weight="cost")
    return min((costs[unit] for unit in graph.outputs.tolist() if unit in costs), default=None)


def repaired(graph, elements):
    masks = graph.masks()
    for name, flat in elements.items():
        masks[name].reshape(-1)[flat] = True
    return graph.with_masks(masks)


@pytest.mark.parametrize("cyclic", [False, True])
@pytest.mark.parametrize("seed", range(12))
def test_as_few_as_dijkstra_and_the_best_scored_of_them(seed, cyclic):
    graph = cut_graph(seed, cyclic=cyclic)
    if not graph.inputs.size or not graph.outputs.size:
        return
    scores = random_scores(graph, seed)
    found, size = ng.least_repair(graph, scores), fewest(graph, scores)

    assert (found.size if found else None) == size
    if found:
        same = [s for s in range(6) if fewest(graph, scores, s) == size]

        assert found.lowest == max(same, default=None)
        assert ng.sweep(repaired(graph, found.elements)).accessible[graph.outputs].any()
        assert min(scores[n].reshape(-1)[flat].min() for n, flat in found.elements.items()) == found.lowest


def small_graph(seed):
    """x (3) -> a (6) -> pairs of a are added to b (3) -> c (3) -> y (2); few weights are kept, each has a score."""
    rng = np.random.default_rng(seed)
    sizes = {"x": 3, "a": 6, "b": 3, "c": 3, "y": 2}
    connections = [
        ng.Connection("w", "x", "a", 6, 3, index=ng.ElementIndex(0, (18, 3, 1, 1))),
        ng.Wiring("a", "b", 0, pairs=np.array([[0, 1, 2, 3, 4, 5], [0, 0, 1, 1, 2, 2]], np.int32))
        if seed % 2
        else ng.Wiring("a", "b", 3, fan_in=2),
        ng.Connection("v", "b", "c", 3, 3, index=ng.ElementIndex(0, (9, 3, 1, 1))),
        ng.Connection("u", "c", "y", 2, 3, index=ng.ElementIndex(0, (6, 3, 1, 1))),
    ]
    words = np.concatenate([pack_rows(rng.random((1, n)) < rng.choice([0.0, 0.1, 0.5])) for n in (18, 9, 6)])
    order = np.split(rng.permutation(33).astype(float), [18, 27])
    scores = dict(zip("wvu", order, strict=True))
    return ng.NetGraph(sizes, connections, words, np.arange(3), np.arange(15, 17)), scores


@pytest.mark.parametrize("seed", range(60))
def test_of_equally_few_the_best_scored(seed):
    graph, scores = small_graph(seed)
    found, size = ng.least_repair(graph, scores), fewest(graph, scores)
    same = [score for score in range(33) if fewest(graph, scores, score) == size]

    assert found.size == size
    assert found.lowest == (max(same) if size else None)


@pytest.mark.parametrize("seed", range(12))
def test_with_products_the_change_is_enough(seed):
    graph = random_graph(seed, density=0.01)
    found = ng.least_repair(graph)

    if found:
        now = repaired(graph, found.elements)

        assert ng.sweep(now).accessible[list(found.path)].all()
        assert found.path[0] in graph.inputs
        assert found.path[-1] in graph.outputs
        assert all(ng.to_networkx(now).has_edge(*pair) for pair in pairwise(found.path))


def test_the_random_cases_need_repairs_of_several_sizes():
    graphs = [cut_graph(seed) for seed in range(12)]
    sizes = {found.size for g in graphs if (found := ng.least_repair(g))}

    assert {1, 2} <= sizes


@pytest.mark.parametrize(
    "last",
    [
        ng.Connection("v", "a", "y", 1, 2, index=ng.ElementIndex(0, (2, 2, 1, 1))),
        ng.Wiring("a", "y", 1, fan_in=2),
        ng.Wiring("a", "y", 0, pairs=np.array([[0, 1], [0, 0]], np.int32)),
    ],
    ids=["kept weights", "pooling", "pairs"],
)
def test_few_weights_go_before_good_ones(last):
    """x -> a[0] needs one weight of score 1; x -> h -> a[1] needs two of score 5. Both units of a lead to y."""
    connections = [
        ng.Connection("short", "x", "a", 1, 1),
        ng.Connection("long1", "x", "h", 1, 1),
        ng.Connection("long2", "h", "a", 1, 1, target_start=1),
        last,
    ]
    bits = [0, 0, 0] + [0b11] * (last.parameter is not None)
    graph = ng.NetGraph({"x": 1, "h": 1, "a": 2, "y": 1}, connections, np.array(bits), [0], [4])
    scores = {"short": np.array([1.0]), "long1": np.array([5.0]), "long2": np.array([5.0])}
    found = ng.least_repair(graph, scores)

    assert (found.path, found.lowest) == ((0, 2, 4), 1)
    assert ng.least_repair(graph, {"long1": scores["long1"], "long2": scores["long2"]}).path == (0, 1, 3, 4)


def test_nothing_to_repair():
    found = ng.least_repair(ng.from_biadjacency([[[1]], [[1]]]), {"weight1": np.ones((1, 1))})

    assert (found.size, found.path, found.lowest) == (0, (0, 1, 2), None)


def test_only_scored_weights_come_back():
    graph = ng.from_biadjacency([[[0], [1]], [[1, 0]]])

    assert ng.least_repair(graph, {"weight1": np.ones((2, 1))}).path == (0, 1, 3)
    assert ng.least_repair(graph, {"weight2": np.ones((1, 2))}).path == (0, 2, 3)
    assert ng.least_repair(graph, {}) is None


def test_infinite_scores_are_scores():
    graph = ng.from_biadjacency([[[0], [0]], [[1, 1]]])
    found = ng.least_repair(graph, {"weight1": np.array([[-np.inf], [np.inf]])})

    assert found.elements["weight1"].tolist() == [1]
    assert ng.least_repair(ng.from_biadjacency([[[0]]]), {"weight1": np.array([[-np.inf]])}).lowest == -np.inf


def test_a_masked_gate_is_not_opened():
    graph = replace(ng.from_biadjacency([[[0]]]), gate=[True, False])

    assert ng.least_repair(graph) is None


@pytest.mark.parametrize(
    ("scores", "error", "message"),
    [
        ({"w": np.ones(1)}, KeyError, "scores for 'w': no connection uses it; the graph has 'weight1'"),
        ({"weight1": np.ones(2)}, ValueError, r"'weight1': expected shape \(1, 1\), got \(2,\)"),
        ({"weight1": np.full((1, 1), np.nan)}, ValueError, "scores for 'weight1': 1 are NaN"),
    ],
)
def test_scores_that_do_not_fit(scores, error, message):
    with pytest.raises(error, match=message):
        ng.least_repair(ng.from_biadjacency([[[1]]]), scores)
