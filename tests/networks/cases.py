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
    """

    build: Callable[[], nn.Module]
    inputs: Callable[[], Inputs]

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

CASES: Mapping[str, Case] = {
    "mlp": Case(plain.MLP, real(2, 12)),
    "lenet_300_100": Case(plain.lenet_300_100, real(2, 784)),
    "lenet": Case(plain.LeNet, real(1, 1, 28, 28)),
    "vgg": Case(lambda: plain.VGG(norm=False), real(1, 3, 32, 32)),
    "vgg_bn": Case(plain.VGG, real(1, 3, 32, 32)),
    "resnet20_a": Case(lambda: residual.resnet20(8), real(1, 3, 32, 32)),
    "resnet20_b": Case(lambda: residual.resnet20(8, option="B"), real(1, 3, 32, 32)),
    "resnet18": Case(lambda: residual.resnet18(8, classes=10), real(1, 3, 64, 64)),
    "resnet50": Case(lambda: residual.resnet50(8, classes=10), real(1, 3, 64, 64)),
    "resnext50": Case(lambda: residual.resnext50(8, groups=4, classes=10), real(1, 3, 64, 64)),
    "se_resnet": Case(residual.se_resnet, real(1, 3, 32, 32)),
    "mobilenet_v2": Case(lambda: mobile.MobileNetV2(INVERTED, stem=8, head=24, classes=10), real(1, 3, 48, 48)),
    "shufflenet_v2": Case(lambda: mobile.ShuffleNetV2((8, 16, 24, 32), (3, 3), classes=10), real(1, 3, 64, 64)),
    "densenet": Case(lambda: mobile.DenseNet((2, 3, 2), growth=4, stem=8, classes=10), real(1, 3, 64, 64)),
    "vit_class": Case(lambda: small_vit("class"), real(1, 3, 16, 16)),
    "vit_mean": Case(lambda: small_vit("mean"), real(1, 3, 16, 16)),
    "torch_vit": Case(transformer.TorchViT, real(1, 3, 16, 16)),
    "raw_matmul": Case(patterns.RawMatmul, real(2, 10)),
    "chunked_projection": Case(patterns.ChunkedProjection, real(2, 10)),
    "transposed_conv": Case(patterns.TransposedConv, real(1, 3, 16, 16)),
    "conv1d": Case(patterns.SignalNet, real(1, 2, 40)),
    "conv3d": Case(patterns.VolumeNet, real(1, 1, 8, 8, 8)),
    "group_norm": Case(lambda: patterns.ConvNorm(nn.GroupNorm(3, 12)), real(1, 3, 16, 16)),
    "instance_norm": Case(lambda: patterns.ConvNorm(nn.InstanceNorm2d(12, affine=True)), real(1, 3, 16, 16)),
    "embedding": Case(patterns.EmbeddingNet, tokens(20)),
    "tied_embedding": Case(patterns.TiedEmbedding, tokens(20)),
    "shared_module": Case(patterns.SharedModule, real(2, 6)),
    "weight_norm": Case(patterns.NormedWeight, real(2, 8)),
    "layer_scale": Case(patterns.LayerScale, real(2, 8)),
    "pixel_shuffle": Case(patterns.PixelShuffle, real(1, 3, 12, 12)),
    "einsum": Case(patterns.Einsum, real(2, 5, 8)),
    "glu": Case(patterns.GatedLinear, real(2, 8)),
    "product": Case(lambda: patterns.GatedLinear(gated=False), real(2, 8)),
    "two_inputs": Case(patterns.TwoInputs, lambda: (real(2, 6)(), real(2, 4)())),
    "named_inputs": Case(patterns.NamedInputs, lambda: {"left": real(2, 6)(), "right": real(2, 4)()}),
}
