"""The network that generates weights: its graph layers, its crops, and the modules that it stands for."""

import copy
import pickle
from functools import cache

import numpy as np
import pytest
import torch
from torch import nn
from torch.testing import assert_close

from models import Basic, InvertedResidual, VisionTransformer, conv, stages
from prune_adapters.graph_pruning.net.aggregator import Aggregator
from prune_adapters.graph_pruning.net.features import NodeFeatures
from prune_adapters.graph_pruning.net.generators import GeneratedWeight
from prune_adapters.graph_pruning.net.pruning_net import PruningNet
from prune_adapters.graph_pruning.space.space import WidthSpace, width_space

PICTURES = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def small_resnet() -> nn.Sequential:
    body, channels = stages(Basic, [1, 1], 4)
    return nn.Sequential(conv(3, 4, 3), body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 5))


def small_mobile_net() -> nn.Sequential:
    blocks = [InvertedResidual(6, 6, 1, 2), InvertedResidual(6, 8, 2, 2)]
    return nn.Sequential(conv(3, 6, 3), nn.ReLU6(), *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5))


def small_transformer() -> nn.Module:
    return VisionTransformer(size=8, patch=4, width=8, depth=1, heads=2, classes=5)


def torch_encoder() -> nn.Module:
    layer = nn.TransformerEncoderLayer(8, 2, dim_feedforward=6, dropout=0.0, batch_first=True)
    flat = nn.Sequential(nn.Conv2d(3, 8, 4, stride=4), nn.Flatten(2))
    return nn.Sequential(flat, Turned(), layer, nn.Linear(8, 5))


class Turned(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.transpose(1, 2)


MAKERS = {
    "resnet": small_resnet,
    "mobilenet": small_mobile_net,
    "vision transformer": small_transformer,
    "torch encoder": torch_encoder,
}


@cache
def space_of(name: str) -> WidthSpace:
    torch.manual_seed(0)
    if name == "perceptron":
        layers = [nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2)]
        return width_space(nn.Sequential(*layers), torch.ones(1, 3))
    return width_space(MAKERS[name](), PICTURES[:1])


@cache
def net_of(name: str, **options: object) -> PruningNet:
    return PruningNet(space_of(name), **options)  # type: ignore[arg-type]


def half(space: WidthSpace, seed: int = 0) -> tuple[int, ...]:
    return space.counts(np.random.default_rng(seed).uniform(0.3, 0.9, len(space.widths)).tolist())


def test_a_node_knows_what_it_keeps_and_what_it_reads() -> None:
    graph = net_of("perceptron").graph
    features = NodeFeatures(graph)

    assert_close(features([(3, 2)])[0, :, :2], torch.tensor([[0.75, 1.0], [0.25, 0.75]]))
    assert_close(features([(3, 2)])[0, :, 2:], torch.from_numpy(graph.static_features()).float())
    assert features.number == features([(3, 2)]).shape[2] == 8
    assert NodeFeatures(graph, static=False).number == 2


def test_a_block_knows_what_it_keeps_inside() -> None:
    space = space_of("resnet")
    net = net_of("resnet", blocks=True)
    features = net.features([(1, 2, *space.full[2:])])[0]

    assert net.graph.nodes[1] == "1.0.body.2.0"
    assert_close(features[:2, :3], torch.tensor([[0.25, 1.0, 1.0], [0.25, 0.25, 0.5]]))
    assert len(net.graph.nodes) < len(net.generators)


def test_a_layer_is_a_graph_convolution_of_torch_geometric() -> None:
    geometric = pytest.importorskip("torch_geometric.nn")
    graph = net_of("resnet").graph
    pairs = torch.from_numpy(np.concatenate([graph.edges, graph.shortcuts]))
    aggregator = Aggregator(torch.from_numpy(graph.adjacency()), 5, hidden=7, layers=2)
    x = torch.rand(len(graph.nodes), 5)
    expected = x
    for weight, bias in zip(aggregator.weights, aggregator.biases, strict=True):
        layer = geometric.GCNConv(*weight.shape)
        nn.init.normal_(bias)
        layer.lin.weight.data, layer.bias.data = weight.data.T, bias.data
        expected = torch.relu(layer(expected, torch.cat([pairs, pairs.flip(1)]).T))

    assert_close(aggregator(x), expected, rtol=0, atol=1e-6)


def test_the_order_of_the_nodes_does_not_matter() -> None:
    torch.manual_seed(0)
    adjacency = torch.from_numpy(net_of("resnet").graph.adjacency()).float()
    order = torch.randperm(len(adjacency))
    aggregator, x = Aggregator(adjacency, 5), torch.rand(len(adjacency), 5)
    expected = aggregator(x)[order]
    aggregator.adjacency = adjacency[order][:, order]

    assert_close(aggregator(x[order]), expected)


def test_a_feature_travels_as_many_edges_as_there_are_layers() -> None:
    line = torch.eye(4) + torch.diag(torch.ones(3), 1) + torch.diag(torch.ones(3), -1)
    for layers, reached in ((0, [0]), (1, [0, 1]), (2, [0, 1, 2])):
        aggregator = Aggregator(line, 1, hidden=8, layers=layers)

        assert aggregator(torch.eye(4)[:, :1]).sum(dim=1).nonzero().flatten().tolist() == reached


def test_short_cuts_and_edges_are_heard_and_no_graph_is_each_node_by_itself() -> None:
    space = space_of("resnet")
    counts = half(space)
    states = {
        options: PruningNet(space, **dict(options)).aggregated(counts)
        for options in ((), (("shortcuts", False),), (("edges", False),), (("static", False),))
    }
    whole = states.pop(())
    for state in states.values():
        assert (state - whole).abs().max() > 1e-3
    for options in ({"layers": 0}, {"edges": False, "shortcuts": False}):
        alone = PruningNet(space, **options)
        last = (*counts[:-1], 1)
        changed = (alone.aggregated(counts) != alone.aggregated(last)).any(dim=1)
        touched = [
            len(space.widths) - 1 in (o, *i) for o, i in zip(alone.graph.outputs, alone.graph.inputs, strict=True)
        ]

        assert changed.tolist() == touched


@pytest.mark.parametrize("kind", ["generated", "shared"])
@pytest.mark.parametrize("name", MAKERS)
def test_it_computes_what_the_module_with_its_weights_computes(name: str, kind: str) -> None:
    space = space_of(name)
    net = net_of(name, kind=kind).eval()
    for counts in (space.full, half(space), space.counts([0.1] * len(space.widths))):
        module = space.narrowed(counts)
        weights = net.weights(counts)
        module.load_state_dict(weights, strict=False)
        for part in module.modules():
            part.train(isinstance(part, nn.BatchNorm2d))  # the statistics of the batch, as the net

        assert {n: w.shape for n, w in weights.items()} == {n: p.shape for n, p in module.named_parameters()}
        assert_close(net(PICTURES, counts), module(PICTURES), rtol=0, atol=1e-6)


def test_a_network_of_several_sizes_in_one_process_keeps_them_apart() -> None:
    space, net = space_of("mobilenet"), net_of("mobilenet")
    one, other = space.full, half(space)
    expected = net(PICTURES, one)
    net(PICTURES, other)

    assert_close(net(PICTURES, one), expected, rtol=0, atol=0)
    assert_close(copy.deepcopy(net)(PICTURES, other), net(PICTURES, other), rtol=0, atol=0)
    assert_close(pickle.loads(pickle.dumps(net))(PICTURES, other), net(PICTURES, other), rtol=0, atol=0)


@pytest.mark.parametrize("name", MAKERS)
def test_gradients_reach_every_parameter(name: str) -> None:
    net = net_of(name, rank=2)
    net.zero_grad()
    net(PICTURES, half(net.space)).square().sum().backward()
    without = [n for n, p in net.named_parameters() if p.grad is None or not p.grad.any()]

    assert [n for n in without if not n.endswith("bias")] == []
    assert all(p.grad is not None for p in net.parameters())


def test_every_layer_has_a_generator_of_its_own() -> None:
    net = net_of("mobilenet")
    depthwise = [n for n, m in net.space.model.named_modules() if getattr(m, "groups", 1) > 1]

    assert len(depthwise) == 2
    assert {f"{path}.weight".replace(".", "/") for path in (*net.graph.nodes, *depthwise)} == set(net.generators)
    assert set(net.shared) == {"6/weight", "6/bias"}


def test_shared_weights_of_narrow_networks_are_crops_of_wide_ones() -> None:
    space, net = space_of("resnet"), net_of("resnet", kind="shared")
    wide, narrow = net.weights(space.full), net.weights(half(space))
    for name, crop in space.crops(half(space)).items():
        if name in narrow:
            assert_close(narrow[name], wide[name][crop] if crop else wide[name], rtol=0, atol=0)


def test_generated_weights_depend_on_the_sub_network() -> None:
    space, net = space_of("resnet"), net_of("resnet")
    wide, narrow = net.weights(space.full), net.weights(half(space))
    rows, columns = narrow["1.0.body.2.0.weight"].shape[:2]

    assert (wide["1.0.body.2.0.weight"][:rows, :columns] - narrow["1.0.body.2.0.weight"]).abs().max() > 1e-3
    assert_close(wide["4.weight"][:, : narrow["4.weight"].shape[1]], narrow["4.weight"], rtol=0, atol=0)


def test_a_weight_is_made_of_the_features_of_its_own_node() -> None:
    space, net = space_of("mobilenet"), net_of("mobilenet", layers=0)
    wide, graph = net.weights(space.full), net.graph
    for place in range(len(space.widths)):
        narrow = net.weights((*space.full[:place], space.full[place] - 1, *space.full[place + 1 :]))
        changed = {n for n, w in narrow.items() if not torch.equal(wide[n][tuple(map(slice, w.shape))], w)}
        told = {i for i, node in enumerate(graph.nodes) if place in (graph.outputs[i], *graph.inputs[i])}
        layers = [*(graph.nodes[i] for i in told), *(path for path, owner in graph.owners.items() if owner in told)]

        assert changed == {f"{path}.weight" for path in layers}


def test_gains_of_batch_norms_are_one_and_shifts_zero() -> None:
    weights = net_of("resnet").weights(half(space_of("resnet")))
    norms = {name: weight for name, weight in weights.items() if weight.dim() == 1 and name != "4.bias"}

    assert len(norms) == 12
    for name, weight in norms.items():
        assert_close(weight, torch.full_like(weight, float(name.endswith("weight"))), rtol=0, atol=0)


@pytest.mark.parametrize("rank", [None, 4])
def test_weights_start_at_hes_scale(rank: int | None) -> None:
    torch.manual_seed(0)
    generator = GeneratedWeight((64, 16, 3, 3), 32, rank=rank)
    one, other = generator(torch.rand(2, 32), 64)
    expected = torch.tensor((2 / (16 * 9)) ** 0.5)

    assert_close(one.std(), expected, rtol=0.35, atol=0)
    assert_close(one.mean(), torch.zeros(()), rtol=0, atol=0.01)
    assert 0.05 < (one - other).std() / expected < 1
    assert sum(p.numel() for p in generator.parameters()) == one.numel() * 33 if rank is None else one.numel() * 5 + 128


def test_only_the_rows_that_are_kept_are_generated() -> None:
    net = net_of("resnet")
    rows = []
    handles = [g.register_forward_pre_hook(lambda _, inputs: rows.append(inputs[1])) for g in net.generators.values()]
    counts = half(net.space)
    narrow = net.weights(counts)
    for handle in handles:
        handle.remove()

    assert rows == [len(narrow[name.replace("/", ".")]) for name in net.generators]


def test_same_seed_same_weights_and_the_callers_random_numbers_are_left_alone() -> None:
    space = space_of("perceptron")
    torch.manual_seed(3)
    expected = torch.rand(3)
    torch.manual_seed(3)
    one, same, other = (PruningNet(space, seed=seed).state_dict() for seed in (1, 1, 2))

    assert_close(torch.rand(3), expected, rtol=0, atol=0)
    assert_close(one, same, rtol=0, atol=0)
    assert (one["aggregator.weights.0"] - other["aggregator.weights.0"]).abs().max() > 0.01


def test_it_takes_the_precision_of_the_model() -> None:
    model = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 2)).double()
    net = PruningNet(width_space(model, torch.ones(1, 3, dtype=torch.float64)))

    assert net(torch.ones(1, 3, dtype=torch.float64), (3,)).dtype == torch.float64


def test_it_says_what_it_is() -> None:
    text = repr(net_of("mobilenet", rank=2))

    assert "kind='generated', rank=2, widths=" in text


def test_bad_arguments_are_told() -> None:
    space, net = space_of("perceptron"), net_of("perceptron")
    for options in ({"kind": "own"}, {"kind": "shared", "rank": 2}):
        with pytest.raises(ValueError, match="expected kind 'generated', or 'shared' without a rank"):
            PruningNet(space, **options)
    with pytest.raises(ValueError, match="rank: expected at least 1"):
        PruningNet(space, rank=0)
    for options in ({"hidden": 0}, {"layers": -1}):
        with pytest.raises(ValueError, match="hidden of at least 1 and layers of at least 0"):
            PruningNet(space, **options)
    with pytest.raises(ValueError, match=r"adjacency: expected shape \(n_nodes, n_nodes\), got \(2, 3\)"):
        Aggregator(torch.ones(2, 3), 1)
    with pytest.raises(ValueError, match="counts: expected one for each of 2 widths, got 1"):
        net.weights((1,))
    with pytest.raises(ValueError, match="expected 1 to 4 channels, got 0"):
        net(torch.ones(1, 3), (0, 8))
