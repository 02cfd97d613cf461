"""Path lengths of networks: drawn ones, Dijkstra over every edge and wire, and the kernels against numpy."""

import math

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy.sparse import csr_array
from scipy.sparse.csgraph import dijkstra

import netgraph as ng
from netgraph import compiled, native
from netgraph.convert.explode import exploded
from netgraph.paths.units import unit_hops_and_pairs
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


@pytest.mark.parametrize("undirected", [False, True])
@pytest.mark.parametrize("cyclic", [False, True])
@pytest.mark.parametrize("seed", range(6))
def test_dijkstra_counts_the_same_from_each_unit(every_way, seed, cyclic, undirected):
    graph = random_graph(seed, cyclic=cyclic)
    lengths = lengths_by_dijkstra(graph, undirected)
    np.fill_diagonal(lengths, np.inf)
    between = lengths[:, np.unique(graph.outputs)]
    sources = np.random.default_rng(seed).permutation(graph.n_units)
    found = unit_hops_and_pairs(graph, sources, targets=graph.outputs, undirected=undirected)

    assert_array_equal(found[0], np.where(np.isfinite(between), between, 0).sum(axis=1)[sources])
    assert_array_equal(found[1], np.isfinite(between).sum(axis=1)[sources])


def test_more_rows_than_a_byte_counts(every_way):
    graph = ng.from_biadjacency([np.ones((700, 600)), np.ones((3, 700))])
    hops, pairs = unit_hops_and_pairs(graph, np.arange(1300))

    assert hops.tolist() == 600 * [700 + 2 * 3] + 700 * [3]
    assert pairs.tolist() == 600 * [703] + 700 * [3]


def deep(seed):
    """Five layers of 60 units, about three edges a unit, of which the distant ones are far less."""
    rng = np.random.default_rng(seed)
    return ng.from_biadjacency([rng.random((60, 60)) < 3 / 60 for _ in range(4)])


ESTIMATES = [
    (ng.estimate_unit_path_length, ng.unit_path_length, {}, 80),
    (ng.estimate_unit_path_length, ng.unit_path_length, {"undirected": True}, 80),
    (ng.estimate_input_output_path_length, ng.input_output_path_length, {}, 20),
]


@pytest.mark.parametrize(("estimate", "measure", "options", "samples"), ESTIMATES)
def test_the_interval_holds_the_true_mean_nearly_always(estimate, measure, options, samples):
    graph = deep(0)
    graph = graph if measure is ng.unit_path_length else shortcut(graph)
    true = measure(graph, **options)
    found = [estimate(graph, samples=samples, seed=seed, **options) for seed in range(300)]
    inside = sum(e.low <= true <= e.high for e in found)

    assert 270 <= inside <= 298
    assert abs(np.mean([e.value for e in found]) - true) < 0.01 * true
    assert {e.samples for e in found} == {samples}


def shortcut(graph):
    """The same network with edges from some inputs to the third layer: inputs differ in how far outputs are."""
    layers = list(graph.layers)
    index = ng.ElementIndex(0, (3600, 60, 1, 1))
    more = ng.Connection("short", layers[0], layers[3], 60, 60, index=index)
    bits = np.concatenate([graph.bits, np.zeros(more.n_words, dtype=np.uint64)])
    whole = ng.NetGraph(graph.layers, [*graph.connections, more], bits, graph.inputs, graph.outputs)
    return whole.with_masks({"short": np.random.default_rng(1).random(3600) < 0.01})


def test_layers_make_an_estimate_narrow():
    """Units of a layer are alike: a sample of every layer knows more than one of all units."""
    graph = ng.from_biadjacency([np.ones((40, 40)), np.ones((40, 40)), np.ones((40, 40))])
    found = ng.estimate_unit_path_length(graph, samples=16, seed=0)

    assert (found.low, found.high) == (found.value, found.value)
    assert found.value == pytest.approx(ng.unit_path_length(graph))


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(("estimate", "measure", "options", "samples"), ESTIMATES)
def test_a_sample_of_all_units_is_exact(every_way, seed, estimate, measure, options, samples):
    graph = random_graph(seed)
    found, exact = estimate(graph, samples=10_000, **options), measure(graph, **options)

    assert_array_equal([found.value, found.low, found.high], exact)
    assert found.samples == (graph.n_units if measure is ng.unit_path_length else len(np.unique(graph.inputs)))


def test_layers_of_two_units_are_always_all_looked_at():
    graph = ng.from_biadjacency([np.eye(2), np.ones((2, 2)), np.eye(2)])
    found = ng.estimate_unit_path_length(graph, samples=3)

    assert (found.value, found.low, found.high) == 3 * (ng.unit_path_length(graph),)
    assert found.samples == 8


def test_estimates_repeat_with_their_seed_and_without_kernels(monkeypatch):
    graph = deep(2)
    first, second, other = (ng.estimate_unit_path_length(graph, samples=40, seed=seed) for seed in (1, 1, 2))
    monkeypatch.setattr(native, "kernels", None)

    assert first == second == ng.estimate_unit_path_length(graph, samples=40, seed=1)
    assert first != other


def test_an_estimate_of_nothing_is_nan():
    found = ng.estimate_unit_path_length(ng.from_biadjacency([np.zeros((30, 20))]), samples=10, seed=0)

    assert_array_equal([found.value, found.low, found.high], np.nan)


@pytest.mark.parametrize("estimate", [ng.estimate_unit_path_length, ng.estimate_input_output_path_length])
def test_one_sample_has_no_spread(estimate):
    with pytest.raises(ValueError, match="samples: expected at least 2, got 1"):
        estimate(residual(), samples=1)


@pytest.mark.skipif(native.kernels is None, reason="the compiled kernels are missing")
def test_what_the_kernels_read_and_write_is_checked():
    graph = residual()
    plan = compiled.plan_of(graph).kernel_plan

    def count(bits=graph.bits, source=0, wanted=6, n_hops=1):
        hops, pairs = np.zeros(n_hops, dtype=np.int64), np.zeros(1, dtype=np.int64)
        native.kernels.count_each_unit_hops(
            plan, bits, np.array([source]), np.ones(wanted, dtype=bool), False, hops, pairs
        )

    with pytest.raises(ValueError, match="bits: expected those of the plan"):
        count(bits=graph.bits[1:])
    for source in (-1, 6):
        with pytest.raises(ValueError, match="sources: one is no unit"):
            count(source=source)
    with pytest.raises(ValueError, match="wanted: expected one for each unit"):
        count(wanted=5)
    with pytest.raises(ValueError, match="hops, pairs: expected one a source"):
        count(n_hops=2)
