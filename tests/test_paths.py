"""netgraph.paths: drawn graphs, the kernels against numpy, networkx and scipy as oracles."""

import math

import networkx as nx
import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy.sparse.csgraph import shortest_path

import netgraph as ng
from netgraph import native
from netgraph.paths import reference


def petersen():
    return ng.NodeGraph.from_networkx(nx.petersen_graph())


def cycle(n):
    return ng.NodeGraph.from_networkx(nx.cycle_graph(n))


def random_graph(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.choice([1, 2, 5, 63, 64, 65, 100, 130, 520]))
    return ng.NodeGraph.from_networkx(nx.gnp_random_graph(n, min(1, rng.choice([0.5, 1.2, 4]) / n), seed=seed))


def test_petersen(every_way):
    graph = petersen()

    assert ng.average_shortest_path_length(graph) == 5 / 3
    assert ng.aspl_lower_bound(10, 3) == 5 / 3
    assert ng.aspl_gap(graph) == 0
    assert ng.diameter(graph) == ng.diameter_lower_bound(10, 3) == 2
    assert ng.distance_histogram(graph).tolist() == [10, 30, 60]


@pytest.mark.parametrize("n", [3, 4, 9, 64, 101])
def test_rings(every_way, n):
    graph = cycle(n)

    assert ng.diameter(graph) == n // 2
    assert ng.average_shortest_path_length(graph) == pytest.approx(n**2 // 4 / (n - 1))


def test_complete_graphs_are_one_hop_across(every_way):
    graph = ng.NodeGraph.from_networkx(nx.complete_graph(70))

    assert ng.average_shortest_path_length(graph) == ng.aspl_lower_bound(70, 69) == 1
    assert ng.gradient_resistance(graph) == 2


def test_pairs_in_different_pieces_are_left_out(every_way):
    graph = ng.NodeGraph.from_edges(5, [(0, 1), (1, 2), (3, 4)])

    assert ng.average_shortest_path_length(graph) == (4 + 4 + 2) / 8
    assert ng.reachable_fraction(graph) == 8 / 20
    assert ng.shortest_path_lengths(graph)[0].tolist() == [0, 1, 2, -1, -1]


def test_graphs_without_edges(every_way):
    empty, lonely = ng.NodeGraph.from_edges(0, []), ng.NodeGraph.from_edges(3, [])

    assert math.isnan(ng.average_shortest_path_length(lonely))
    assert (ng.diameter(lonely), ng.reachable_fraction(lonely), ng.reachable_fraction(empty)) == (0, 0, 1)
    assert ng.shortest_path_lengths(lonely).tolist() == [[0, -1, -1], [-1, 0, -1], [-1, -1, 0]]
    assert ng.shortest_path_lengths(empty).shape == (0, 0)
    assert math.isnan(ng.gradient_resistance(empty))


@pytest.mark.parametrize("seed", range(30))
def test_scipy_counts_the_same(every_way, seed):
    graph = random_graph(seed)
    expected = shortest_path(graph.adjacency(), unweighted=True)
    joined = np.isfinite(expected)

    assert_array_equal(ng.shortest_path_lengths(graph), np.where(joined, expected, -1).astype(int))
    assert_array_equal(ng.distance_histogram(graph), np.bincount(expected[joined].astype(int)))


@pytest.mark.parametrize(("n", "d"), [(64, 4), (100, 5), (256, 6), (300, 3), (700, 3)])
def test_networkx_finds_the_same_mean(every_way, n, d):
    G = nx.random_regular_graph(d, n, seed=n)

    found = ng.average_shortest_path_length(ng.NodeGraph.from_networkx(G))

    assert found == pytest.approx(nx.average_shortest_path_length(G), abs=1e-12)


def frontier_sizes(graph, steps):
    """A loop over matrix powers: how many nodes the walks of each length from each node end at."""
    walks = np.eye(graph.n_nodes, dtype=bool)
    for _ in range(steps):
        yield walks.sum(axis=1)
        walks = (walks.astype(int) @ graph.adjacency()) > 0


@pytest.mark.parametrize("seed", range(6))
def test_walks_fill_the_graph_as_matrix_powers_do(seed):
    graph = ng.NodeGraph.from_networkx(nx.random_regular_graph(3 + seed % 3, 40, seed=seed))
    sizes = np.array(list(frontier_sizes(graph, 40)))
    steps = (sizes < graph.n_nodes).sum(axis=0)
    before = np.array([column[:n].sum() for column, n in zip(sizes.T, steps, strict=True)])

    assert ng.gradient_resistance(graph) == pytest.approx(steps.mean())
    assert ng.aopu(graph) == pytest.approx(((15 - steps) * 40 + before).mean())


def test_walks_on_a_bipartite_graph_or_on_one_in_pieces_never_fill_it():
    two_triangles = ng.NodeGraph.from_edges(6, [(0, 1), (1, 2), (2, 0), (3, 4), (4, 5), (5, 3)])

    assert ng.gradient_resistance(cycle(4)) == ng.gradient_resistance(cycle(6)) == math.inf
    assert ng.gradient_resistance(two_triangles) == math.inf
    assert ng.aopu(cycle(6), n_layers=4) == 1 + 2 + 3 + 3


@pytest.mark.parametrize(
    ("n", "d", "bound"), [(64, 4, 180 / 63), (256, 16, 1.937255), (4096, 60, 2.106227), (2, 1, 1), (9, 2, 2.5)]
)
def test_bounds_of_the_literature(n, d, bound):
    assert ng.aspl_lower_bound(n, d) == pytest.approx(bound, abs=5e-7)


@pytest.mark.parametrize(("n", "d"), [(1, 0), (3, 1), (5, 0), (5, 5), (0, 0), (4, -1)])
def test_no_connected_graph_has_such_a_degree(n, d):
    with pytest.raises(ng.InfeasibleDegreeError, match=rf"{n} nodes of degree {d}: expected "):
        ng.aspl_lower_bound(n, d)


@pytest.mark.parametrize("seed", range(10))
def test_no_graph_beats_its_bound(seed):
    graph = ng.NodeGraph.from_networkx(nx.random_regular_graph(4, 30 + seed, seed=seed))

    assert ng.aspl_gap(graph) >= 0


def test_the_interval_holds_the_true_mean_nearly_always():
    graph = ng.NodeGraph.from_networkx(nx.connected_watts_strogatz_graph(300, 4, 0.1, seed=1))
    true = ng.average_shortest_path_length(graph)
    estimates = [ng.estimate_average_shortest_path_length(graph, samples=60, seed=seed) for seed in range(200)]
    inside = sum(e.low <= true <= e.high for e in estimates)

    assert 180 <= inside <= 198
    assert abs(np.mean([e.value for e in estimates]) - true) < 0.02 * true


def test_a_sample_of_all_nodes_is_exact():
    graph = random_graph(3)
    found = ng.estimate_average_shortest_path_length(graph, samples=10_000)

    assert found.low == found.high == ng.average_shortest_path_length(graph)
    assert found.samples == graph.n_nodes


def test_estimates_repeat_with_their_seed():
    graph = ng.NodeGraph.from_networkx(nx.random_regular_graph(3, 700, seed=0))
    draw = ng.estimate_average_shortest_path_length

    assert draw(graph, samples=520, seed=1) == draw(graph, samples=520, seed=1)
    assert draw(graph, samples=520, seed=1) != draw(graph, samples=520, seed=2)


def test_bad_arguments():
    with pytest.raises(ValueError, match="samples: expected at least 2, got 1"):
        ng.estimate_average_shortest_path_length(petersen(), samples=1)
    with pytest.raises(ValueError, match="n_layers: expected at least 1, got 0"):
        ng.aopu(petersen(), n_layers=0)


@pytest.mark.skipif(native.kernels is None, reason="the compiled kernels are missing")
def test_sources_are_checked():
    graph, counts = petersen(), np.zeros(11, dtype=np.int64)

    with pytest.raises(ValueError, match="sources: one is no node"):
        native.kernels.count_hops(graph.offsets, graph.targets, np.array([10]), counts)
    with pytest.raises(ValueError, match="offsets: do not fit targets"):
        native.kernels.count_hops(graph.offsets, graph.targets[1:], np.array([1]), counts)
    with pytest.raises(ValueError, match="counts: expected one for each node"):
        native.kernels.count_hops(graph.offsets, graph.targets, np.array([1]), counts[:3])
    with pytest.raises(ValueError, match="lengths: expected a row for each node, a column for each source"):
        native.kernels.write_hops(graph.offsets, graph.targets, np.array([1]), np.empty((10, 2), dtype=np.int32))
    for targets in (graph.targets + 1, graph.targets - 1):
        with pytest.raises(ValueError, match="targets: one is no node"):
            native.kernels.count_hops(graph.offsets, targets, np.array([1]), counts)
    with pytest.raises(ValueError, match="offsets: do not fit targets"):
        native.kernels.count_hops(graph.offsets * [1, 9, *9 * [1]], graph.targets, np.array([1]), counts)


def test_numpy_counts_hops_from_some_sources():
    assert reference.count_hops(petersen(), np.array([0, 3])).tolist() == [2, 6, 12]
