"""Sizes count each element of a parameter once, whatever uses it has."""

from math import inf

import numpy as np
import pytest

import netgraph as ng
from netgraph.bits import pack_rows
from netgraph.size import distinct

SHARED = ng.ElementIndex(0, (64, 8, 1, 1))
"""The index of an (8, 8) matrix that is used whole."""


def one_of_three() -> ng.NetGraph:
    """Return x (2) -> h (3) -> y (1): 4 of 9 weights kept, and the two out of unit 0 by way of unit 2 lead to y.

    0 -> 2 -> 5      0 -> 4 (leads nowhere)      3 -> 5 (is not reached)
    """
    return ng.from_biadjacency([[[1, 0], [0, 0], [1, 0]], [[1, 1, 0]]])


def shared_graph(seed: int) -> ng.NetGraph:
    """Return layers of 8 units whose parameters are shared, split, overlap, repeat an element or lie in any order."""
    rng = np.random.default_rng(seed)
    repeated = ng.ElementIndex(0, (0, 0, 1, 1))
    anywhere = rng.permutation(70)[:64].reshape(8, 8, 1)
    connections = (
        ng.Connection("tied", "a", "b", 8, 8, index=SHARED),
        ng.Connection("tied", "b", "c", 8, 8, index=ng.ElementIndex(0, (64, 1, 8, 1))),
        ng.Connection("split", "b", "c", 4, 8, index=ng.ElementIndex(0, (32, 8, 1, 1))),
        ng.Connection("split", "b", "c", 4, 8, index=ng.ElementIndex(32, (32, 8, 1, 1)), target_start=4),
        ng.Connection("overlap", "c", "d", 4, 8, index=ng.ElementIndex(0, (32, 8, 1, 1))),
        ng.Connection("overlap", "c", "d", 4, 8, index=ng.ElementIndex(16, (32, 8, 1, 1)), target_start=4),
        ng.Connection("row", "c", "d", 8, 8, index=repeated),
        ng.Connection("anywhere", "d", "e", 8, 8, index=anywhere),
        ng.Connection("grouped", "a", "e", 8, 4, taps=2, groups=2, index=ng.ElementIndex(3, (32, 8, 2, 1))),
    )
    sizes = {"tied": 64, "split": 64, "overlap": 48, "row": 8, "anywhere": 70, "grouped": 70, "spare": 5}
    bits = np.concatenate([pack_rows(rng.random((c.rows, c.width)) < 0.15) for c in connections])
    return ng.NetGraph(
        dict.fromkeys("abcde", 8),
        connections,
        bits,
        np.arange(8),
        np.arange(32, 40),
        parameters={name: ng.ParameterInfo((size,), "edge") for name, size in sizes.items()}
        | {"bias": ng.ParameterInfo((8,), "constant")},
    )


def test_the_drawn_graph() -> None:
    graph = one_of_three()

    assert ng.density(graph) == 4 / 9
    assert ng.sparsity(graph) == 5 / 9
    assert ng.compression_ratio(graph) == 9 / 4
    assert ng.effective_density(graph) == 2 / 9
    assert ng.effective_sparsity(graph) == 7 / 9
    assert ng.effective_compression_ratio(graph) == 4.5


def test_rows_of_the_drawn_graph() -> None:
    graph = one_of_three()

    assert ng.layer_sizes(graph) == (
        ng.SizeRow("layer0", 0, 0, 0),
        ng.SizeRow("layer1", 6, 2, 1),
        ng.SizeRow("layer2", 3, 2, 1),
    )
    assert ng.parameter_sizes(graph) == (ng.SizeRow("weight1", 6, 2, 1), ng.SizeRow("weight2", 3, 2, 1))
    assert ng.layer_sizes(graph, found=ng.sweep(graph)) == ng.layer_sizes(graph)


def test_results_are_plain_numbers() -> None:
    measures = (ng.density, ng.sparsity, ng.compression_ratio, ng.effective_density, ng.effective_sparsity)
    row = ng.parameter_sizes(one_of_three())[0]

    assert all(type(measure(one_of_three())) is float for measure in measures)
    assert all(type(number) is int for number in (row.size, row.kept, row.consistent))


@pytest.mark.parametrize("seed", range(12))
def test_masks_are_the_oracle_of_parameters(seed: int) -> None:
    graph = shared_graph(seed)
    kept, consistent = graph.masks(), ng.trim(graph).masks()
    rows = {row.name: row for row in ng.parameter_sizes(graph)}

    assert list(rows) == ["tied", "split", "overlap", "row", "anywhere", "grouped", "spare"]
    assert rows.pop("spare") == ng.SizeRow("spare", 5, 0, 0)
    for name, row in rows.items():
        assert row.kept == kept[name].sum()
        assert row.consistent == consistent[name].sum()
    assert ng.density(graph) == sum(mask.sum() for mask in kept.values()) / 329
    assert ng.effective_density(graph) == sum(mask.sum() for mask in consistent.values()) / 329
    assert ng.effective_sparsity(graph) == ng.sparsity(ng.trim(graph))


@pytest.mark.parametrize("width", [6, 40])
@pytest.mark.parametrize("groups", [1, 2])
def test_masks_are_the_oracle_of_shared_elements_seen_a_few_rows_at_a_time(width, groups, monkeypatch) -> None:
    """200 rows of a parameter that is used straight and turned; some units are closed by a mask of their gate."""
    monkeypatch.setattr(distinct, "BLOCK", 1)
    rng = np.random.default_rng(width)
    columns, rows = width // 2, 200
    straight = ng.ElementIndex(0, (rows // groups * width, width, 2, 1))
    turned = ng.ElementIndex(0, (rows // groups, 1, 2 * rows, rows))
    connections = (
        ng.Connection("w", "x", "y", rows, columns, taps=2, groups=groups, index=straight),
        ng.Connection("w", "y", "z", rows, columns, taps=2, groups=groups, index=turned),
    )
    graph = ng.NetGraph(
        {"x": rows, "y": rows, "z": rows},
        connections,
        np.concatenate([pack_rows(rng.random((rows, width)) < 0.3) for _ in connections]),
        np.arange(rows),
        np.arange(2 * rows, 3 * rows),
        gate=rng.random(3 * rows) < 0.8,
        parameters={"w": ng.ParameterInfo((rows * width,), "edge")},
    )
    (row,) = ng.parameter_sizes(graph)

    assert row.kept == graph.masks()["w"].sum()
    assert row.consistent == ng.trim(graph).masks()["w"].sum()
    assert 0 < row.consistent < row.kept


@pytest.mark.parametrize("seed", range(12))
def test_sets_are_the_oracle_of_layers(seed: int) -> None:
    graph = shared_graph(seed)
    trimmed = ng.trim(graph)
    for row in ng.layer_sizes(graph):
        every, kept, consistent = set(), set(), set()
        for position, c in enumerate(graph.weighted):
            if c.target == row.name:
                every |= {(c.parameter, element) for element in c.elements().ravel().tolist()}
                kept |= {(c.parameter, element) for element in c.elements()[graph.kept(position)].tolist()}
                consistent |= {(c.parameter, element) for element in c.elements()[trimmed.kept(position)].tolist()}

        assert (row.size, row.kept, row.consistent) == (len(every), len(kept), len(consistent))


def test_a_constant_unit_feeds_weights_that_are_not_effective() -> None:
    graph = ng.from_biadjacency([[[1], [0]], [[1, 1]]])
    biased = ng.NetGraph(graph.layers, graph.connections, graph.bits, graph.inputs, graph.outputs, shift=[0, 0, 1, 0])

    assert ng.effective_density(biased) == ng.effective_density(graph) == 0.5


def test_nothing_kept() -> None:
    graph = ng.from_biadjacency([np.zeros((3, 2))])

    assert ng.density(graph) == 0.0
    assert ng.compression_ratio(graph) == inf
    assert ng.effective_compression_ratio(graph) == inf


def test_no_weights_at_all() -> None:
    graph = ng.NetGraph({"x": 2, "y": 2}, (ng.Wiring("x", "y", 2),), np.zeros(0), [0, 1], [2, 3])

    assert (ng.density(graph), ng.sparsity(graph), ng.compression_ratio(graph)) == (1.0, 0.0, 1.0)
    assert (ng.effective_density(graph), ng.effective_sparsity(graph)) == (1.0, 0.0)
    assert ng.parameter_sizes(graph) == ()


def test_zero_size_dimensions_have_no_elements() -> None:
    graph = ng.from_biadjacency([np.zeros((0, 2)), np.ones((3, 0))])

    assert ng.density(graph) == 1.0
    assert [row.size for row in ng.parameter_sizes(graph)] == [0, 0]


def test_a_gate_parameter_does_not_count() -> None:
    graph = one_of_three()
    infos = dict(graph.parameters) | {"norm.weight": ng.ParameterInfo((3,), "gate")}
    gated = ng.NetGraph(graph.layers, graph.connections, graph.bits, graph.inputs, graph.outputs, parameters=infos)

    assert ng.density(gated) == ng.density(graph)
