"""netgraph.why: every path is checked edge by edge, every cut by putting weights back one at a time."""

from dataclasses import replace
from itertools import pairwise

import networkx as nx
import numpy as np
import pytest

import netgraph as ng
from netgraph.bits import pack_rows
from netgraph.walks import walk_to_input, walk_to_output
from random_graphs import random_graph

SEEDS = range(12)


def dense(name, source, target, rows, columns, **options):
    index = ng.ElementIndex(0, (rows * columns, columns, 1, 1))
    return ng.Connection(name, source, target, rows, columns, index=index, **options)


def small_graph(seed, *, products=False):
    """x (3) -> a (4), in two groups with 2 taps -> b (4) -> y (2), and a skip from a to b; few weights are kept."""
    rng = np.random.default_rng(seed)
    connections = [
        dense("w", "x", "a", 4, 3),
        ng.Connection("v", "a", "b", 4, 2, taps=2, groups=2, index=ng.ElementIndex(0, (8, 4, 2, 1))),
        ng.Wiring("a", "b", 2, source_start=2),
        dense("u", "b", "y", 2, 4),
    ]
    layers = {"x": 3, "a": 4, "b": 4, "y": 2}
    if products:
        connections[3:] = [ng.Wiring("b", "m", 2), ng.Wiring("b", "m", 2, source_start=2, factor=1)]
        connections.append(dense("u", "m", "y", 2, 2))
        layers = {"x": 3, "a": 4, "b": 4, "m": 2, "y": 2}
    n = sum(layers.values())
    words = [pack_rows(rng.random((c.rows, c.width)) < 0.2) for c in connections if c.parameter]
    flags = {"gate": rng.random(n) < 0.85, "shift": rng.random(n) < 0.2}
    ends = np.arange(3), np.arange(n - 2, n)
    return ng.NetGraph(
        layers, connections, np.concatenate(words), *ends, products=frozenset({"m"} & set(layers)), **flags
    )


def with_one_more(graph):
    """Yield the graph with each removed element put back, one at a time."""
    for position, c in enumerate(graph.weighted):
        kept = graph.kept(position).reshape(c.rows, c.width)
        for place in zip(*np.nonzero(~kept), strict=True):
            more, bits = kept.copy(), graph.bits.copy()
            more[place] = True
            bits[graph.word_starts[position] : graph.word_starts[position + 1]] = pack_rows(more)
            yield graph.with_bits(bits)


def open_edges(graph):
    """Return the graph as networkx sees it, without the edges into units whose gate is masked."""
    edges = ng.to_networkx(graph)
    edges.remove_edges_from([(s, t) for s, t in edges.edges if not graph.gate[t]])
    return edges


def fewest_edges(edges, ends, unit, *, backward):
    start = edges.reverse() if backward else edges
    lengths = nx.single_source_shortest_path_length(start, unit)
    return min((lengths[end] for end in ends.tolist() if end in lengths), default=None)


# Paths


@pytest.mark.parametrize("cyclic", [False, True])
@pytest.mark.parametrize("seed", SEEDS)
def test_paths_are_the_shortest_that_networkx_finds(seed, cyclic):
    graph = random_graph(seed, cyclic=cyclic, products=False)
    edges, nonzero = open_edges(graph), ng.sweep(graph).nonzero
    for unit in np.random.default_rng(seed).integers(0, graph.n_units, 5).tolist():
        for walk, ends, backward in ((walk_to_input, graph.inputs, True), (walk_to_output, graph.outputs, False)):
            path = walk(graph, unit, nonzero).path
            length = None if path is None else len(path) - 1

            assert length == fewest_edges(edges, ends, unit, backward=backward)
            assert path is None or nx.is_path(edges, path)


@pytest.mark.parametrize("cyclic", [False, True])
@pytest.mark.parametrize("seed", SEEDS)
def test_paths_agree_with_the_sweep(seed, cyclic):
    graph = random_graph(seed, cyclic=cyclic)
    found, edges = ng.sweep(graph), ng.to_networkx(graph)
    for unit in np.random.default_rng(seed).integers(0, graph.n_units, 5).tolist():
        why = ng.explain(graph, unit)
        before, after = list(why.path_from_input or ()), list(why.path_to_output or ())

        assert bool(before) == found.accessible[unit]
        assert bool(after) == found.co_accessible[unit]
        assert found.accessible[before].all()
        assert found.co_accessible[after].all()
        assert all(edges.has_edge(*pair) for path in (before, after) for pair in pairwise(path))
        assert (before[-1:], after[:1]) == ([unit] * bool(before), [unit] * bool(after))
        assert set(before[:1]) <= set(graph.inputs.tolist())
        assert set(after[-1:]) <= set(graph.outputs.tolist())


# Cuts


@pytest.mark.parametrize("seed", SEEDS)
def test_no_edge_that_passes_a_change_on_crosses_a_cut(seed):
    graph = random_graph(seed, products=False)
    edges = open_edges(graph)
    for unit in np.random.default_rng(seed).integers(0, graph.n_units, 5).tolist():
        why = ng.explain(graph, unit)
        for cut, ends, flow in (
            (why.cut_from_input, graph.inputs, edges),
            (why.cut_to_output, graph.outputs, edges.reverse()),
        ):
            if cut:
                inside = set(cut.units)

                assert unit in inside
                assert not inside & set(ends.tolist())
                assert not [(s, t) for s, t in flow.edges if t in inside and s not in inside]
                assert {u for u in inside if not set(flow.predecessors(u))} == set(cut.ends)


@pytest.mark.parametrize("seed", range(12))
def test_each_weight_of_a_cut_is_enough_and_no_other_is(seed):
    graph = small_graph(seed)
    more = [ng.sweep(g) for g in with_one_more(graph)]
    for unit in range(graph.n_units):
        why = ng.explain(graph, unit)
        if why.cut_from_input:
            assert sum(why.cut_from_input.weights.values()) == sum(found.accessible[unit] for found in more)
        if why.cut_to_output:
            assert sum(why.cut_to_output.weights.values()) == sum(found.co_accessible[unit] for found in more)


@pytest.mark.parametrize("seed", range(12))
def test_with_products_each_weight_of_a_cut_is_enough(seed):
    """Another one may be enough too: it can make a zero factor a constant."""
    graph = small_graph(seed, products=True)
    more = [ng.sweep(g) for g in with_one_more(graph)]
    for unit in range(graph.n_units):
        why = ng.explain(graph, unit)
        if why.cut_from_input:
            assert sum(why.cut_from_input.weights.values()) <= sum(found.accessible[unit] for found in more)
        if why.cut_to_output:
            assert sum(why.cut_to_output.weights.values()) <= sum(found.co_accessible[unit] for found in more)


# Words


def fed(bits, **options):
    """x (2) -> h (2) -> y (1): ids 0 1 | 2 3 | 4."""
    connections = [dense("h.weight", "x", "h", 2, 2), dense("y.weight", "h", "y", 1, 2)]
    return ng.NetGraph({"x": 2, "h": 2, "y": 1}, connections, np.array(bits), [0, 1], [4], **options)


def test_a_live_unit_is_told_by_two_paths():
    assert str(ng.explain(fed([0b0001, 0b01]), "h[0]")) == (
        "h[0] is live: it changes with the input, and an output changes with it.\n"
        "  from the input: x[0] -> h[0]\n"
        "  to an output: h[0] -> y[0]"
    )


def test_a_constant_unit_is_told_by_what_feeds_it():
    bias = ng.UnitParameter("h.bias", "shift", "h", np.array([[0], [-1]]))
    why = ng.explain(fed([0b0000, 0b11], unit_parameters=(bias,)), ("y", 0))

    assert (why.state, why.value, why.cut_from_input.units) == ("constant", "constant", (2, 3, 4))
    assert str(why) == (
        "y[0] is constant: an output changes with it, but it does not change with the input; "
        "it emits a constant (of the units before it).\n"
        "  from the input: cut. All 2 edges into it come from units that are not live: "
        "h[0] (constant: h.bias), h[1] (zero).\n"
        "    Cut off with it: 2 more units. The ways end at 2 of 2 in h (no weight into them is kept).\n"
        "    Any one of 4 removed weights out of live units (h.weight: 4) would make it live.\n"
        "  to an output: it is one"
    )


def test_a_masked_scale_is_named():
    scale = ng.UnitParameter("norm.weight", "gate", "h", np.array([[0], [1]]))
    graph = fed([0b1111, 0b11], unit_parameters=(scale,), gate=[True, True, False, True, True])

    assert "cut. Its scale is masked (norm.weight).\n    No removed weight joins it to a live unit." in str(
        ng.explain(graph, "h[0]")
    )
    assert ng.explain(graph, "h[0]").cut_from_input.ends == {2: "masked scale"}


def test_a_unit_before_a_masked_scale_is_dead():
    graph = fed([0b1111, 0b11], gate=[True, True, True, True, False])
    why = ng.explain(graph, 3)

    assert why.cut_to_output.ends == {3: "masked scale"}
    assert "All that follows it has a masked scale: y[0]." in why.text


def gated(p, q):
    """x -> p and x -> q by one weight each; m = p * q is the output: ids 0 | 1 | 2 | 3."""
    connections = [
        dense("p.weight", "x", "p", 1, 1),
        dense("q.weight", "x", "q", 1, 1),
        ng.Wiring("p", "m", 1, factor=0),
        ng.Wiring("q", "m", 1, factor=1),
    ]
    layers = {"x": 1, "p": 1, "q": 1, "m": 1}
    return ng.NetGraph(layers, connections, np.array([p, q]), [0], [3], products=frozenset({"m"}))


def test_a_product_names_its_zero_factor():
    why = ng.explain(gated(1, 0), "m[0]")

    assert why.cut_from_input.units == (2, 3)
    assert dict(why.cut_from_input.weights) == {"q.weight": 1}
    assert "It multiplies, and of its factors q[0] is zero." in why.text
    assert "The ways end at 1 of 1 in q (no weight into them is kept)." in why.text
    assert ng.explain(gated(0, 0), "m[0]").cut_from_input.ends == {3: "zero factor"}


def test_a_factor_beside_a_zero_factor_is_dead():
    why = ng.explain(gated(1, 0), "p[0]")

    assert (why.state, why.value) == ("dead", "live")
    assert why.cut_to_output.ends == {1: "zero factor"}
    assert "All that follows it is multiplied by zero, or no output depends on it: m[0]." in why.text


def test_units_that_nothing_leads_to_or_follows():
    graph = replace(ng.from_biadjacency([[[1]]]), layers={"layer0": 1, "layer1": 1, "alone": 1}, gate=None, shift=None)
    why = ng.explain(graph, "alone[0]")

    assert (why.cut_from_input.ends, why.cut_to_output.ends) == ({2: "nothing"}, {2: "nothing"})
    assert "Nothing leads to it." in why.text
    assert "Nothing follows it." in why.text


def test_a_cycle_that_no_input_enters_has_no_end():
    connections = [
        dense("a.weight", "x", "a", 1, 1),
        dense("b.weight", "a", "b", 1, 1),
        dense("back", "b", "a", 1, 1, feedback=True),
    ]
    graph = ng.NetGraph({"x": 1, "a": 1, "b": 1}, connections, np.array([0, 1, 1]), [0], [2])
    cut = ng.explain(graph, "b[0]").cut_from_input

    assert (cut.units, cut.ends, cut.weights) == ((1, 2), {}, {"a.weight": 1})


def test_long_paths_are_shortened():
    graph = ng.from_biadjacency([[[1]]] * 20)

    assert "layer5[0] -> (9 more) -> layer15[0]" in ng.explain(graph, 0).text


@pytest.mark.parametrize(
    ("unit", "error", "message"),
    [
        (9, IndexError, "unit 9: expected 0 <= unit < 5"),
        ("h", ValueError, r"unit 'h': expected an id, 'layer\[index\]' or \(layer, index\)"),
        ("g[0]", KeyError, "no layer 'g'; the graph has 'x', 'h', 'y'"),
        ("h[2]", IndexError, "expected 0 <= index < 2, got 2"),
        (("h", -1), IndexError, "expected 0 <= index < 2, got -1"),
    ],
)
def test_units_that_do_not_exist(unit, error, message):
    with pytest.raises(error, match=message):
        ng.explain(fed([0, 0]), unit)
