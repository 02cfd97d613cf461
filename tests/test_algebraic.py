"""Algebraic graphs: field axioms, diameters, common neighbours, eigenvalues and written average path lengths."""

from itertools import product

import networkx as nx
import numpy as np
import pytest
from scipy.sparse import csr_array
from scipy.sparse.csgraph import shortest_path

from netgraph import InfeasibleDegreeError, NodeGraph
from netgraph import generators as gen
from netgraph.generators.finite_field import finite_field, prime_power


def lengths(graph: NodeGraph) -> tuple[float, int]:
    """Return the average path length and the diameter."""
    distances = shortest_path(csr_array(graph.adjacency()), unweighted=True)
    return distances.sum() / graph.n_nodes / (graph.n_nodes - 1), int(distances.max())


def common_neighbours(adjacency: np.ndarray) -> np.ndarray:
    shared = adjacency.astype(np.float32) @ adjacency.astype(np.float32)
    np.fill_diagonal(shared, 0)
    return shared


def absolute_eigenvalues(adjacency: np.ndarray) -> np.ndarray:
    return np.sort(np.abs(np.linalg.eigvalsh(adjacency.astype(float))))[::-1]


def with_loops(graph: NodeGraph, order: int) -> np.ndarray:
    """Return the adjacency of an affine polarity graph as the field gives it: loops in place of the pairs (0, y)."""
    adjacency = graph.adjacency()
    adjacency[:order, :order] = np.eye(order, dtype=bool)
    return adjacency


@pytest.mark.parametrize("order", [2, 3, 4, 5, 7, 8, 9, 16, 25, 27])
def test_field_axioms(order):
    field = finite_field(order)
    a, b, c = np.indices((order, order, order)).reshape(3, -1)
    every = np.arange(order)

    np.testing.assert_array_equal(field.add(a, field.add(b, c)), field.add(field.add(a, b), c))
    np.testing.assert_array_equal(field.multiply(a, field.multiply(b, c)), field.multiply(field.multiply(a, b), c))
    np.testing.assert_array_equal(
        field.multiply(a, field.add(b, c)), field.add(field.multiply(a, b), field.multiply(a, c))
    )
    np.testing.assert_array_equal(field.add(field.subtract(a, b), b), a)
    np.testing.assert_array_equal(field.add(every, 0), every)
    np.testing.assert_array_equal(field.multiply(every, 1), every)
    np.testing.assert_array_equal(np.sort(field.powers), every[1:])


def test_prime_fields_count_modulo_p():
    field = finite_field(7)

    assert all(
        field.multiply(a, b) == a * b % 7 and field.add(a, b) == (a + b) % 7 for a, b in product(range(7), repeat=2)
    )


def test_prime_powers():
    assert [n for n in range(30) if prime_power(n)] == [2, 3, 4, 5, 7, 8, 9, 11, 13, 16, 17, 19, 23, 25, 27, 29]


@pytest.mark.parametrize(("order", "aspl"), [(8, 1.968254), (16, 1.992157), (32, 1.998045)])
def test_whole_affine_polarity_graphs(order, aspl):
    graph = gen.affine_polarity(order, order)

    assert graph.degrees.tolist() == [order] * order**2
    assert lengths(graph) == (pytest.approx(aspl, abs=5e-7), 3)


@pytest.mark.parametrize("order", [4, 8, 16])
def test_affine_polarity_graphs_have_no_4_cycles_and_a_small_second_eigenvalue(order):
    looped = with_loops(gen.affine_polarity(order, order), order)
    values = absolute_eigenvalues(looped)

    assert common_neighbours(looped & ~np.eye(order**2, dtype=bool)).max() == 1
    assert values[0] == pytest.approx(order)
    assert values[1] == pytest.approx(order**0.5)


@pytest.mark.slow
@pytest.mark.parametrize(("degree", "aspl"), [(64, 1.999512), (60, 2.118895)])
def test_large_affine_polarity_graphs(degree, aspl):
    found, diameter = lengths(gen.affine_polarity(64, degree, seed=0))

    assert found == pytest.approx(aspl, abs=5e-4)
    assert diameter == 3 if degree == 64 else diameter <= 4


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("degree", [4, 5, 6])
def test_classes_of_affine_polarity_graphs_never_lie_in_a_subspace(degree, seed):
    G = gen.affine_polarity(8, degree, seed=seed).to_networkx()

    assert nx.is_connected(G)
    assert not nx.is_bipartite(G)


@pytest.mark.parametrize("order", [2, 3, 4, 5, 7, 8, 9])
def test_polarity_graphs(order):
    graph = gen.polarity(order)
    degrees = graph.degrees

    assert graph.n_nodes == order**2 + order + 1
    assert sorted(set(degrees.tolist())) == [order, order + 1]
    assert np.count_nonzero(degrees == order) == order + 1
    assert lengths(graph)[1] == 2
    assert common_neighbours(graph.adjacency()).max() == 1


@pytest.mark.parametrize(("order", "degree"), [(3, 5), (4, 6), (5, 7), (7, 11), (8, 12), (9, 13), (11, 17)])
def test_mckay_miller_siran_graphs_have_diameter_2(order, degree):
    graph = gen.mckay_miller_siran(order)

    assert graph.n_nodes == 2 * order**2
    assert set(graph.degrees.tolist()) == {degree}
    assert lengths(graph) == (pytest.approx(2 - degree / (graph.n_nodes - 1)), 2)


def test_the_hoffman_singleton_graph():
    graph = gen.hoffman_singleton()

    assert (graph.n_nodes, set(graph.degrees.tolist())) == (50, {7})
    assert lengths(graph)[1] == 2
    assert nx.girth(graph.to_networkx()) == 5
    assert absolute_eigenvalues(graph.adjacency())[[0, 1, 49]].tolist() == pytest.approx([7, 3, 2])


def test_cayley_graphs_look_the_same_from_every_node():
    graph = gen.search_cayley(42, 4, tries=30, seed=2)
    distances = np.sort(shortest_path(csr_array(graph.adjacency()), unweighted=True), axis=1)

    assert set(graph.degrees.tolist()) == {4}
    np.testing.assert_array_equal(distances, np.broadcast_to(distances[:1], distances.shape))


def test_the_search_prefers_short_paths():
    few, many = (lengths(gen.search_cayley(100, 4, tries=tries, seed=0))[0] for tries in (5, 200))

    assert many < few


def test_a_cayley_graph_of_odd_degree_needs_an_element_of_order_two():
    assert gen.search_cayley(2, 1, seed=0) == gen.complete(2)
    with pytest.raises(InfeasibleDegreeError):
        gen.search_cayley(9, 3)


def test_the_cube_is_a_cayley_graph():
    graph = gen.cayley((4, 2), 1, [(1, 0), (3, 0), (0, 1)])

    assert nx.is_isomorphic(graph.to_networkx(), nx.hypercube_graph(3))


@pytest.mark.parametrize(
    ("n_nodes", "degree", "bar"),
    [(50, 7, 1.857143), (64, 8, 1.957837), (256, 16, 1.98894), (1024, 32, 1.997157), (64, 12, 1.83), (64, 4, 3.15)],
)
def test_best_known_takes_the_best(n_nodes, degree, bar):
    """(64, 8), (256, 16) and (1024, 32) come from polarity graphs without a line, which beat the affine ones."""
    graph = gen.best_known(n_nodes, degree, seed=0)

    assert (graph.n_nodes, set(graph.degrees.tolist())) == (n_nodes, {degree})
    assert lengths(graph)[0] <= bar + 5e-7


@pytest.mark.parametrize(
    ("n_nodes", "degree"), [(1, 0), (2, 1), (5, 2), (8, 1), (4, 3), (7, 6), (17, 4), (90, 45), (101, 10)]
)
def test_best_known_exists_wherever_a_regular_graph_does(n_nodes, degree):
    assert set(gen.best_known(n_nodes, degree, seed=0).degrees.tolist()) == {degree}
