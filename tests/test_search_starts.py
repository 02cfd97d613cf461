"""What the search starts from: graphs of groups and of finite fields, and the stages that suit a graph."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import netgraph as ng
from netgraph.search import algebraic, cayley_starts, plan
from search_graphs import regular


@pytest.mark.parametrize("sizes", [(7, 3), (64, 16), (128, 2), (130, 1), (1, 90), (46, 11)])
def test_cayley_graphs_look_the_same_from_every_node(kernels, sizes):
    s, t = sizes
    power = max((r for r in range(1, max(2, s)) if pow(r, t, s) == 1 % s), default=1)
    drawn = cayley_starts._draw(sizes, power, 4, np.random.default_rng(0))
    cells = np.array([[s, t, power, *(a * t + b for a, b in drawn)]], dtype=np.uint32)
    annealer = kernels.Cayley(cells, 0, 3)
    annealer.run(300, 5.0, 0)
    annealer.cells(cells)
    graph = cayley_starts.graph_of_generators(cells)

    assert graph.degrees.tolist() == s * t * [4]
    if annealer.energy < 2**62:
        assert_array_equal(ng.shortest_path_lengths(graph).sum(axis=1), annealer.energy)


@pytest.mark.parametrize(("n", "d"), [(128, 3), (253, 8), (512, 8), (66, 5), (20, 4)])
def test_random_generators_are_those_of_a_group_of_that_order_or_a_little_less(n, d):
    orders = set()
    for seed in range(30):
        cells = cayley_starts.random_generators(n, d, np.random.default_rng(seed))
        graph = cayley_starts.graph_of_generators(cells)
        orders.add(graph.n_nodes)
        larger = cayley_starts.grown(graph, n, np.random.default_rng(seed))

        assert cells.shape == (1, 3 + d)
        assert graph.degrees.tolist() == graph.n_nodes * [d]
        assert larger.degrees.tolist() == n * [d]

    assert n in orders
    assert min(orders) >= n - n // 32


@pytest.mark.parametrize(("n", "d", "length"), [(64, 8, 1.968254), (256, 16, 1.992157), (1024, 32, 1.998045)])
def test_affine_polarity_graphs(n, d, length):
    graph = algebraic.algebraic_seed(n, d, np.random.default_rng(0))

    assert (graph.n_nodes, graph.is_regular, graph.degrees[0]) == (n, True, d)
    assert ng.average_shortest_path_length(graph) == pytest.approx(length, abs=5e-7)


@pytest.mark.parametrize(("n", "d", "length"), [(256, 12, 2.43), (256, 10, 2.62), (1024, 24, 2.44)])
def test_affine_polarity_graphs_of_fewer_classes(n, d, length):
    graph = algebraic.algebraic_seed(n, d, np.random.default_rng(0))

    assert graph.is_regular
    assert ng.average_shortest_path_length(graph) < length


@pytest.mark.parametrize(
    ("n", "d", "method", "kinds"),
    [
        (64, 4, "auto", ["Lifts", "Swaps"]),
        (64, 8, "auto", ["Lifts", "TwoHops", "TwoHops"]),
        (256, 16, "auto", ["TwoHops", "TwoHops"]),
        (512, 5, "auto", ["Cayley", "Lifts", "Swaps"]),
        (256, 8, "auto", ["Cayley", "Lifts", "Swaps"]),
        (130, 3, "auto", ["Cayley", "Swaps"]),
        (130, 8, "auto", ["TwoHops", "Swaps"]),
        (130, 3, "cayley", ["Cayley", "Swaps"]),
        (30, 3, "auto", ["Swaps"]),
        (70, 8, "auto", ["TwoHops", "Swaps"]),
        (64, 40, "auto", ["TwoHops", "Swaps", "TwoHops"]),
        (256, 5, "swaps", ["Swaps"]),
    ],
)
def test_the_search_suits_the_graph(n, d, method, kinds):
    stages = plan.stages_of(regular(n, d), method=method, objective="path_length", group=None)

    assert [stage.kind for stage in stages] == kinds
