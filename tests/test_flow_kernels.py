"""The kernels of netgraph.flow: every instruction set gives the answer of the numpy reference."""

import numpy as np
import pytest

import netgraph as ng
from netgraph import native
from netgraph.flow import betweenness, edge_betweenness, operators, path_counts, path_sums, weight_shares
from netgraph.flow.kernels import KernelFactors
from random_graphs import random_graph


def weights_of(graph, seed, dtype=np.float64):
    rng = np.random.default_rng(seed)
    return {name: rng.standard_normal(graph.parameters[name].shape).astype(dtype) for name in graph.edge_parameters}


def ends(c, seed):
    rng = np.random.default_rng(seed)
    return rng.random(c.groups * c.columns), rng.random(c.rows)


@pytest.mark.parametrize("density", [0.03, 0.5, 1.0])
@pytest.mark.parametrize("seed", range(12))
def test_counts_of_a_connection_equal_the_reference(kernels, seed, density):
    graph = random_graph(seed, density=density)
    own = KernelFactors(graph, None, 1)
    reference = operators.TableFactors(graph, lambda position: operators._edge_table(graph, position))

    for position, c in enumerate(graph.weighted):
        sources, targets = ends(c, seed)
        np.testing.assert_allclose(own.along(position, sources), reference.along(position, sources), rtol=1e-12)
        np.testing.assert_allclose(own.against(position, targets), reference.against(position, targets), rtol=1e-12)


@pytest.mark.parametrize("dtype", ["f8", "f4", "f2", "i8"])
@pytest.mark.parametrize("power", [1, 2])
@pytest.mark.parametrize("seed", range(6))
def test_sums_and_shares_of_a_connection_equal_the_reference(kernels, seed, power, dtype):
    graph = random_graph(seed, density=0.3)
    weights = weights_of(graph, seed, dtype)
    own, reference = KernelFactors(graph, weights, power), operators.TableWeights(graph, weights, power)
    close = {"rtol": 1e-12 if dtype in ("f8", "i8") else 2e-6, "atol": 1e-300}

    for position, c in enumerate(graph.weighted):
        sources, targets = ends(c, seed)
        np.testing.assert_allclose(own.along(position, sources), reference.along(position, sources), rtol=1e-12)
        np.testing.assert_allclose(own.against(position, targets), reference.against(position, targets), rtol=1e-12)
        found, expected = (factors.shares(position, sources, targets) for factors in (own, reference))
        assert found.dtype == expected.dtype
        np.testing.assert_allclose(found, expected, **close)


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
    bits, two, three = np.array([7], dtype=np.uint64), np.ones(2), np.ones(3)
    shape, empty = (1, 3, 1, 1), np.zeros(0, dtype=np.float32)
    starts, edges, hops = np.array([0, 0, 1]), np.array([1], dtype=np.int32), np.array([1], dtype=np.int32)

    with pytest.raises(ValueError, match="sources: expected one value for each source unit"):
        kernels.sum_along(bits, shape, empty, 1, two, np.ones(1))
    with pytest.raises(ValueError, match="bits: expected the words of the connection"):
        kernels.sum_against(np.zeros(2, dtype=np.uint64), shape, empty, 1, np.ones(1), three)
    with pytest.raises(ValueError, match="power: expected 1 or 2"):
        kernels.sum_along(bits, shape, empty, 3, three, np.ones(1))
    with pytest.raises(ValueError, match="out: expected the dtype of values"):
        kernels.weight_shares(bits, shape, three, 1, three, np.ones(1), np.ones(3, dtype=np.float32))
    with pytest.raises(ValueError, match="edges: expected sources before targets"):
        kernels.betweenness(starts, edges, hops, np.array([0]), np.ones(2, dtype=bool), np.zeros(1))
    with pytest.raises(ValueError, match="hops: expected 0 or 1"):
        kernels.betweenness(starts, 0 * edges, 2 * hops, np.array([0]), np.ones(2, dtype=bool), np.zeros(1))
