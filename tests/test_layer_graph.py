"""The graph of prunable layers: drawn networks with their edges, short-cuts and widths."""

import numpy as np
import pytest
import torch
from torch import nn

from models import mobilenet_v2, resnet8, small_resnet
from prune_adapters.graph_pruning.layers.layer_graph import LayerGraph, layer_graph
from prune_adapters.graph_pruning.space.space import width_space
from test_width_space import NETWORKS

PICTURE = torch.ones(1, 3, 8, 8)


def graph_of(name: str, *, blocks: bool = False) -> LayerGraph:
    make, example, _ = NETWORKS[name]
    return layer_graph(width_space(make(), example), blocks=blocks)


def named(graph: LayerGraph, pairs: np.ndarray) -> set[tuple[str, str]]:
    return {(graph.nodes[i], graph.nodes[j]) for i, j in pairs.tolist()}


def test_resnet8_is_the_graph_that_one_draws() -> None:
    graph = layer_graph(width_space(resnet8(width=4), PICTURE))
    stem, a1, a2, b1, b2, b0, c1, c2, c0 = graph.nodes

    assert named(graph, graph.edges) == {
        *[(stem, a1), (a1, a2), (a2, b1), (a2, b0), (b1, b2)],
        *[(b2, c1), (b0, c1), (b2, c0), (b0, c0), (c1, c2)],
    }
    assert named(graph, graph.shortcuts) == {(stem, a2), (b2, b0), (c2, c0)}
    assert graph.outputs == (0, 1, 0, 2, 3, 3, 4, 5, 5)
    assert graph.inputs == ((), (0,), (1,), (0,), (2,), (0,), (3,), (4,), (3,))


def test_resnet20_has_21_nodes_and_33_pairs() -> None:
    graph = layer_graph(width_space(small_resnet(3, 2, 10), PICTURE))

    assert (len(graph.nodes), len(graph.edges), len(graph.shortcuts), len(graph.space.widths)) == (21, 22, 11, 12)
    assert not {*map(tuple, graph.edges.tolist())} & {*map(tuple, graph.shortcuts.tolist())}


def test_a_depthwise_convolution_belongs_to_the_layer_before_it() -> None:
    graph = layer_graph(width_space(mobilenet_v2(width=0.25), torch.ones(1, 3, 32, 32)))

    assert [graph.nodes[graph.owners[path]] for path in ("2.body.0.0", "3.body.2.0")] == ["0.0", "3.body.0.0"]
    assert ("3.body.0.0", "3.body.4.0") in named(graph, graph.edges)
    assert ("3.body.4.0", "4.body.4.0") in named(graph, graph.shortcuts)


def test_what_cannot_be_pruned_is_passed_through() -> None:
    graph = graph_of("vit")

    assert graph.nodes == ("encoder.0.think.1", "encoder.1.think.1")
    assert graph.edges.tolist() == [[0, 1]]
    assert graph.inputs == ((), ())


def test_heads_and_hidden_units_are_nodes() -> None:
    assert graph_of("encoder").nodes == tuple(f"layers.{i}.{name}" for i in (0, 1) for name in ("self_attn", "linear1"))


def test_a_concatenation_is_no_short_cut() -> None:
    graph = graph_of("dense")

    assert (graph.nodes, graph.edges.tolist(), graph.shortcuts.tolist()) == (("a", "b"), [[0, 1]], [])


def test_convnext_has_a_short_cut_around_each_block() -> None:
    graph = graph_of("convnext")

    assert named(graph, graph.shortcuts) == {("stem", "blocks.0.narrow"), ("blocks.0.narrow", "blocks.1.narrow")}


def test_blocks_know_what_they_read_write_and_keep_to_themselves() -> None:
    graph = graph_of("mobilenet_v2", blocks=True)

    assert graph.nodes[:3] == ("0.0", "2.body.2.0", "3.body.4.0")
    assert (graph.outputs[:3], graph.inputs[:3], graph.inner[:3]) == ((0, 1, 3), ((), (0,), (1,)), ((), (), (2,)))
    assert graph.owners["3.body.0.0"] == graph.owners["3.body.2.0"] == 2
    assert len(graph_of("resnet14", blocks=True).nodes) == 7


@pytest.mark.parametrize("blocks", [False, True])
@pytest.mark.parametrize("name", NETWORKS)
def test_every_width_is_seen_by_some_node(name: str, blocks: bool) -> None:
    graph = graph_of(name, blocks=blocks)
    features = graph.static_features()

    assert {*graph.outputs, *(w for inner in graph.inner for w in inner)} == set(range(len(graph.space.widths)))
    assert features.shape == (len(graph.nodes), 6)
    assert features.min() >= 0
    assert features.max() <= 1


def test_the_adjacency_is_normalised_and_can_leave_things_out() -> None:
    layers = [nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2)]
    chain = layer_graph(width_space(nn.Sequential(*layers), torch.ones(1, 3)))
    residual = layer_graph(width_space(resnet8(width=4), PICTURE))

    np.testing.assert_allclose(chain.adjacency(), [[0.5, 0.5], [0.5, 0.5]])
    np.testing.assert_array_equal(residual.adjacency(edges=False, shortcuts=False), np.eye(9))
    assert (residual.adjacency() > 0).sum() - (residual.adjacency(shortcuts=False) > 0).sum() == 6
    assert np.linalg.eigvalsh(residual.adjacency()).max() == pytest.approx(1.0)
