"""The widths of a model: what they are, and that a narrowed model is the one without these channels."""

from collections.abc import Callable
from itertools import chain

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

import prune_adapters as pa
from models import VisionTransformer, conv, mobilenet_v2, resnet8, small_resnet, vgg_small
from prune_adapters.graph_pruning.space.finding import width_space
from prune_adapters.graph_pruning.space.space import WidthSpace


class ConvNeXt(nn.Module):
    """Two blocks in ConvNeXt's manner: depthwise, a norm over channels, two linear layers, a scale, a skip."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 2, stride=2)
        self.blocks = nn.ModuleList([Block(8), Block(8)])
        self.head = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        return self.head(x.mean((2, 3)))


class Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.mix = nn.Conv2d(width, width, 3, padding=1, groups=width)
        self.norm, self.widen, self.narrow = nn.LayerNorm(width), nn.Linear(width, 16), nn.Linear(16, width)
        self.scale = nn.Parameter(torch.rand(width))

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.mix(x).permute(0, 2, 3, 1))
        y = self.scale * self.narrow(nn.functional.gelu(self.widen(y)))
        return x + y.permute(0, 3, 1, 2)


class Dense(nn.Module):
    """Two convolutions whose outputs are concatenated with what they read."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Conv2d(3, 6, 3), nn.Conv2d(6, 4, 1), nn.Conv2d(10, 5, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.a(x))
        return self.c(torch.cat([x, torch.relu(self.b(x))], 1)).mean((2, 3))


def encoder() -> nn.Module:
    layer = nn.TransformerEncoderLayer(12, 3, 10, dropout=0.0, batch_first=True)
    return nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)


def mobilenet_v1() -> nn.Module:
    """Return three depthwise convolutions, each before a pointwise one."""
    layers = [conv(3, 8, 3), nn.ReLU()]
    for inputs, outputs in ((8, 12), (12, 12), (12, 16)):
        layers += [conv(inputs, inputs, 3, groups=inputs), nn.ReLU(), conv(inputs, outputs, 1), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 5))


PICTURE = torch.ones(1, 3, 8, 8)
NETWORKS: dict[str, tuple[Callable[[], nn.Module], Tensor, int]] = {
    "resnet8": (lambda: resnet8(width=4), PICTURE, 6),
    "resnet14": (lambda: small_resnet(2, 4, 10), PICTURE, 9),
    "resnet20": (lambda: small_resnet(3, 2, 10), PICTURE, 12),
    "vgg": (lambda: vgg_small(width=4), PICTURE, 6),
    "mobilenet_v1": (mobilenet_v1, PICTURE, 4),
    "mobilenet_v2": (lambda: mobilenet_v2(width=0.25), torch.ones(1, 3, 32, 32), 25),
    "vit": (lambda: VisionTransformer(size=8, patch=4, width=6, depth=2, heads=3, classes=5), PICTURE, 2),
    "convnext": (ConvNeXt, PICTURE, 3),
    "dense": (Dense, PICTURE, 2),
    "encoder": (encoder, torch.ones(1, 5, 12), 4),
}


@pytest.fixture(scope="module", params=NETWORKS)
def space(request: pytest.FixtureRequest) -> WidthSpace:
    make, example, _ = NETWORKS[request.param]
    torch.manual_seed(0)
    return width_space(shaken(make()), example)


def shaken(model: nn.Module) -> nn.Module:
    """Give norms statistics and gains that tell their channels apart."""
    for name, tensor in chain(model.named_parameters(), model.named_buffers()):
        if tensor.is_floating_point() and tensor.dim() == 1:
            tensor.data.uniform_(0.5, 1.5) if "bias" not in name else tensor.data.normal_()
    return model.eval()


def drawn(space: WidthSpace, seed: int) -> tuple[int, ...]:
    return space.counts(np.random.default_rng(seed).uniform(0.1, 1.0, len(space.widths)))


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_has_so_many_decisions(name: str) -> None:
    make, example, n_widths = NETWORKS[name]

    assert len(width_space(make(), example).widths) == n_widths


def test_widths_come_in_the_order_of_the_computation() -> None:
    space = width_space(resnet8(width=4), PICTURE)

    assert [width.name for width in space.widths][:3] == ["0.0", "2.0.body.0.0", "2.1.body.0.0"]
    assert space.widths[0].layers == ("0.0", "0.1", "2.0.body.2.0", "2.0.body.2.1")
    assert space.full == (4, 4, 8, 8, 16, 16)


def test_a_narrowed_model_is_the_one_without_these_channels(space: WidthSpace) -> None:
    counts = drawn(space, 0)
    x = torch.randn_like(space.example_inputs)

    expected = pa.remove_channels(space.model, space.removed(counts), space.example_inputs)
    result = space.narrowed(counts)

    assert {n: p.shape for n, p in result.named_parameters()} == {n: p.shape for n, p in expected.named_parameters()}
    assert_close(result(x), expected(x))


@pytest.mark.parametrize("seed", range(3))
def test_crops_give_the_tensors_of_the_narrowed_model(space: WidthSpace, seed: int) -> None:
    counts = drawn(space, seed)
    whole = dict(chain(space.model.named_parameters(), space.model.named_buffers()))
    result, crops = space.narrowed(counts), space.crops(counts)

    for name, tensor in chain(result.named_parameters(), result.named_buffers()):
        if name in crops:
            assert_close(tensor, whole[name][crops[name]], rtol=0, atol=0)
    assert crops.keys() >= {name for name, _ in result.named_parameters()}


@pytest.mark.parametrize("seed", range(3))
def test_costs_are_those_that_a_hook_counts(space: WidthSpace, seed: int) -> None:
    counts = drawn(space, seed)
    result = space.narrowed(counts)

    assert space.macs(counts) == pa.count_macs(result, space.example_inputs).macs
    assert space.parameters(counts) == sum(p.numel() for p in result.parameters())


@pytest.mark.parametrize("name", ["resnet14", "mobilenet_v2", "encoder", "dense"])
def test_costs_follow_from_the_counts_without_a_run(name: str) -> None:
    make, example, _ = NETWORKS[name]

    assert width_space(make(), example)._costs.measured is None


def test_a_width_that_the_forward_has_written_down_stays() -> None:
    make, example, _ = NETWORKS["vit"]
    space = width_space(make(), example)

    assert [width.name for width in space.widths] == ["encoder.0.think.1", "encoder.1.think.1"]
    assert list(space.fixed) == ["patches"]
    assert "patches stays: the narrowed model does not run (shape" in repr(space)


def test_ratios_and_counts() -> None:
    space = width_space(nn.Sequential(nn.Linear(3, 16), nn.ReLU(), nn.Linear(16, 2)), torch.ones(1, 3), divisor=4)

    assert [space.counts([r]) for r in (0.0, 0.3, 0.4, 0.9, 1.0)] == [(4,), (4,), (8,), (16,), (16,)]
    assert space.ratios((8,)) == (0.5,)


def test_bad_input() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    space = width_space(model, torch.ones(1, 3))

    with pytest.raises(ValueError, match=r"ratios: expected one for each of 1 widths, got 2"):
        space.counts([0.5, 0.5])
    with pytest.raises(ValueError, match=r"in \[0, 1\], got 1.5"):
        space.counts([1.5])
    with pytest.raises(ValueError, match=r"width '0': expected 1 to 4 channels, got 0"):
        space.narrowed((0,))
    with pytest.raises(ValueError, match="divisor: expected at least 1, got 0"):
        width_space(model, torch.ones(1, 3), divisor=0)
    with pytest.raises(ValueError, match="no two channels of this Linear can be removed one by one"):
        width_space(nn.Linear(3, 2), torch.ones(1, 3))
