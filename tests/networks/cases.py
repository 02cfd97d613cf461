"""Every network at the size the tests use, with its example inputs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from networks import mobile, patterns, plain, residual, transformer

__all__ = ["CASES", "Case", "edge_names"]

Inputs = Tensor | tuple[Tensor, ...] | dict[str, Tensor]

NOT_EDGES = ("class_token", "pos_embedding", "scale", "original0")
"""Last part of the names of parameters of rank 2 or more that are tables or gates."""


@dataclass(frozen=True)
class Case:
    """How to build a network and what to feed it.

    Parameters
    ----------
    build : callable
        Returns the network, weights not seeded.
    inputs : callable
        Returns positive example inputs; integer inputs hold every token.
    densities : tuple of float
        Densities of the random masks that leave something to compare.
    """

    build: Callable[[], nn.Module]
    inputs: Callable[[], Inputs]
    densities: tuple[float, ...] = (0.5, 0.2, 0.1)

    def model(self, seed: int = 0) -> nn.Module:
        """Return the network in eval mode, with weights that depend on `seed` only."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return self.build().eval()


def edge_names(model: nn.Module) -> list[str]:
    """Return the names of the prunable weights, told by rank and name; the tracer finds them by following units."""
    named = model.named_parameters()
    return [name for name, p in named if p.dim() > 1 and name.split(".")[-1] not in NOT_EDGES]


def real(*shape: int) -> Callable[[], Tensor]:
    """Return a maker of a positive input of `shape`."""
    return lambda: torch.linspace(0.5, 1.5, torch.Size(shape).numel()).reshape(shape)


def tokens(vocabulary: int) -> Callable[[], Tensor]:
    """Return a maker of one sentence that holds every token."""
    return lambda: torch.arange(vocabulary)[None]


def small_vit(readout: str) -> nn.Module:
    return transformer.ViT(image=16, patch=4, dim=16, depth=2, heads=2, hidden=24, classes=5, readout=readout)


INVERTED = ((1, 8, 1, 1), (4, 8, 2, 2), (4, 12, 2, 2), (6, 16, 1, 1))
SPARSE = (0.5, 0.1, 0.05, 0.02)
THIN = (0.7, 0.5, 0.3)

CASES: Mapping[str, Case] = {
    "mlp": Case(plain.MLP, real(2, 12)),
    "lenet_300_100": Case(plain.lenet_300_100, real(2, 784), SPARSE),
    "lenet": Case(plain.LeNet, real(1, 1, 28, 28), SPARSE),
    "vgg": Case(lambda: plain.VGG(norm=False), real(1, 3, 32, 32), SPARSE),
    "vgg_bn": Case(plain.VGG, real(1, 3, 32, 32), SPARSE),
    "resnet20_a": Case(lambda: residual.resnet20(8), real(1, 3, 32, 32), SPARSE),
    "resnet20_b": Case(lambda: residual.resnet20(8, option="B"), real(1, 3, 32, 32), SPARSE),
    "resnet18": Case(lambda: residual.resnet18(8, classes=10), real(1, 3, 128, 128), SPARSE),
    "resnet50": Case(lambda: residual.resnet50(8, classes=10), real(1, 3, 128, 128), SPARSE),
    "resnext50": Case(lambda: residual.resnext50(8, groups=4, classes=10), real(1, 3, 128, 128), SPARSE),
    "se_resnet": Case(residual.se_resnet, real(1, 3, 32, 32), SPARSE),
    "mobilenet_v2": Case(
        lambda: mobile.MobileNetV2(INVERTED, stem=8, head=24, classes=10), real(1, 3, 48, 48), (0.5, 0.2)
    ),
    "shufflenet_v2": Case(
        lambda: mobile.ShuffleNetV2((8, 16, 24, 32), (3, 3), classes=10), real(1, 3, 64, 64), (0.5, 0.2, 0.1)
    ),
    "densenet": Case(lambda: mobile.DenseNet((2, 3, 2), growth=4, stem=8, classes=10), real(1, 3, 64, 64), SPARSE),
    "vit_class": Case(lambda: small_vit("class"), real(1, 3, 16, 16), (0.5, 0.3, 0.1, 0.05)),
    "vit_mean": Case(lambda: small_vit("mean"), real(1, 3, 16, 16), (0.5, 0.3, 0.1, 0.05)),
    "torch_vit": Case(transformer.TorchViT, real(1, 3, 16, 16), (0.5, 0.3, 0.1, 0.05)),
    "raw_matmul": Case(patterns.RawMatmul, real(2, 10), THIN),
    "chunked_projection": Case(patterns.ChunkedProjection, real(2, 10), THIN),
    "transposed_conv": Case(patterns.TransposedConv, real(1, 3, 16, 16)),
    "conv1d": Case(patterns.SignalNet, real(1, 2, 40)),
    "conv3d": Case(patterns.VolumeNet, real(1, 1, 8, 8, 8)),
    "group_norm": Case(lambda: patterns.ConvNorm(nn.GroupNorm(3, 12)), real(1, 3, 16, 16)),
    "instance_norm": Case(lambda: patterns.ConvNorm(nn.InstanceNorm2d(12, affine=True)), real(1, 3, 16, 16)),
    "embedding": Case(patterns.EmbeddingNet, tokens(20), THIN),
    "tied_embedding": Case(patterns.TiedEmbedding, tokens(20), THIN),
    "shared_module": Case(patterns.SharedModule, real(2, 6), THIN),
    "weight_norm": Case(patterns.NormedWeight, real(2, 8), THIN),
    "layer_scale": Case(patterns.LayerScale, real(2, 8), THIN),
    "pixel_shuffle": Case(patterns.PixelShuffle, real(1, 3, 12, 12)),
    "einsum": Case(patterns.Einsum, real(2, 5, 8), THIN),
    "glu": Case(patterns.GatedLinear, real(2, 8), THIN),
    "product": Case(lambda: patterns.GatedLinear(gated=False), real(2, 8), THIN),
    "two_inputs": Case(patterns.TwoInputs, lambda: (real(2, 6)(), real(2, 4)()), THIN),
    "named_inputs": Case(patterns.NamedInputs, lambda: {"left": real(2, 6)(), "right": real(2, 4)()}, THIN),
}
