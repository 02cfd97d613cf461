"""The kernels of netgraph.flow: every instruction set gives the answer of the numpy reference."""

import numpy as np
import pytest

import netgraph as ng
from netgraph import native
from netgraph.compiled import plan_of
from netgraph.flow import betweenness, edge_betweenness, operators, passes, path_counts, path_sums, weight_shares
from random_graphs import random_graph


def weights_of(graph, seed, dtype=np.float64):
    rng = np.random.default_rng(seed)
    return {name: rng.standard_normal(graph.parameters[name].shape).astype(dtype) for name in graph.edge_parameters}


def assert_same_sums(own, reference):
    for name in ("forward", "backward"):
        mantissas = [getattr(sums, name) for sums in (own, reference)]
        exponents = [getattr(sums, f"{name}_exponents") for sums in (own, reference)]
        np.testing.assert_allclose(np.ldexp(mantissas[0], exponents[0] - exponents[1]), mantissas[1], rtol=1e-11)
    assert own.total * 2.0 ** (own.total_exponent - reference.total_exponent) == pytest.approx(reference.total)


@pytest.mark.parametrize("density", [0.03, 0.5, 1.0])
@pytest.mark.parametrize("seed", range(12))
def test_counts_equal_the_reference(kernels, seed, density):
    graph = random_graph(seed, density=density)

    assert_same_sums(path_counts(graph), passes.run(graph, operators.edge_factors(graph)))


@pytest.mark.parametrize("taps", [1, 2, 3, 5, 8, 9, 25, 49, 64, 81])
@pytest.mark.parametrize("density", [0.002, 0.05, 0.3])
def test_counts_fold_taps_of_any_number(kernels, taps, density):
    rng = np.random.default_rng(taps)
    joined = ng.Connection("w", "x", "h", 30, 70, taps, index=ng.ElementIndex(0, (2100 * taps, 70 * taps, taps, 1)))
    grouped = ng.Connection("v", "h", "y", 4, 15, taps, 2, index=ng.ElementIndex(0, (30 * taps, 15 * taps, taps, 1)))
    words = np.zeros(joined.n_words + grouped.n_words, dtype=np.uint64)
    graph = ng.NetGraph({"x": 70, "h": 30, "y": 4}, [joined, grouped], words, np.arange(70), np.arange(100, 104))
    weights = {name: rng.random(graph.parameters[name].shape) < density for name in graph.edge_parameters}
    graph = ng.with_weights(graph, weights)

    assert_same_sums(path_counts(graph), passes.run(graph, operators.edge_factors(graph)))


@pytest.mark.parametrize("dtype", ["f8", "f4", "f2", "i8"])
@pytest.mark.parametrize("power", [1, 2])
@pytest.mark.parametrize("density", [0.02, 0.3])
@pytest.mark.parametrize("seed", range(6))
def test_sums_and_shares_equal_the_reference(kernels, seed, density, power, dtype, monkeypatch):
    graph = random_graph(seed, density=density)
    weights = weights_of(graph, seed, dtype)
    close = {"rtol": 1e-10 if dtype in ("f8", "i8") else 2e-6, "atol": 1e-40}
    sums = path_sums(graph, weights, power=power)
    found = weight_shares(graph, weights, sums, power=power)
    again = weight_shares(graph, weights, sums, power=power, out={n: s + 1 for n, s in found.items()})
    monkeypatch.setattr(native, "kernels", None)
    expected = weight_shares(graph, weights, sums, power=power)

    assert_same_sums(sums, path_sums(graph, weights, power=power))
    assert found.keys() == expected.keys() == again.keys()
    for name in found:
        assert found[name].dtype == expected[name].dtype
        np.testing.assert_allclose(found[name], expected[name], **close)
        np.testing.assert_array_equal(again[name], found[name])


@pytest.mark.parametrize("seed", range(6))
def test_whole_passes_equal_the_reference(kernels, seed, monkeypatch):
    graph = random_graph(seed, density=0.1)
    weights = weights_of(graph, seed, np.float32)

    def answers():
        sums = path_sums(graph, weights)
        return path_counts(graph).shares, sums.shares, weight_shares(graph, weights, sums), edge_betweenness(graph)

    found = answers()
    monkeypatch.setattr(native, "kernels", None)

    for own, reference in zip(found, answers(), strict=True):
        if isinstance(own, dict):
            assert own.keys() == reference.keys()
            for name in own:
                np.testing.assert_allclose(own[name], reference[name], rtol=2e-6, atol=1e-40)
        else:
            np.testing.assert_allclose(own, reference, rtol=1e-11, atol=1e-300)


def test_betweenness_of_more_sources_than_lanes(kernels):
    graph = random_graph(3, density=0.2, products=False)
    sources = np.arange(min(graph.n_units, 200))
    edges, _ = betweenness._sorted_edges(graph)
    wanted = np.random.default_rng(0).random(graph.n_units) < 0.7
    found, expected = np.zeros((2, edges.sources.size))
    kernels.betweenness(edges.starts, edges.sources, edges.hops, sources, wanted, found)
    for first in range(0, sources.size, betweenness.BATCH):
        betweenness.accumulate(edges, sources[first : first + betweenness.BATCH], wanted, expected)

    np.testing.assert_allclose(found, expected, rtol=1e-11)


def test_betweenness_of_paths_longer_than_a_byte_holds(kernels):
    """Through 300 layers of three units, of which some are skipped by wiring."""
    rng = np.random.default_rng(0)
    layers = {f"x{i}": 3 for i in range(301)}
    connections = [ng.Connection(f"w{i}", f"x{i}", f"x{i + 1}", 3, 3) for i in range(300)]
    connections += [ng.Wiring(f"x{i}", f"x{i + 2}", 3) for i in range(0, 100, 10)]
    bits = np.array([sum(1 << int(b) for b in np.flatnonzero(rng.random(9) < 0.6)) | 0b100010001 for _ in range(300)])
    graph = ng.NetGraph(layers, connections, bits.astype(np.uint64), [0, 1, 2], [900, 901, 902])
    edges, _ = betweenness._sorted_edges(graph)
    sources, wanted, found, expected = np.arange(64), np.ones(903, dtype=bool), *np.zeros((2, edges.sources.size))
    kernels.betweenness(edges.starts, edges.sources, edges.hops, sources, wanted, found)
    betweenness.accumulate(edges, sources, wanted, expected)

    np.testing.assert_allclose(found, expected, rtol=1e-11)


def test_weights_that_are_not_finite(kernels):
    graph = ng.from_biadjacency([np.ones((3, 70)), np.ones((2, 3))])
    weights = weights_of(graph, 0)
    weights["weight1"][1, 66] = np.nan

    with pytest.raises(ng.WeightValueError, match="'weight1': a kept weight is not finite"):
        path_sums(graph, weights)


def test_arrays_that_do_not_fit(kernels):
    graph = ng.from_biadjacency([np.ones((1, 3))])
    plan, one, units = plan_of(graph).kernel_plan, np.ones(3), np.zeros(4)
    flags, exponents = (graph.gate, graph.shift), np.zeros(4, dtype=np.int64)
    sums = (units, exponents, units, exponents)
    starts, edges, hops = np.array([0, 0, 1]), np.array([1], dtype=np.int32), np.array([1], dtype=np.int32)

    with pytest.raises(ValueError, match="bits: expected those of the graph"):
        kernels.path_sums(plan, np.zeros(2, dtype=np.uint64), [], 1, *flags, *sums)
    with pytest.raises(ValueError, match="power: expected 1 or 2"):
        kernels.path_sums(plan, graph.bits, [], 3, *flags, *sums)
    with pytest.raises(ValueError, match="values: expected one array for each connection"):
        kernels.path_sums(plan, graph.bits, [one, one], 1, *flags, *sums)
    with pytest.raises(ValueError, match="values: expected one for each element"):
        kernels.path_sums(plan, graph.bits, [np.ones(2)], 1, *flags, *sums)
    with pytest.raises(ValueError, match="sums: expected one for each unit"):
        kernels.path_sums(plan, graph.bits, [one], 1, *flags, one, *sums[1:])
    with pytest.raises(ValueError, match="gate: expected one for each unit"):
        kernels.path_sums(plan, graph.bits, [one], 1, graph.gate[:3], graph.shift, *sums)
    with pytest.raises(ValueError, match="out: expected the dtype of values"):
        kernels.path_shares(plan, graph.bits, [one], 1, graph.gate, *sums, 1.0, 0, True, [np.ones(3, dtype=np.float32)])
    with pytest.raises(ValueError, match="out: expected one for each element"):
        kernels.path_shares(plan, graph.bits, [one], 1, graph.gate, *sums, 1.0, 0, True, [np.ones(2)])
    with pytest.raises(ValueError, match="edges: expected sources before targets"):
        kernels.betweenness(starts, edges, hops, np.array([0]), np.ones(2, dtype=bool), np.zeros(1))
    with pytest.raises(ValueError, match="hops: expected 0 or 1"):
        kernels.betweenness(starts, 0 * edges, 2 * hops, np.array([0]), np.ones(2, dtype=bool), np.zeros(1))
