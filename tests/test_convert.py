"""Graphs to networkx, scipy, igraph and biadjacency matrices and back; networkx and igraph are oracles of reach."""

import igraph
import networkx as nx
import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy.sparse import csr_array

import netgraph as ng
from netgraph.bits import pack_rows

SEEDS = range(12)


def small_graph() -> ng.NetGraph:
    """Two inputs, a grouped 3-tap convolution, a skip beside it, one output; unit 3 leads nowhere.

    0 ==> 2 --> 4
    1 --> 3     4     (=> two taps kept, the skips 0 .. 4 and 1 .. 4 are fixed)
    """
    conv = ng.Connection("conv", "x", "h", rows=2, columns=1, taps=3, groups=2, index=ng.ElementIndex(0, (3, 3, 3, 1)))
    head = ng.Connection("head", "h", "y", rows=1, columns=2, index=ng.ElementIndex(0, (2, 2, 1, 1)))
    skip = ng.Wiring("x", "y", groups=1, fan_in=2)
    bits = np.concatenate([pack_rows(np.array([[1, 0, 1], [0, 1, 0]])), pack_rows(np.array([[1, 0]]))])
    infos = {"conv": ng.ParameterInfo((2, 1, 3), "edge"), "head": ng.ParameterInfo((1, 2), "edge")}
    return ng.NetGraph({"x": 2, "h": 2, "y": 1}, (conv, head, skip), bits, [0, 1], [4], parameters=infos)


def random_graph(seed: int, *, feedback: bool = False) -> ng.NetGraph:
    """Return four layers of 12 units: grouped connections with taps, a skip, a shuffle, a dense one, a part of it."""
    rng = np.random.default_rng(seed)
    shuffle = np.stack([np.arange(12), rng.permutation(12)]).astype(np.int32)
    connections = [
        ng.Connection("a", "x", "h", rows=12, columns=4, taps=2, groups=3, index=ng.ElementIndex(0, (32, 8, 2, 1))),
        ng.Connection("b", "h", "k", rows=6, columns=5, index=ng.ElementIndex(0, (30, 5, 1, 1)), target_start=3),
        ng.Connection("c", "k", "y", rows=12, columns=12, index=ng.ElementIndex(0, (144, 12, 1, 1))),
        ng.Wiring("x", "k", groups=2, fan_in=2, fan_out=1, source_start=4, target_start=2),
        ng.Wiring("h", "y", groups=0, pairs=shuffle[:, :3]),
    ]
    if feedback:
        connections.append(
            ng.Connection("d", "k", "h", rows=12, columns=12, index=ng.ElementIndex(0, (144, 12, 1, 1)), feedback=True)
        )
    weighted = [c for c in connections if c.parameter]
    bits = np.concatenate([pack_rows(rng.random((c.rows, c.width)) < 0.12) for c in weighted])
    return ng.NetGraph(dict.fromkeys("xhky", 12), connections, bits, np.arange(12), np.arange(36, 48))


def random_digraph(seed: int, *, cyclic: bool) -> nx.DiGraph:
    """Return 20 nodes with names in no order; nodes 0 and 1 are not entered, 18 and 19 not left."""
    rng = np.random.default_rng(seed)
    names = [f"n{i}" for i in rng.permutation(20)]
    G = nx.DiGraph()
    G.add_nodes_from(names[i] for i in rng.permutation(20))
    for s, t in rng.integers(0, 20, (45, 2)).tolist():
        if s < 18 and t > 1 and (cyclic or s < t):
            G.add_edge(names[s], names[t])
    return G


def reached(G: nx.DiGraph, flag: str, n_units: int) -> np.ndarray:
    """Return the units joined by a path to a flagged node: forward from inputs, backward from outputs."""
    follow = nx.descendants if flag == "input" else nx.ancestors
    found = np.zeros(n_units, dtype=bool)
    for node, on in G.nodes(data=flag):
        if on:
            found[[node, *follow(G, node)]] = True
    return found


def test_networkx_has_every_unit_and_edge() -> None:
    G = ng.to_networkx(small_graph())

    assert list(G.nodes) == [0, 1, 2, 3, 4]
    assert G.nodes[3] == {
        "layer": "h",
        "index": 1,
        "input": False,
        "output": False,
        "product": False,
        "gate": True,
        "shift": False,
    }
    assert [node for node, on in G.nodes(data="input") if on] == [0, 1]
    assert dict(G.edges) == {
        (0, 2): {"weight": 1, "fixed": False, "kept": 2, "parameters": ("conv",)},
        (0, 4): {"weight": 0, "fixed": True, "kept": 0, "parameters": ()},
        (1, 3): {"weight": 1, "fixed": False, "kept": 1, "parameters": ("conv",)},
        (1, 4): {"weight": 0, "fixed": True, "kept": 0, "parameters": ()},
        (2, 4): {"weight": 1, "fixed": False, "kept": 1, "parameters": ("head",)},
    }


def test_two_connections_between_two_units_are_one_edge() -> None:
    twice = ng.Connection("w", "x", "y", 1, 1), ng.Connection("v", "x", "y", 1, 1), ng.Wiring("x", "y", 1)
    G = ng.to_networkx(ng.NetGraph({"x": 1, "y": 1}, twice, np.array([1, 1]), [0], [1]))

    assert G.edges[0, 1] == {"weight": 0, "fixed": True, "kept": 2, "parameters": ("w", "v")}


def test_product_layers_are_marked() -> None:
    wires = ng.Wiring("x", "y", 1, factor=0), ng.Wiring("z", "y", 1, factor=1)
    graph = ng.NetGraph({"x": 1, "z": 1, "y": 1}, wires, np.zeros(0), [0, 1], [2], products=frozenset({"y"}))
    G = ng.to_networkx(graph)

    assert G.nodes[2]["product"]
    with pytest.raises(ng.GraphStructureError, match="node 2 is a product"):
        ng.from_networkx(G)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("feedback", [False, True])
def test_networkx_reaches_the_same_units(seed: int, feedback: bool) -> None:
    graph = random_graph(seed, feedback=feedback)
    G = ng.to_networkx(graph)

    assert_array_equal(ng.accessible(graph), reached(G, "input", graph.n_units))
    assert_array_equal(ng.co_accessible(graph), reached(G, "output", graph.n_units))


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("cyclic", [False, True])
def test_networkx_round_trip_with_labels(seed: int, cyclic: bool) -> None:
    G = random_digraph(seed, cyclic=cyclic)
    graph = ng.from_networkx(G)
    again = ng.to_networkx(graph, labels=ng.node_order(G))

    assert set(again.nodes) == set(G.nodes)
    assert set(again.edges) == set(G.edges)
    assert {node for node, on in again.nodes(data="input") if on} == {node for node, d in G.in_degree if d == 0}
    assert {node for node, on in again.nodes(data="output") if on} == {node for node, d in G.out_degree if d == 0}
    assert graph.is_cyclic == (not nx.is_directed_acyclic_graph(G))


@pytest.mark.parametrize("seed", SEEDS)
def test_layers_are_topological_generations(seed: int) -> None:
    G = random_digraph(seed, cyclic=False)
    graph, order = ng.from_networkx(G), ng.node_order(G)
    layers = [{order[unit] for unit in range(units.start, units.stop)} for units in graph.slices.values()]

    assert layers == [set(generation) for generation in nx.topological_generations(G)]


@pytest.mark.parametrize("seed", SEEDS)
def test_a_graph_comes_back_from_networkx_with_its_wiring(seed: int) -> None:
    graph = random_graph(seed)
    G = ng.to_networkx(graph)
    back = ng.from_networkx(G, inputs=range(12), outputs=range(36, 48))
    order = np.array(ng.node_order(G))

    assert_array_equal(ng.accessible(back), ng.accessible(graph)[order])
    assert_array_equal(ng.co_accessible(back), ng.co_accessible(graph)[order])
    assert sum(c.n_edges for c in back.wiring) == sum(fixed for *_, fixed in G.edges(data="fixed"))


def test_gates_and_shifts_come_back_from_networkx() -> None:
    G = nx.DiGraph([("h", "y"), ("x", "h")])
    G.nodes["h"]["gate"], G.nodes["y"]["shift"] = False, True
    graph = ng.from_networkx(G)

    assert ng.unit_classes(graph).tolist() == [2, 0, 1]


def test_a_self_loop_and_a_cycle_are_feedback() -> None:
    G = nx.DiGraph([("x", "a"), ("a", "a"), ("a", "b"), ("b", "a"), ("b", "y")])
    graph = ng.from_networkx(G)

    assert list(graph.layers.values()) == [1, 1, 1, 1]
    assert [(c.source, c.target) for c in graph.weighted if c.feedback] == [("layer1", "layer1"), ("layer2", "layer1")]
    assert ng.accessible(graph).all()
    assert ng.co_accessible(graph).all()


def test_networkx_of_nothing() -> None:
    graph = ng.from_networkx(nx.DiGraph())

    assert graph.n_units == 0
    assert ng.to_networkx(graph).number_of_nodes() == 0


@pytest.mark.parametrize(
    ("G", "options", "message"),
    [
        (nx.Graph([(0, 1)]), {}, r"expected a networkx.DiGraph, got Graph; convert with nx.DiGraph\(G\)"),
        (nx.MultiDiGraph([(0, 1)]), {}, "got MultiDiGraph"),
        (nx.DiGraph([(0, 1), (1, 0)]), {}, "inputs: every node has a predecessor; name the inputs with inputs="),
        (nx.DiGraph([(0, 1), (1, 1)]), {}, "outputs: every node has a successor"),
        (nx.DiGraph([(0, 1)]), {"inputs": ["x"]}, "inputs: 'x' is not a node of the graph"),
    ],
)
def test_networkx_graphs_that_are_refused(G: nx.Graph, options: dict, message: str) -> None:
    with pytest.raises(ng.GraphStructureError, match=message):
        ng.from_networkx(G, **options)


def test_labels_must_name_each_unit() -> None:
    with pytest.raises(ValueError, match="labels: expected 5 different ones, got 2 of 3"):
        ng.to_networkx(small_graph(), labels=["a", "b", "a"])


def test_scipy_counts_kept_elements() -> None:
    expected = np.zeros((5, 5), dtype=int)
    expected[[0, 1, 2], [2, 3, 4]] = 2, 1, 1
    square = ng.to_scipy(small_graph())
    expected_with_skip = expected.copy()
    expected_with_skip[[0, 1], 4] = 1

    assert_array_equal(square.toarray(), expected)
    assert square.nnz == 3
    assert_array_equal(ng.to_scipy(small_graph(), fixed=True).toarray(), expected_with_skip)


@pytest.mark.parametrize("seed", SEEDS)
def test_scipy_round_trip(seed: int) -> None:
    square = (np.random.default_rng(seed).random((15, 15)) < 0.1).astype(float)
    graph = ng.from_scipy(csr_array(square), inputs=[0, 3], outputs=[14])
    order = ng.unit_order(np.argwhere(square), 15)

    assert_array_equal(ng.to_scipy(graph).toarray(), square[np.ix_(order, order)])
    assert order[graph.inputs].tolist() == [0, 3]
    assert order[graph.outputs].tolist() == [14]


def test_a_stored_zero_is_no_edge() -> None:
    stored = csr_array((np.array([1.0, 0.0, -0.0]), ([0, 0, 1], [1, 2, 2])), shape=(3, 3))

    assert ng.to_edge_array(ng.from_scipy(stored)).tolist() == [[0, 2]]
    assert ng.unit_order([(0, 1)], 3).tolist() == [0, 2, 1]


def test_scipy_arrays_that_are_refused() -> None:
    with pytest.raises(ng.GraphStructureError, match=r"as many rows as columns, got shape \(2, 3\)"):
        ng.from_scipy(np.ones((2, 3)))
    with pytest.raises(ng.WeightValueError, match="an entry is NaN"):
        ng.from_scipy(np.array([[0, np.nan], [0, 0]]))


@pytest.mark.parametrize("seed", SEEDS)
def test_igraph_reaches_the_same_units(seed: int) -> None:
    graph = random_graph(seed, feedback=True)
    drawn = igraph.Graph(n=graph.n_units, edges=ng.to_edge_array(graph, fixed=True), directed=True)
    found = np.zeros(graph.n_units, dtype=bool)
    for unit in graph.inputs.tolist():
        found[drawn.subcomponent(unit, mode="out")] = True

    assert_array_equal(found, ng.accessible(graph))


@pytest.mark.parametrize("seed", SEEDS)
def test_igraph_round_trip(seed: int) -> None:
    joined = np.random.default_rng(seed).random((12, 12)) < 0.15
    joined[:, 0] = joined[11] = False
    drawn = igraph.Graph(n=12, edges=np.argwhere(joined), directed=True)
    edges = np.array(drawn.get_edgelist())
    graph = ng.from_edge_array(edges, 12)
    again = ng.unit_order(edges, 12)[ng.to_edge_array(graph)]

    assert set(map(tuple, again.tolist())) == set(drawn.get_edgelist())


def test_a_repeated_edge_counts_once() -> None:
    assert ng.to_edge_array(ng.from_edge_array([(0, 1), (0, 1)], 2)).tolist() == [[0, 1]]
    assert ng.to_edge_array(ng.from_edge_array([], 2)).shape == (0, 2)


@pytest.mark.parametrize(
    ("edges", "message"),
    [
        ([(0, 3)], r"expected nodes in \[0, 3\), got 0 to 3"),
        ([(-1, 0)], "got -1 to 0"),
        ([(0.0, 1.0)], r"expected int rows \(source, target\), got float64"),
        ([(0, 1, 2)], r"of shape \(1, 3\)"),
    ],
)
def test_edges_that_are_refused(edges: list, message: str) -> None:
    with pytest.raises(ng.GraphStructureError, match=message):
        ng.from_edge_array(edges, 3)


def test_a_long_chain_is_layered_node_by_node() -> None:
    chain = np.stack([np.arange(2000), np.arange(1, 2001)], axis=1)[::-1]
    graph = ng.from_edge_array(chain, 2001)

    assert len(graph.layers) == 2001
    assert ng.accessible(graph).all()


def test_biadjacency_round_trip_and_names() -> None:
    matrices = [np.array([[1, 0], [0, 0], [-3, 0]]), np.array([[0.5, 1, -0.0]])]
    graph = ng.from_biadjacency(matrices, layers=["x", "h", "y"], parameters=["fc1.weight", "fc2.weight"])
    masks = graph.masks()

    assert dict(graph.layers) == {"x": 2, "h": 3, "y": 1}
    assert_array_equal(masks["fc1.weight"], matrices[0] != 0)
    assert_array_equal(masks["fc2.weight"], matrices[1] != 0)
    assert_array_equal(ng.to_biadjacency(graph, "x", "h"), matrices[0] != 0)
    assert ng.to_edge_array(graph).tolist() == [[0, 2], [0, 4], [2, 5], [3, 5]]


def test_biadjacency_takes_sparse_matrices() -> None:
    assert ng.from_biadjacency([csr_array([[0, 2]])]).masks()["weight1"].tolist() == [[False, True]]


def test_to_biadjacency_joins_all_connections_of_two_layers() -> None:
    graph = small_graph()

    assert ng.to_biadjacency(graph, "x", "h").tolist() == [[True, False], [False, True]]
    assert ng.to_biadjacency(graph, "x", "y").tolist() == [[True, True]]
    with pytest.raises(KeyError, match="no layer 'z'; the graph has 'x', 'h', 'y'"):
        ng.to_biadjacency(graph, "x", "z")
    with pytest.raises(ValueError, match="no connection 'y' -> 'x'; the graph has 'x -> h', 'h -> y', 'x -> y'"):
        ng.to_biadjacency(graph, "y", "x")


def test_layers_without_units_are_allowed() -> None:
    graph = ng.from_biadjacency([np.zeros((0, 2)), np.zeros((3, 0))])

    assert graph.masks()["weight2"].shape == (3, 0)
    assert not ng.accessible(graph)[2:].any()


@pytest.mark.parametrize(
    ("matrices", "options", "message"),
    [
        ([], {}, "matrices: expected at least one"),
        ([np.ones(3)], {}, r"matrix 0: expected 2 dimensions \(out, in\), got shape \(3,\)"),
        ([np.ones((3, 2)), np.ones((2, 4))], {}, r"matrix 1: expected 3 columns, .* got shape \(2, 4\)"),
        ([np.ones((3, 2))], {"layers": ["a"]}, r"layers: expected 2 different names, got \['a'\]"),
        ([np.ones((1, 1)), np.ones((1, 1))], {"parameters": ["w", "w"]}, "parameters: expected 2 different names"),
    ],
)
def test_matrices_that_are_refused(matrices: list, options: dict, message: str) -> None:
    with pytest.raises(ng.GraphStructureError, match=message):
        ng.from_biadjacency(matrices, **options)


def test_a_nan_is_named() -> None:
    with pytest.raises(ng.WeightValueError, match=r"matrix 0: entry \(0, 1\) is NaN"):
        ng.from_biadjacency([[[1, float("nan")]]])
