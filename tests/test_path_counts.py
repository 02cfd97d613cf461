"""Path counts against whole numbers, and path norms against gradients: no overflow, no false zero."""

from fractions import Fraction
from math import inf, log2

import numpy as np
import pytest
import torch

import netgraph as ng
from netgraph.convert.explode import exploded
from netgraph.flow import (
    edge_shares,
    exact_path_counts,
    log2_paths,
    path_counts,
    path_sums,
    weight_shares,
)
from random_graphs import random_graph

DIAMOND = ng.from_biadjacency([[[1, 1], [0, 1]], [[1, 1]]])


def as_numbers(mantissas, exponents):
    return [Fraction(m) * Fraction(2) ** e for m, e in zip(mantissas.tolist(), exponents.tolist(), strict=True)]


def weights_of(graph, seed=0):
    rng = np.random.default_rng(seed)
    return {name: rng.standard_normal(graph.parameters[name].shape) for name in graph.edge_parameters}


def test_drawn():
    """Unit 4 is reached over 2, from 0 and 1, and over 3, from 1."""
    counts = path_counts(DIAMOND)

    assert as_numbers(counts.forward, counts.forward_exponents) == [1, 1, 2, 1, 3]
    assert as_numbers(counts.backward, counts.backward_exponents) == [1, 2, 1, 1, 1]
    assert counts.log2_total == log2_paths(DIAMOND) == pytest.approx(log2(3))
    assert edge_shares(DIAMOND, counts).tolist() == pytest.approx([1 / 3, 1 / 3, 1 / 3, 2 / 3, 1 / 3])


@pytest.mark.parametrize("seed", range(30))
def test_counts_are_exact(seed):
    graph = random_graph(seed)
    counts = path_counts(graph)
    forward, backward = exact_path_counts(graph)
    total = sum(forward[u] for u in graph.outputs.tolist())

    np.testing.assert_allclose(counts.log2_forward, [log2(n) if n else -inf for n in forward], rtol=1e-12)
    np.testing.assert_allclose(counts.log2_backward, [log2(n) if n else -inf for n in backward], rtol=1e-12)
    assert total == sum(backward[u] for u in graph.inputs.tolist())
    assert counts.log2_total == pytest.approx(log2(total) if total else -inf)
    shares = [f * b / total if total else 0.0 for f, b in zip(forward, backward, strict=True)]
    np.testing.assert_allclose(counts.shares, shares, rtol=1e-12)


@pytest.mark.parametrize("seed", range(30))
def test_a_unit_has_a_path_exactly_if_reach_says_so(seed):
    graph = random_graph(seed)
    counts = path_counts(graph)

    np.testing.assert_array_equal(counts.forward > 0, ng.accessible(graph))
    np.testing.assert_array_equal(counts.backward > 0, ng.co_accessible(graph))


@pytest.mark.parametrize("seed", range(10))
def test_an_edge_has_a_share_exactly_if_it_is_consistent(seed):
    graph = random_graph(seed)
    there = edge_shares(graph, path_counts(graph)) > 0
    pairs = list(zip(*(ends[there].tolist() for ends in graph.edges()), strict=True))

    assert pairs == list(zip(*(ends.tolist() for ends in ng.trim(graph).edges()), strict=True))


def test_more_paths_than_a_float_can_say():
    deep = ng.from_biadjacency([np.ones((8, 8))] * 700)
    counts = path_counts(deep)

    assert counts.log2_total == pytest.approx(3 * 701)
    assert counts.log2_forward[-1] == pytest.approx(3 * 700)
    np.testing.assert_allclose(counts.shares, 1 / 8)


@pytest.mark.parametrize("first", ["deep", "skip"])
def test_few_paths_beside_many(first):
    """Ways of very different number meet in one layer: 8^699 over the deep branch, 1 over the skip."""
    chain = ng.from_biadjacency([np.ones((8, 8))] * 700)
    names, units = list(chain.layers), chain.n_units
    skip = ng.Wiring(names[0], names[-1], 8)
    connections = [*chain.connections, skip] if first == "deep" else [skip, *chain.connections]
    graph = ng.NetGraph(chain.layers, connections, chain.bits, chain.inputs, chain.outputs)
    forward, backward = exact_path_counts(graph)
    counts = path_counts(graph)

    np.testing.assert_allclose(counts.log2_forward, [log2(n) for n in forward])
    np.testing.assert_allclose(counts.log2_backward, [log2(n) for n in backward])
    np.testing.assert_allclose(counts.shares[: units // 2], 1 / 8)


def test_no_path():
    cut = ng.from_biadjacency([[[1]], [[0]]])
    counts = path_counts(cut)

    assert counts.log2_total == -inf
    assert counts.shares.tolist() == [0, 0, 0]
    assert weight_shares(cut, weights_of(cut), path_sums(cut, weights_of(cut)))["weight1"].tolist() == [[0]]


def test_layers_without_units_and_graphs_without_connections():
    hollow = ng.from_biadjacency([np.zeros((0, 3)), np.zeros((2, 0))])
    bare = ng.NetGraph({"x": 2, "y": 1}, [], np.zeros(0, dtype=np.uint64), [0, 1], [2])

    for graph in (hollow, bare):
        weights = weights_of(graph)
        assert log2_paths(graph) == path_sums(graph, weights).log2_total == -inf
        assert edge_shares(graph, path_counts(graph)).size == 0
        assert sum(share.size for share in weight_shares(graph, weights, path_sums(graph, weights)).values()) == 0


def test_taps_are_one_edge_and_connections_are_several():
    connections = [ng.Connection("w", "x", "y", 1, 1, 9), ng.Wiring("x", "y", 1), ng.Connection("v", "x", "y", 1, 1)]
    graph = ng.NetGraph({"x": 1, "y": 1}, connections, np.array([0b111000111, 1]), [0], [1])

    assert exact_path_counts(graph) == ([1, 3], [3, 1])
    assert 2 ** log2_paths(graph) == pytest.approx(3)


def slow_sums(graph, weights, power):
    """Sums over paths in float64 along single elements."""
    forward = np.zeros(graph.n_units)
    forward[graph.inputs] = 1
    position, steps = 0, []
    place = list(graph.layers).index
    for c, sources, targets, _ in exploded(graph):
        factor = np.ones(sources.size)
        if c.parameter is not None:
            kept = graph.kept(position)
            values = np.where(kept, np.abs(weights[c.parameter].reshape(-1)[c.elements()]) ** power, 0)
            factor = values.sum(axis=2)[kept.any(axis=2)]
            position += 1
        steps.append((place(c.target), sources, targets, factor))
    for _, sources, targets, factor in sorted(steps, key=lambda step: step[0]):
        np.add.at(forward, targets, forward[sources] * factor)
    return forward


@pytest.mark.parametrize("power", [1, 2, 0.5])
@pytest.mark.parametrize("seed", range(12))
def test_sums_over_all_forms_of_connection(seed, power):
    graph = random_graph(seed, products=False)
    graph = ng.NetGraph(graph.layers, graph.connections, graph.bits, graph.inputs, graph.outputs)
    weights = weights_of(graph, seed)
    sums = path_sums(graph, weights, power=power)
    expected = slow_sums(graph, weights, power)

    np.testing.assert_allclose(np.ldexp(sums.forward, sums.forward_exponents), expected, rtol=1e-12)
    assert sums.total * 2.0**sums.total_exponent == pytest.approx(expected[graph.outputs].sum())


@pytest.mark.parametrize("seed", range(8))
def test_shares_of_weights_are_synflow_scores_over_their_sum(seed):
    """Through three layers: each input-output path crosses each layer once, so its shares add up to 1."""
    rng = np.random.default_rng(seed)
    masks = [rng.random(shape) < 0.5 for shape in ((7, 5), (6, 7), (4, 6))]
    graph = ng.from_biadjacency(masks)
    weights = weights_of(graph, seed)
    shares = weight_shares(graph, weights, path_sums(graph, weights))
    layers = [torch.tensor(np.abs(w) * m, requires_grad=True) for w, m in zip(weights.values(), masks, strict=True)]
    total = (layers[2] @ layers[1] @ layers[0]).sum()
    total.backward()

    for share, layer in zip(shares.values(), layers, strict=True):
        np.testing.assert_allclose(share, (layer.grad * layer / total).detach().numpy(), atol=1e-15)
        assert share.sum() == pytest.approx(1)


def test_shares_add_up_over_the_uses_of_a_parameter():
    """w joins x to h as it is and h to y transposed; u has one element for all pairs of h and y."""
    tied, one = np.array([[0, 2], [1, 3]]).reshape(2, 2, 1), np.zeros((2, 2, 1), dtype=np.int64)
    connections = [
        ng.Connection("w", "x", "h", 2, 2, index=ng.ElementIndex(0, (4, 2, 1, 1))),
        ng.Connection("w", "h", "y", 2, 2, index=tied),
        ng.Connection("u", "h", "y", 2, 2, index=one),
    ]
    graph = ng.NetGraph({"x": 2, "h": 2, "y": 2}, connections, np.array([15, 15, 15]), [0, 1], [4, 5])
    w, u = torch.tensor([1.0, 2.0, 3.0, 5.0], dtype=torch.float64, requires_grad=True), torch.ones(1).double()
    u.requires_grad_()
    total = ((w.reshape(2, 2).T + u.expand(2, 2)) @ w.reshape(2, 2)).sum()
    total.backward()
    weights = {"w": w.detach().numpy(), "u": u.detach().numpy()}
    shares = weight_shares(graph, weights, path_sums(graph, weights))

    np.testing.assert_allclose(shares["w"], (w.grad * w / total).detach().numpy())
    np.testing.assert_allclose(shares["u"], (u.grad * u / total).detach().numpy())


@pytest.mark.parametrize("seed", range(8))
def test_shares_of_weights_add_up_to_shares_of_edges(seed):
    """With weights of 1 and one tap, a weight and its edge are the same."""
    graph = random_graph(seed)
    ones = {name: np.ones(graph.parameters[name].shape) for name in graph.edge_parameters}
    sums = path_sums(graph, ones)
    shares = weight_shares(graph, ones, sums)
    total = sum(share.sum() for share in shares.values())

    assert total == pytest.approx(_element_shares(graph, sums).sum())


def _element_shares(graph, sums):
    sources, targets, kept = [], [], []
    for c, s, t, taps in exploded(graph):
        if c.parameter is not None:
            sources.append(s)
            targets.append(t)
            kept.append(taps)
    sources, targets, kept = map(np.concatenate, (sources, targets, kept))
    return sums.product(sources, targets) * kept * graph.gate[targets]


@pytest.mark.parametrize("size", [1e6, 1e-6])
def test_path_norms_neither_overflow_nor_vanish(size):
    deep = ng.from_biadjacency([np.ones((2, 2))] * 300)
    weights = {name: np.full((2, 2), size) for name in deep.edge_parameters}
    sums = path_sums(deep, weights)

    assert sums.log2_total == pytest.approx(1 + 300 * log2(2 * size))
    for share in weight_shares(deep, weights, sums).values():
        np.testing.assert_allclose(share, 0.25)


def test_values_that_do_not_fit():
    weights = weights_of(DIAMOND)

    with pytest.raises(KeyError, match="weight 'weight2': no values"):
        path_sums(DIAMOND, {"weight1": weights["weight1"]})
    with pytest.raises(ValueError, match=r"expected shape \(2, 2\), got \(1, 2\)"):
        path_sums(DIAMOND, weights | {"weight1": weights["weight2"]})
    with pytest.raises(ValueError, match="power: expected a number above 0, got 0"):
        path_sums(DIAMOND, weights, power=0)
    with pytest.raises(ng.WeightValueError, match="'weight2': a kept weight is not finite"):
        path_sums(DIAMOND, weights | {"weight2": np.array([[1.0, np.inf]])})


def test_arrays_for_shares_that_do_not_fit():
    weights = weights_of(DIAMOND)
    sums = path_sums(DIAMOND, weights)
    shares = weight_shares(DIAMOND, weights, sums)

    with pytest.raises(
        ValueError, match=r"out: expected an array without gaps for 'weight1', float64 of shape \(2, 2\)"
    ):
        weight_shares(DIAMOND, weights, sums, out=shares | {"weight1": shares["weight1"].T})
    with pytest.raises(ValueError, match="out: expected an array without gaps for 'weight2', float32"):
        weight_shares(DIAMOND, weights | {"weight2": np.ones((1, 2), dtype=np.float32)}, sums, out=shares)


def test_removed_weights_may_have_any_value():
    weights = {"weight1": np.array([[1.0, 1.0], [np.nan, 1.0]]), "weight2": np.ones((1, 2))}

    assert 2 ** path_sums(DIAMOND, weights).log2_total == pytest.approx(3)


@pytest.mark.parametrize("count", [path_counts, log2_paths, exact_path_counts])
def test_cycles_have_no_end(count):
    with pytest.raises(ng.GraphStructureError, match="the graph has cycles, so paths have no end"):
        count(random_graph(0, cyclic=True))
