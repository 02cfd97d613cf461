"""The networks that `bench_compact` makes smaller: the kinds of layer and coupling that there are, shortly trained."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

import prune_adapters as pa
from models import (
    VisionTransformer,
    lenet_5,
    lenet_300_100,
    mobilenet_v2,
    resnet18,
    resnet20,
    resnet50,
    vgg16,
)

try:
    import torchvision.models as zoo
except ImportError:
    zoo = None

__all__ = ["QUICK", "SUBJECTS", "Subject"]


@dataclass(frozen=True)
class Subject:
    """A network to compact.

    Parameters
    ----------
    name : str
    build : callable
    sides : tuple of int
        Sides of the images it takes; the first for training and timing.
    channels : int
        Of the images.
    """

    name: str
    build: Callable[[], nn.Module]
    sides: tuple[int, ...]
    channels: int = 3

    def trained(self, steps: int, seed: int) -> nn.Module:
        """Return the network after some steps of training on ten noisy pictures, in eval mode.

        A few steps hardly move biases and statistics from where they start, so both are made random afterwards.
        """
        generator = torch.Generator().manual_seed(seed)
        torch.manual_seed(seed)
        model = self.build()
        pictures = torch.randn(10, self.channels, self.sides[0], self.sides[0], generator=generator)
        y = torch.randint(10, (16 * steps,), generator=generator)
        x = pictures[y] + torch.randn(len(y), *pictures.shape[1:], generator=generator)
        pa.train(model, (x, y), epochs=1, batch_size=16, seed=seed, progress=False, loss=first_ten)
        for module in model.modules():
            shake(module, generator)
        return model.eval()

    def images(self) -> list[Tensor]:
        """Return two images of each size."""
        generator = torch.Generator().manual_seed(1)
        return [torch.randn(2, self.channels, side, side, generator=generator) for side in self.sides]


def first_ten(y: Tensor, target: Tensor) -> Tensor:
    """Return the cross entropy of the first output of a network; some have more in training."""
    return nn.functional.cross_entropy(y if isinstance(y, Tensor) else y[0], target)


@torch.no_grad()
def shake(module: nn.Module, generator: torch.Generator) -> None:
    """Add noise to the bias of any module, and to the statistics of batch norm."""
    if isinstance(bias := getattr(module, "bias", None), nn.Parameter):
        bias += 0.1 * torch.randn(bias.shape, generator=generator)
    if isinstance(module, nn.BatchNorm2d):
        module.running_mean += 0.1 * module.running_var.sqrt() * torch.randn(len(module.bias), generator=generator)
        module.running_var *= 0.5 + torch.rand(len(module.bias), generator=generator)


def tiny_transformer(*, width: int = 192, depth: int = 12) -> nn.Module:
    """Return a vision transformer of the size called tiny."""
    return VisionTransformer(size=96, patch=16, width=width, depth=depth, heads=3, classes=1000)


SUBJECTS = [
    Subject("LeNet-300-100", lenet_300_100, (28,), 1),
    Subject("LeNet-5", lenet_5, (28,), 1),
    Subject("VGG-16", vgg16, (32,)),
    Subject("ResNet-20", resnet20, (32, 45, 64)),
    Subject("ResNet-18", resnet18, (96, 128, 161)),
    Subject("ResNet-50", resnet50, (96, 128, 161)),
    Subject("MobileNetV2", mobilenet_v2, (96, 128, 161)),
    Subject("ViT-Ti", tiny_transformer, (96,)),
]
"""Sizes: three where the network takes images of any size."""
if zoo is not None:
    SUBJECTS += [
        Subject("ShuffleNetV2", zoo.shufflenet_v2_x1_0, (96, 128, 161)),
        Subject("DenseNet-121", zoo.densenet121, (96, 128, 161)),
        Subject("ResNeXt-50", zoo.resnext50_32x4d, (96, 128, 161)),
        Subject("EfficientNet-B0", zoo.efficientnet_b0, (96, 128, 161)),
    ]
QUICK = [Subject("ResNet-20, width 8", lambda: resnet20(width=8), (16, 21))]
