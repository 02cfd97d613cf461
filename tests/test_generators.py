"""Generators: drawn graphs, written properties, the graphs of other libraries and papers, and what does not exist."""

import networkx as nx
import numpy as np
import pytest
from scipy.sparse import csr_array
from scipy.sparse.csgraph import shortest_path

import netgraph as ng
from netgraph import InfeasibleDegreeError, NetGraphError, NodeGraph
from netgraph import generators as gen

SEEDED = {
    "random_regular": lambda seed: gen.random_regular(20, 4, seed=seed),
    "dense random_regular": lambda seed: gen.random_regular(20, 15, seed=seed),
    "ws_flex": lambda seed: gen.ws_flex(20, 4.3, 0.4, seed=seed),
    "watts_strogatz": lambda seed: gen.watts_strogatz(20, 4, 0.4, seed=seed),
    "erdos_renyi": lambda seed: gen.erdos_renyi(20, 30, seed=seed),
    "barabasi_albert": lambda seed: gen.barabasi_albert(20, 2, seed=seed),
    "tree": lambda seed: gen.tree(20, seed=seed),
    "affine_polarity": lambda seed: gen.affine_polarity(8, 5, seed=seed),
    "refill": lambda seed: gen.refill(gen.polarity(5), 8, seed=seed),
    "resize": lambda seed: gen.resize(gen.polarity(5), 40, 6, seed=seed),
    "search_cayley": lambda seed: gen.search_cayley(40, 5, tries=20, seed=seed),
    "best_known": lambda seed: gen.best_known(40, 6, seed=seed),
}


def distances(graph: NodeGraph) -> np.ndarray:
    return shortest_path(csr_array(graph.adjacency()), unweighted=True)


def test_drawn():
    assert gen.cycle(5).edges().tolist() == [[0, 1], [0, 4], [1, 2], [2, 3], [3, 4]]
    assert gen.circulant(6, offsets=[1, -2]).neighbours[0].tolist() == [1, 2, 4, 5]
    assert gen.circulant(6, degree=3) == gen.circulant(6, offsets=[1, 3])
    assert gen.complete(4) == gen.circulant(4, degree=3)
    assert gen.hypercube(2) == gen.circulant(4, degree=2).from_edges(4, [(0, 1), (0, 2), (1, 3), (2, 3)])
    assert gen.grid(4) == NodeGraph.from_edges(4, [(0, 1), (1, 2), (2, 3)])
    assert gen.ws_flex(6, 2, 0.0) == gen.cycle(6)
    assert gen.ws_flex(6, 5, 0.7, seed=0) == gen.complete(6)


def test_the_petersen_graph():
    graph = gen.generalised_petersen(10, 2)

    assert distances(graph).sum() / 90 == pytest.approx(5 / 3)
    assert nx.is_isomorphic(graph.to_networkx(), nx.petersen_graph())


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (gen.hypercube(4), nx.hypercube_graph(4)),
        (gen.grid(3, 4), nx.grid_2d_graph(3, 4)),
        (gen.grid(2, 3, 2), nx.grid_graph([2, 3, 2])),
        (gen.circulant(11, offsets=[2, 5]), nx.circulant_graph(11, [2, 5])),
        (gen.complete(6), nx.complete_graph(6)),
    ],
)
def test_lattices_are_those_of_networkx(ours, theirs):
    assert nx.is_isomorphic(ours.to_networkx(), theirs)


def test_the_ring_of_rgp_has_the_longest_paths():
    """ASPL 8.381 for 64 nodes of degree 4, the largest that the RGP paper plots."""
    assert distances(gen.circulant(64, degree=4)).sum() / 64 / 63 == pytest.approx(8.381, abs=1e-3)


@pytest.mark.parametrize("make", SEEDED.values(), ids=list(SEEDED))
def test_the_same_seed_gives_the_same_graph(make):
    assert make(3) == make(3)
    assert make(np.random.default_rng(3)) == make(np.random.default_rng(3))
    assert len({make(seed) for seed in range(4)}) > 1
    assert make(None).n_nodes == make(3).n_nodes


@pytest.mark.parametrize(("n_nodes", "degree"), [(1, 0), (2, 1), (10, 3), (9, 4), (9, 8), (64, 63), (30, 20)])
def test_random_regular_graphs_are_regular(n_nodes, degree):
    assert set(gen.random_regular(n_nodes, degree, seed=0).degrees.tolist()) == {degree}


@pytest.mark.parametrize("mean_degree", [2, 2.7, 4, 7.9, 19, 30, 62.1])
@pytest.mark.parametrize("probability", [0.0, 0.3, 1.0])
def test_ws_flex_keeps_its_edges(mean_degree, probability):
    graph = gen.ws_flex(64, mean_degree, probability, seed=1)

    assert graph.n_edges == round(32 * mean_degree)
    assert np.isfinite(distances(graph)).all()


def test_ws_flex_without_rewiring_is_watts_strogatz():
    assert gen.ws_flex(20, 6, 0.0) == gen.watts_strogatz(20, 6, 0.0)


@pytest.mark.parametrize(
    ("n_nodes", "density", "probability", "seed", "clustering", "aspl"),
    [
        (64, 0.40744797736190963, 0.41665082046062124, 0, 0.4310934375174911, 1.5863095238095237),
        (64, 0.15000368708808398, 0.5512690014653079, 16, 0.16460197788322795, 2.0540674603174605),
        (64, 0.270600293377571, 0.0044742228834129365, 16, 0.69875838493292, 2.2807539682539684),
        (16, 0.5104033030370979, 0.28994082840236685, 1, 0.5358134920634919, 1.4666666666666666),
    ],
)
def test_ws_flex_draws_the_published_graphs(n_nodes, density, probability, seed, clustering, aspl):
    """Figures that You et al. publish beside their code; all 7141 graphs there come out the same."""
    graph = gen.ws_flex(n_nodes, n_nodes * density, probability, seed=seed)

    assert ng.spectrum.clustering(graph) == pytest.approx(clustering, rel=1e-12)
    assert distances(graph).sum() / n_nodes / (n_nodes - 1) == pytest.approx(aspl, rel=1e-12)


def reference_ws(n, k, p, rng):
    """The procedure of You et al., section 3.1, told with a networkx graph."""
    n_edges = round(n * k / 2)
    counts = [n_edges // n + (i < n_edges % n) for i in range(n)]
    rings = [[(i + j) % n for j in range(1, counts[i] + 1)] for i in range(n)]
    G = nx.Graph([(i, j) for i, ring in enumerate(rings) for j in ring])
    for i, ring in enumerate(rings):
        for j in ring:
            if rng.random() < p and G.degree(i) < n - 1:
                free = rng.choice(range(n))
                while free == i or G.has_edge(i, free):
                    free = rng.choice(range(n))
                G.remove_edge(i, j)
                G.add_edge(i, free)
    return G


@pytest.mark.parametrize("seed", range(5))
def test_ws_flex_draws_as_the_procedure_says(seed):
    import random

    found = gen.ws_flex(30, 5.3, 0.4, seed=seed)

    assert found == NodeGraph.from_edges(30, list(reference_ws(30, 5.3, 0.4, random.Random(seed)).edges))


def test_ws_flex_gives_up_with_its_counts(monkeypatch):
    monkeypatch.setattr("netgraph.generators.flexible_ring._is_connected", lambda near: False)

    with pytest.raises(NetGraphError, match="100 graphs, none connected"):
        gen.ws_flex(8, 2, 0.5, seed=0)


@pytest.mark.parametrize("make", [gen.polarity(7), gen.tree(50, seed=0), gen.erdos_renyi(50, 300, seed=1)])
@pytest.mark.parametrize("degree", [2, 4, 9, 30])
def test_refill_makes_graphs_regular(make, degree):
    degree += make.n_nodes * degree % 2
    graph = gen.refill(make, degree, seed=0)

    assert graph.n_nodes == make.n_nodes
    assert set(graph.degrees.tolist()) == {degree}


def test_refill_leaves_a_regular_graph_as_it_is():
    assert gen.refill(gen.hypercube(4), 4, seed=0) == gen.hypercube(4)


def test_refill_diverts_an_edge_to_a_node_that_lacks_two():
    lonely = NodeGraph.from_edges(6, [(a, b) for a, b in gen.cycle(5).edges().tolist()])
    graph = gen.refill(lonely, 2, seed=0)

    assert graph.n_edges == 6
    assert len(set(map(tuple, graph.edges().tolist())) & set(map(tuple, lonely.edges().tolist()))) == 4


@pytest.mark.parametrize(("n_nodes", "degree"), [(20, 5), (31, 6), (33, 6), (50, 7), (60, 3), (24, 20)])
def test_resize(n_nodes, degree):
    graph = gen.resize(gen.polarity(5), n_nodes, degree, seed=1)

    assert graph.n_nodes == n_nodes
    assert set(graph.degrees.tolist()) == {degree}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: gen.random_regular(9, 3), "9 nodes of degree 3: their product is odd"),
        (lambda: gen.random_regular(4, 4), "expected at least 1 node and 0 <= degree < n_nodes"),
        (lambda: gen.random_regular(4, -1), "0 <= degree < n_nodes"),
        (lambda: gen.best_known(7, 7), "0 <= degree < n_nodes"),
        (lambda: gen.refill(gen.cycle(5), 3), "their product is odd"),
        (lambda: gen.resize(gen.cycle(5), 7, 3), "their product is odd"),
        (lambda: gen.cycle(2), "2 nodes of degree 2"),
        (lambda: gen.complete(0), "0 nodes of degree 0"),
        (lambda: gen.tree(0), "0 nodes of degree 0"),
        (lambda: gen.circulant(8, offsets=[1, 7]), r"offsets \[1, 1\] modulo 8"),
        (lambda: gen.circulant(8, offsets=[8]), r"offsets \[0\] modulo 8"),
        (lambda: gen.erdos_renyi(4, 7), "expected 0 to 6 edges, got 7"),
        (lambda: gen.barabasi_albert(4, 4), "expected 1 to 3 for 4 nodes, got 4"),
        (lambda: gen.watts_strogatz(8, 3, 0.1), "expected an even number, got 3; use ws_flex"),
        (lambda: gen.ws_flex(8, 1.5, 0.1), "mean_degree: expected 2 to 7, got 1.5"),
        (lambda: gen.generalised_petersen(10, 3), "1 <= step < n_nodes / 4"),
        (lambda: gen.generalised_petersen(9, 1), "expected an even number"),
        (lambda: gen.affine_polarity(9, 3), "expected a power of 2"),
        (lambda: gen.affine_polarity(8, 9), "a degree from 1 to the order"),
        (lambda: gen.polarity(6), "a field with 6 elements: expected a power of a prime"),
        (lambda: gen.mckay_miller_siran(2), "q mod 4 other than 2, got 2"),
        (lambda: gen.cayley((5, 2), 2, [(1, 0), (4, 0)]), r"expected r\^t = 1 modulo s"),
        (lambda: gen.cayley((5, 2), 4, [(1, 0)]), "each with its inverse"),
        (lambda: gen.biregular(4, 3, 5), "a degree from 0 to 4"),
        (lambda: gen.random_d_out(4, 0, 1), "expected at least 1 of each"),
        (lambda: gen.radix_net([(2, 2), (3,)], (1,) * 4), r"equal products, the last one dividing them, got \[4, 3\]"),
        (lambda: gen.radix_net([(2, 2)], (1, 1)), r"widths: expected 3 numbers of at least 1, got \(1, 1\)"),
        (lambda: gen.radix_net([(2, 1)], (1, 1, 1)), "numbers of at least 2"),
    ],
)
def test_what_does_not_exist(make, message):
    with pytest.raises(InfeasibleDegreeError, match=message):
        make()


def test_arguments_that_say_nothing():
    with pytest.raises(ValueError, match="expected either degree or offsets"):
        gen.circulant(8)
    with pytest.raises(ValueError, match=r"probability: expected a number in \[0, 1\], got 2"):
        gen.ws_flex(8, 4, 2)
    with pytest.raises(ValueError, match="dimension: expected at least 0"):
        gen.hypercube(-1)
    with pytest.raises(ValueError, match="sizes: expected at least one"):
        gen.grid()
