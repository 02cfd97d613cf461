"""Regular masks: every layer joins its channels as one graph joins its nodes."""

import copy
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

import netgraph as ng
import prune_adapters as pa
from netgraph.generators import circulant, complete
from networks import CASES

RING = circulant(16, degree=4)
PATH = ng.NodeGraph.from_edges(3, [(0, 1), (1, 2)])


def mlp(*widths: int) -> nn.Sequential:
    return nn.Sequential(*(nn.Linear(a, b) for a, b in pairwise(widths)))


def expanded(graph: ng.NodeGraph, outputs: int, inputs: int) -> torch.Tensor:
    """The published code: rows and columns of the adjacency matrix repeated."""
    rows, columns = (ng.channel_counts(size, graph.n_nodes) for size in (outputs, inputs))
    return torch.from_numpy(graph.adjacency().repeat(columns, axis=1).repeat(rows, axis=0))


def test_masks_are_the_repeated_adjacency_matrix():
    model = mlp(5, 32, 50, 16, 3)
    masks = pa.regular_masks(model, torch.ones(1, 5), RING)

    assert list(masks) == ["1.weight", "2.weight"]
    assert torch.equal(masks["1.weight"], expanded(RING, 50, 32))
    assert torch.equal(masks["2.weight"], expanded(RING, 16, 50))


def test_kernels_are_kept_or_removed_whole():
    model = nn.Sequential(nn.Conv2d(3, 16, 3), nn.BatchNorm2d(16), nn.Conv2d(16, 32, 3), nn.Conv2d(32, 8, 1))
    masks = pa.regular_masks(model, torch.ones(1, 3, 8, 8), RING, dense=["3.weight", "0.weight"])

    assert list(masks) == ["2.weight"]
    assert torch.equal(masks["2.weight"], expanded(RING, 32, 16)[..., None, None].expand(32, 16, 3, 3))


def test_a_transposed_convolution_joins_the_same_channels():
    model = nn.Sequential(nn.Conv1d(3, 16, 1), nn.ConvTranspose1d(16, 32, 2), nn.Conv1d(32, 3, 1))
    masks = pa.regular_masks(model, torch.ones(1, 3, 4), RING)

    assert torch.equal(masks["1.weight"], expanded(RING, 32, 16).T[..., None].expand(16, 32, 2))


@pytest.mark.parametrize("kind", [nn.Conv2d, nn.ConvTranspose2d])
def test_a_grouped_layer_keeps_what_the_graph_joins_inside_each_group(kind):
    layer = kind(16, 32, 3, padding=1, groups=2)
    model = nn.Sequential(nn.Conv2d(3, 16, 1), layer, nn.Conv2d(32, 3, 1))
    mask = pa.regular_masks(model, torch.ones(1, 3, 4, 4), RING)["1.weight"]
    joined = expanded(RING, 32, 16)
    graph = pa.to_graph(model, torch.ones(1, 3, 4, 4), masks={"1.weight": mask})
    found = torch.zeros(32, 16, dtype=torch.bool)
    use = graph.uses("1.weight")[0]
    for row, column, _ in np.argwhere(graph.kept(graph.weighted.index(use))):
        found[row, (row // 16) * 8 + column] = True
    expected = torch.block_diag(joined[:16, :8].int(), joined[16:, 8:].int()).bool()

    assert torch.equal(found, expected)


def test_depthwise_convolutions_stay():
    model = nn.Sequential(
        nn.Conv2d(3, 16, 1), nn.Conv2d(16, 16, 3, groups=16), nn.Conv2d(16, 16, 1), nn.Conv2d(16, 3, 1)
    )

    assert list(pa.regular_masks(model, torch.ones(1, 3, 4, 4), RING)) == ["2.weight"]


def test_the_ends_are_found_through_wiring():
    model = nn.Sequential(
        nn.Flatten(), nn.Linear(12, 32), nn.ReLU(), nn.Linear(32, 32), nn.Linear(32, 4), nn.Softmax(-1)
    )

    assert list(pa.regular_masks(model, torch.ones(1, 3, 4), RING)) == ["3.weight"]


@pytest.mark.parametrize("self_loops", [False, True])
@pytest.mark.parametrize("degree", [2, 4, 8])
def test_the_kept_fraction_is_exact(degree, self_loops):
    masks = pa.regular_masks(
        mlp(4, 64, 80, 64, 4), torch.ones(1, 4), circulant(16, degree=degree), self_loops=self_loops
    )
    kept = sum(int(mask.sum()) for mask in masks.values())

    assert kept * 16 == (degree + self_loops) * sum(mask.numel() for mask in masks.values())
    assert all(mask.sum(dim=0).unique().numel() == 1 for mask in masks.values())


@pytest.mark.parametrize("share", [2, 4])
def test_outputs_share_their_inputs(share):
    graph = circulant(16, degree=4)
    mask = pa.regular_masks(mlp(4, 64, 128, 4), torch.ones(1, 4), graph, share_neighbours=share)["1.weight"]
    blocks = mask.reshape(16, 8, 64)

    assert torch.equal(blocks, blocks[:, :1].expand(16, 8, 64))
    assert (mask.sum(dim=1) == 4 * 4 // share).all()
    assert (mask.sum(dim=0) == 8 * 4 // share).all()
    assert not (mask & ~expanded(graph, 128, 64)).any()


def test_one_graph_for_each_layer():
    model = mlp(4, 64, 64, 64, 4)
    graphs = {"1.weight": RING, "2.weight": complete(8)}
    masks = pa.regular_masks(model, torch.ones(1, 4), graphs, dense=())

    assert list(masks) == list(graphs)
    assert torch.equal(masks["2.weight"], expanded(complete(8), 64, 64))


def test_residual_channels_stay_with_their_node():
    case = CASES["resnet20_b"]
    model, example = case.model(), case.inputs()
    graph = circulant(4, degree=2)
    masks = pa.regular_masks(model, example, graph, self_loops=True)
    net = ng.trim(pa.to_graph(model, example, masks=masks))

    assert masks
    assert pa.to_masks(net).keys() >= masks.keys()
    assert all(torch.equal(pa.to_masks(net)[name], mask) for name, mask in masks.items())


def test_bad_input():
    model, x = mlp(4, 16, 10, 16, 4), torch.ones(1, 4)

    with pytest.raises(ng.ChannelsBelowNodesError, match=r"'1.weight': 10 channels for 16 nodes"):
        pa.regular_masks(model, x, RING)
    with pytest.raises(pa.MaskError, match="'nothing'"):
        pa.regular_masks(model, x, RING, dense=["nothing"])
    with pytest.raises(ValueError, match=r"graph for '1.bias': expected the weight of a linear layer"):
        pa.regular_masks(model, x, {"1.bias": RING})
    with pytest.raises(ValueError, match="share_neighbours: expected at least 1, got 0"):
        pa.regular_masks(mlp(4, 16, 16, 4), x, RING, share_neighbours=0)


@pytest.mark.parametrize("layer", [nn.Linear(16, 32), nn.Conv2d(16, 32, 3), nn.ConvTranspose2d(16, 32, 3, groups=2)])
def test_fan_in_is_restored(layer):
    """The sum of squares over the kept inputs of each output is what it was over all of them."""
    nn.init.ones_(layer.weight)
    mask = torch.zeros_like(layer.weight, dtype=torch.bool)
    mask[..., ::2] = True
    mask[0] = True
    dense = copy.deepcopy(layer)
    pa.correct_fan_in(layer, {"weight": mask})
    squares = (layer.weight.detach() ** 2 * mask).sum(), (dense.weight.detach() ** 2).sum()

    torch.testing.assert_close(*squares)


def test_an_output_without_inputs_is_left_alone():
    layer = nn.Linear(4, 2)
    before = layer.weight.detach().clone()
    pa.correct_fan_in(layer, {"weight": torch.zeros(2, 4, dtype=torch.bool)})

    assert torch.equal(layer.weight, before)
