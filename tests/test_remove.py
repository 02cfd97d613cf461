"""Live channels removed on purpose: the function is that of the model in which they are zero and not read."""

import copy
import random
from collections import Counter
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn

import prune_adapters as pa
from compacting import BOUNDS, drawn, error, n_parameters, randomized
from networks import CASES, GroupNormNet, NextNet, NormedStream
from networks.cases import real


def silenced(model: nn.Module, groups: Sequence[pa.ChannelGroup]) -> nn.Module:
    """Return a copy in which the channels of the groups are zero and read by nobody, written out layer by layer."""
    model = copy.deepcopy(model)
    for group in groups:
        for path, channels in group.outputs.items():
            layer = model.get_submodule(path)
            by_output = layer.weight.T if isinstance(layer, nn.Embedding) else layer.weight
            if isinstance(layer, nn.ConvTranspose2d):
                by_output = layer.weight.transpose(0, 1)
            for tensor in (by_output, getattr(layer, "bias", None)):
                if tensor is not None:
                    tensor.data[list(channels)] = 0
        for path, channels in group.inputs.items():
            layer = model.get_submodule(path)
            if getattr(layer, "groups", 1) == 1:
                by_input = layer.weight if isinstance(layer, nn.ConvTranspose2d) else layer.weight.transpose(0, 1)
                by_input.data[list(channels)] = 0
    return model


def chosen(groups: Sequence[pa.ChannelGroup], share: float, seed: int) -> list[pa.ChannelGroup]:
    """Return some of the removable groups; the first of each set of layers stays, so that none is emptied."""
    seen: set[tuple[str, ...]] = set()
    picked = []
    draw = random.Random(seed)
    for group in groups:
        if group.removable and group.layers in seen and draw.random() < share:
            picked.append(group)
        seen.add(group.layers)
    return picked


def width(model: nn.Module, path: str) -> int:
    layer = model.get_submodule(path)
    names = ("out_features", "out_channels", "num_features", "num_channels", "embedding_dim")
    return next((getattr(layer, name) for name in names if hasattr(layer, name)), None) or layer.normalized_shape[0]


def transposed() -> nn.Module:
    layers = [nn.Conv2d(3, 8, 3), nn.ReLU(), nn.ConvTranspose2d(8, 6, 2, stride=2), nn.ReLU(), nn.Conv2d(6, 2, 1)]
    return nn.Sequential(*layers)


NETS = {name: (CASES[name].build, CASES[name].inputs) for name in ("mlp", "vgg_bn", "resnet18", "mobilenet_v2")}
NETS |= {name: (CASES[name].build, CASES[name].inputs) for name in ("densenet", "vit_mean", "embedding")}
NETS |= {
    "transposed": (transposed, real(1, 3, 8, 8)),
    "stream": (NormedStream, real(5, 6)),
    "rms": (lambda: NormedStream(nn.RMSNorm, first=False), real(5, 6)),
    "next": (NextNet, real(2, 3, 8, 8)),
    "groups": (GroupNormNet, real(2, 3, 8, 8)),
}


@pytest.mark.parametrize("name", NETS)
def test_the_function_is_that_of_the_silenced_model(name):
    build, inputs = NETS[name]
    dtype = list(BOUNDS)[list(NETS).index(name) % 2]
    model, x = randomized(build().eval(), 0).to(dtype), inputs()
    x = x.to(dtype) if x.is_floating_point() else x
    groups = [g for g in chosen(pa.coupled_channels(model, x), 0.4, 0) if name != "vit_mean" or len(g.layers) == 2]
    small, expected = pa.remove_channels(model, groups, x), silenced(model, groups)
    lost = Counter(path for group in groups for path, channels in group.outputs.items() for _ in channels)

    assert groups
    assert error(expected, small, drawn(x, 1)) < BOUNDS[dtype]
    assert n_parameters(small) < n_parameters(model)
    assert {path: width(model, path) - width(small, path) for path in lost} == lost


def perceptron() -> tuple[nn.Sequential, Tensor]:
    model = nn.Sequential(nn.Linear(2, 3), nn.Sigmoid(), nn.Linear(3, 1, bias=False))
    for parameter, value in zip(
        model.parameters(), ([[1.0, 2], [3, 4], [5, 6]], [1.0, 2, 3], [[1.0, 2, 3]]), strict=True
    ):
        parameter.data = torch.tensor(value)
    return model, torch.ones(1, 2)


def test_a_hidden_unit_of_a_drawn_network():
    """Sigmoid makes 0.5 of the silent unit, but nobody listens."""
    model, x = perceptron()
    groups = pa.coupled_channels(model, x)
    small = pa.remove_channels(model, groups[1:2], x)

    assert [p.tolist() for p in small.parameters()] == [[[1.0, 2], [5, 6]], [1.0, 3], [[1.0, 3]]]
    assert pa.compact_report(small).changes == (
        pa.LayerChange("0", (2, 2), (3, 2)),
        pa.LayerChange("2", (3, 2), (1, 1)),
    )
    assert model[0].out_features == 3


def test_weights_that_happen_to_be_zero_stay():
    """A layer that starts from zero is to be trained yet."""
    model, x = perceptron()
    model[2].weight.data[0, 2] = 0
    small = pa.remove_channels(model, pa.coupled_channels(model, x)[1:2], x)

    assert small[0].out_features == 2


def test_remembered_masks_count_too():
    model, x = perceptron()
    pa.apply_masks(model, {"2.weight": torch.tensor([[True, True, False]])})
    small = pa.remove_channels(model, pa.coupled_channels(model, x)[1:2], x)

    assert small[0].out_features == 1


def test_what_cannot_go_is_refused_with_the_reason():
    model, x = perceptron()
    groups = pa.coupled_channels(model, x)

    with pytest.raises(pa.CompactError, match=r"group 3 \(channel 0 of '2'\) cannot .* linear in '2' has only"):
        pa.remove_channels(model, groups[3:], x)
    with pytest.raises(pa.CompactError, match=r"group 0 \(channel 0 of '0'\) cannot .* one channel must be left"):
        pa.remove_channels(model, groups[:3], x)


def test_groups_of_another_model_are_refused():
    model, x = perceptron()
    other = pa.coupled_channels(nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 4)), x)

    with pytest.raises(ValueError, match="not a group of this model; call coupled_channels on this very model"):
        pa.remove_channels(model, other[3:4], x)
    with pytest.raises(TypeError, match="expected ChannelGroup of coupled_channels, got int"):
        pa.remove_channels(model, [1], x)


def test_experts_lose_whole_hidden_layers_but_for_one_unit():
    """A router weighs experts; the hidden units of one are groups of their own."""

    class Experts(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.router = nn.Linear(4, 2)
            self.experts = nn.ModuleList(nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 4)) for _ in range(2))
            self.head = nn.Linear(4, 3)

        def forward(self, x: Tensor) -> Tensor:
            gates = self.router(x).softmax(dim=-1)
            return self.head(sum(gates[:, i : i + 1] * expert(x) for i, expert in enumerate(self.experts)))

    model, x = Experts().double().eval(), torch.randn(5, 4, dtype=torch.float64)
    groups = [g for g in pa.coupled_channels(model, x) if "experts.1.0" in g.outputs]
    small = pa.remove_channels(model, groups[1:], x)

    assert (small.experts[0][0].out_features, small.experts[1][0].out_features) == (6, 1)
    assert error(silenced(model, groups[1:]), small, x) < 1e-12


def test_a_width_that_attention_computes_with_is_the_reason():
    """It divides the width of the stream by the number of heads."""
    model, x = CASES["vit_mean"].model(), CASES["vit_mean"].inputs()
    group = pa.coupled_channels(model, x)[0]

    with pytest.raises(
        pa.CompactError, match=r"group 0 \(channel 0 of 'patches'\) cannot .* transformer.py:\d+: qkv = "
    ):
        pa.remove_channels(model, [group], x)
