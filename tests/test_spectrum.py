"""Spectra against written values, networkx and numpy.linalg."""

import networkx as nx
import numpy as np
import pytest

import netgraph as ng
from netgraph import generators as gen
from netgraph import spectrum
from netgraph.spectrum import gaps, layers

CONNECTED = {
    "petersen": gen.generalised_petersen(10, 2),
    "ws": gen.ws_flex(40, 5.3, 0.3, seed=1),
    "polarity": gen.polarity(5),
    "tree": gen.tree(30, seed=0),
    "regular": gen.random_regular(50, 6, seed=0),
}
each = pytest.mark.parametrize("graph", CONNECTED.values(), ids=list(CONNECTED))


def eigenvalues(graph):
    return np.linalg.eigvalsh(nx.to_numpy_array(graph.to_networkx()))


def test_written_values():
    """Petersen: 3, 1 (5 times), -2 (4 times). Hoffman-Singleton: 7, 2, -3."""
    petersen, moore = CONNECTED["petersen"], gen.hoffman_singleton()

    assert spectrum.spectral_gap(petersen) == pytest.approx(1)
    assert spectrum.spectral_gap(moore) == pytest.approx(4)
    assert spectrum.normalised_gap(petersen) == pytest.approx(1 - 2 / 4)
    assert spectrum.algebraic_connectivity(petersen) == pytest.approx(2)
    assert spectrum.algebraic_connectivity(gen.complete(7)) == pytest.approx(7)
    assert spectrum.spectral_gap(gen.cycle(6)) == pytest.approx(0)


@each
def test_gaps_are_those_of_all_eigenvalues(graph):
    values = eigenvalues(graph)
    looped = nx.to_numpy_array(graph.to_networkx()) + np.eye(graph.n_nodes)
    scale = np.diag(looped.sum(axis=1) ** -0.5)
    walk = np.sort(np.abs(np.linalg.eigvals(scale @ looped @ scale).real))

    assert spectrum.spectral_gap(graph) == pytest.approx(values[-1] - np.sort(np.abs(values))[-2])
    assert spectrum.normalised_gap(graph) == pytest.approx(1 - walk[-2])
    assert spectrum.algebraic_connectivity(graph) == pytest.approx(
        np.sort(nx.laplacian_spectrum(graph.to_networkx()))[1]
    )


@each
def test_lanczos_finds_the_same(graph, monkeypatch):
    functions = spectrum.spectral_gap, spectrum.normalised_gap, spectrum.algebraic_connectivity
    dense = [function(graph) for function in functions]
    monkeypatch.setattr(gaps, "DENSE", 5)

    np.testing.assert_allclose([function(graph) for function in functions], dense, atol=1e-9)


def test_graphs_in_pieces_have_no_gap():
    pieces = ng.NodeGraph.from_edges(6, [(0, 1), (1, 2), (2, 0), (3, 4), (4, 5), (5, 3)])

    for gap in (spectrum.spectral_gap, spectrum.normalised_gap, spectrum.algebraic_connectivity):
        assert gap(pieces) == pytest.approx(0, abs=1e-12)
    assert not spectrum.is_ramanujan(gen.circulant(64, degree=4))


@pytest.mark.parametrize(
    ("graph", "expected"),
    [
        (gen.generalised_petersen(10, 2), True),
        (gen.hoffman_singleton(), True),
        (gen.complete(9), True),
        (gen.hypercube(4), True),
        (gen.hypercube(8), False),
        (gen.circulant(100, degree=6), False),
    ],
)
def test_ramanujan(graph, expected):
    assert spectrum.is_ramanujan(graph) is expected


@each
def test_clustering_and_transitivity_are_those_of_networkx(graph):
    assert spectrum.clustering(graph) == pytest.approx(nx.average_clustering(graph.to_networkx()))
    assert spectrum.transitivity(graph) == pytest.approx(nx.transitivity(graph.to_networkx()))


@each
def test_four_cycles_are_those_of_networkx(graph):
    G = graph.to_networkx()
    expected = sum(len(cycle) == 4 for cycle in nx.simple_cycles(G, length_bound=4))

    assert spectrum.four_cycles(graph) == expected


def test_no_triangles_and_no_nodes():
    assert spectrum.clustering(gen.hypercube(3)) == spectrum.transitivity(gen.hypercube(3)) == 0
    assert spectrum.clustering(ng.NodeGraph.from_edges(0, [])) == 0
    assert spectrum.transitivity(ng.NodeGraph.from_edges(2, [(0, 1)])) == 0


def test_small_worlds_lie_between_rings_and_random_graphs():
    ring, small, random = (spectrum.small_worldness(gen.ws_flex(200, 8, p, seed=0), seed=0) for p in (0.0, 0.1, 1.0))

    assert small.sigma > 5 > 1.5 > random.sigma
    assert ring.omega < small.omega < random.omega
    assert abs(small.omega) < 0.5 < random.omega


def test_small_worldness_by_its_formula():
    graph = gen.ws_flex(60, 12, 0.2, seed=3)
    rng = np.random.default_rng(5)
    drawn = [gen.erdos_renyi(60, graph.n_edges, seed=rng).to_networkx() for _ in range(3)]
    own = graph.to_networkx()
    found = spectrum.small_worldness(graph, n_random=3, seed=5)
    c, length = nx.average_clustering(own), nx.average_shortest_path_length(own)
    c_random = np.mean([nx.average_clustering(G) for G in drawn])
    l_random = np.mean([nx.average_shortest_path_length(G) for G in drawn])

    assert found.sigma == pytest.approx(c / c_random / (length / l_random))
    assert found.omega == pytest.approx(l_random / length - c / (15 / 22))


def test_graphs_without_a_value():
    two = ng.NodeGraph.from_edges(4, [(0, 1), (2, 3)])

    with pytest.raises(ng.GraphStructureError, match="expected a connected graph of mean degree 2 or more"):
        spectrum.small_worldness(two)
    with pytest.raises(ng.GraphStructureError, match="expected at least 2 nodes, got 1"):
        spectrum.spectral_gap(gen.complete(1))
    with pytest.raises(ng.GraphStructureError, match="expected a regular graph, got degrees 1 to 2"):
        spectrum.is_ramanujan(gen.grid(3))
    with pytest.raises(ValueError, match="n_random: expected at least 1"):
        spectrum.small_worldness(gen.cycle(5), n_random=0)


def with_idle_units(seed):
    """Return a random layer of which the first target and the first two sources have no edge."""
    layer = np.random.default_rng(seed).random((14, 11)) < 0.6
    layer[0] = layer[:, :2] = False
    return layer


@pytest.mark.parametrize("seed", range(5))
def test_layer_measures_by_their_formulas(seed):
    layer = with_idle_units(seed)
    used = layer[1:, 2:].astype(float)
    square = np.block([[np.zeros((9, 9)), used.T], [used, np.zeros((13, 13))]])
    largest, _, mu = np.sort(np.abs(np.linalg.eigvalsh(square)))[::-1][:3]
    d_source, d_target = used.sum() / 9, used.sum() / 13
    gap = np.sqrt(d_source - 1) + np.sqrt(d_target - 1) - mu
    spread = (mu**2 / 4 + 1) * np.sqrt(9 * 13) - abs(used.sum() - d_source / 14 * 9 * 13)

    assert spectrum.ramanujan_gap(layer) == pytest.approx(gap)
    assert spectrum.singular_gap(layer) == pytest.approx(2 * np.sqrt(largest - 1) - mu)
    assert spectrum.randomness(layer) == pytest.approx(spread / (14 * 11))


def test_imdb_is_the_mean_over_classes_of_one_degree():
    """Four sources of degree 5, four of degree 3, two of degree 1: the last class is too small."""
    layer = np.zeros((6, 10), dtype=bool)
    layer[1:, :4] = layer[:3, 4:8] = layer[0, 8:] = True
    classes = [spectrum.ramanujan_gap(layer[:, :4]), spectrum.ramanujan_gap(layer[:, 4:8])]

    assert spectrum.imdb(layer) == pytest.approx(np.mean(classes))


def test_large_layers_are_read_by_lanczos(monkeypatch):
    layer = gen.biregular(60, 40, 9, seed=0)
    dense = spectrum.ramanujan_gap(layer)
    monkeypatch.setattr(layers, "DENSE", 10)

    assert spectrum.ramanujan_gap(layer) == pytest.approx(dense)


def test_sparse_layers_have_no_value():
    for measure in (spectrum.ramanujan_gap, spectrum.singular_gap, spectrum.imdb, spectrum.randomness):
        assert np.isnan(measure(np.eye(8)))
        assert np.isnan(measure(np.zeros((3, 4))))
        assert np.isnan(measure(np.zeros((0, 4))))
    with pytest.raises(ValueError, match="expected 2 dimensions"):
        spectrum.imdb(np.ones(4))


def test_scores_of_a_network():
    layer = gen.biregular(12, 9, 4, seed=0)
    first, second = spectrum.layer_scores(ng.from_biadjacency([layer, np.ones((5, 9))]))

    assert (first.source, first.target, first.density) == ("layer0", "layer1", 4 / 12)
    assert first.ramanujan_gap == spectrum.ramanujan_gap(layer)
    assert second.imdb == pytest.approx(np.sqrt(8) + 2)
