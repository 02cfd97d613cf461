"""Residual networks: basic and bottleneck blocks, ResNeXt, squeeze-excitation."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["BasicBlock", "Bottleneck", "ResNet", "resnet18", "resnet20", "resnet50", "resnext50", "se_resnet"]


def conv_norm(source: int, target: int, size: int, *, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """Return a convolution without bias that keeps the image size at stride 1, and its batch norm."""
    conv = nn.Conv2d(source, target, size, stride, padding=size // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(target))


class ZeroPadShortcut(nn.Module):
    """Option A of the ResNet paper: every second pixel, new channels are zero; no weights."""

    def __init__(self, source: int, target: int, stride: int) -> None:
        super().__init__()
        self.new, self.stride = target - source, stride

    def forward(self, x: Tensor) -> Tensor:
        x = x[:, :, :: self.stride, :: self.stride]
        return functional.pad(x, (0, 0, 0, 0, self.new // 2, self.new - self.new // 2))


def shortcut(source: int, target: int, stride: int, option: str) -> nn.Module:
    """Return the identity where shapes agree, else option "A" (zero padding) or "B" (1x1 convolution)."""
    if stride == 1 and source == target:
        return nn.Identity()
    if option == "A":
        return ZeroPadShortcut(source, target, stride)
    return conv_norm(source, target, 1, stride=stride)


class SqueezeExcitation(nn.Module):
    """Multiply every channel by a gate in (0, 1) that is computed from the channel means."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(channels, hidden, 1)
        self.excite = nn.Conv2d(hidden, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        gate = torch.relu(self.squeeze(functional.adaptive_avg_pool2d(x, 1)))
        return x * torch.sigmoid(self.excite(gate))


class BasicBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut."""

    expansion = 1

    def __init__(self, source: int, width: int, stride: int, *, option: str, squeeze: int | None = None) -> None:
        super().__init__()
        self.conv1 = conv_norm(source, width, 3, stride=stride)
        self.conv2 = conv_norm(width, width, 3)
        self.squeeze = SqueezeExcitation(width, squeeze) if squeeze else nn.Identity()
        self.shortcut = shortcut(source, width, stride, option)

    def forward(self, x: Tensor) -> Tensor:
        h = self.squeeze(self.conv2(torch.relu(self.conv1(x))))
        return torch.relu(h + self.shortcut(x))


class Bottleneck(nn.Module):
    """1x1, 3x3 (grouped in ResNeXt), 1x1 convolutions beside a shortcut; the stride sits on the 3x3."""

    expansion = 4

    def __init__(
        self, source: int, width: int, stride: int, *, option: str, groups: int = 1, inner: float = 1.0
    ) -> None:
        super().__init__()
        middle = int(width * inner)
        self.conv1 = conv_norm(source, middle, 1)
        self.conv2 = conv_norm(middle, middle, 3, stride=stride, groups=groups)
        self.conv3 = conv_norm(middle, 4 * width, 1)
        self.shortcut = shortcut(source, 4 * width, stride, option)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.relu(self.conv2(torch.relu(self.conv1(x))))
        return torch.relu(self.conv3(h) + self.shortcut(x))


class ResNet(nn.Module):
    """Stages of residual blocks; every stage after the first halves the image and doubles the width."""

    def __init__(
        self,
        block: Callable[..., nn.Module],
        depths: Sequence[int],
        *,
        width: int,
        stem: str,
        option: str = "B",
        classes: int = 10,
        **block_options: float,
    ) -> None:
        super().__init__()
        self.stem = conv_norm(3, width, 3) if stem == "cifar" else conv_norm(3, width, 7, stride=2)
        self.pool = nn.Identity() if stem == "cifar" else nn.MaxPool2d(3, 2, padding=1)
        channels = width
        stages = []
        for number, depth in enumerate(depths):
            blocks = []
            for i in range(depth):
                stride = 2 if number and i == 0 else 1
                blocks.append(block(channels, width << number, stride, option=option, **block_options))
                channels = (width << number) * block.expansion
            stages.append(nn.Sequential(*blocks))
        self.stages = nn.Sequential(*stages)
        self.head = nn.Linear(channels, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stages(self.pool(torch.relu(self.stem(x))))
        return self.head(torch.flatten(functional.adaptive_avg_pool2d(x, 1), 1))


def resnet20(width: int = 16, *, option: str = "A") -> ResNet:
    """ResNet-20 for 32x32 images: 0.27 M parameters at width 16."""
    return ResNet(BasicBlock, (3, 3, 3), width=width, stem="cifar", option=option)


def resnet18(width: int = 64, *, classes: int = 1000) -> ResNet:
    """ResNet-18: 11,689,512 parameters at width 64."""
    return ResNet(BasicBlock, (2, 2, 2, 2), width=width, stem="imagenet", classes=classes)


def resnet50(width: int = 64, *, classes: int = 1000) -> ResNet:
    """ResNet-50: 25,557,032 parameters at width 64."""
    return ResNet(Bottleneck, (3, 4, 6, 3), width=width, stem="imagenet", classes=classes)


def resnext50(width: int = 64, *, groups: int = 32, classes: int = 1000) -> ResNet:
    """ResNeXt-50: the middle of each block is twice as wide, in groups; 25,028,904 parameters at 64 and 32x4d."""
    return ResNet(Bottleneck, (3, 4, 6, 3), width=width, stem="imagenet", classes=classes, groups=groups, inner=2.0)


def se_resnet(width: int = 8, *, squeeze: int = 4) -> ResNet:
    """Small residual network with squeeze-excitation in every block."""
    return ResNet(BasicBlock, (1, 1, 1), width=width, stem="cifar", squeeze=squeeze)
