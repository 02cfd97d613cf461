"""Networks of true size for the benchmarks, in plain torch, with torchvision's shapes and parameter counts."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = [
    "VisionTransformer",
    "lenet_5",
    "lenet_300_100",
    "mobilenet_v2",
    "resnet8",
    "resnet18",
    "resnet20",
    "resnet50",
    "vgg16",
    "vgg_small",
    "vit_b",
]


def lenet_300_100() -> nn.Sequential:
    """Return the fully connected network for 28 x 28 digits (0.27 M parameters)."""
    hidden = [nn.Linear(784, 300), nn.ReLU(), nn.Linear(300, 100), nn.ReLU()]
    return nn.Sequential(nn.Flatten(), *hidden, nn.Linear(100, 10))


def lenet_5() -> nn.Sequential:
    """Return the convolutional network for 28 x 28 digits (0.43 M parameters)."""
    features = [nn.Conv2d(1, 20, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(20, 50, 5), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*features, nn.Flatten(), nn.Linear(800, 500), nn.ReLU(), nn.Linear(500, 10))


def conv(inputs: int, outputs: int, kernel: int, *, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """Return a convolution that keeps the size at stride 1, followed by its batch norm."""
    padding = kernel // 2
    layer = nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=padding, groups=groups, bias=False)
    return nn.Sequential(layer, nn.BatchNorm2d(outputs))


class Basic(nn.Module):
    """Two 3x3 convolutions around a skip."""

    expansion = 1

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(conv(inputs, width, 3, stride=stride), nn.ReLU(), conv(width, width, 3))
        same = stride == 1 and inputs == width
        self.skip = nn.Identity() if same else conv(inputs, width, 1, stride=stride)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.body(x) + self.skip(x))


class Bottleneck(nn.Module):
    """A narrow 3x3 convolution between two 1x1 ones, around a skip."""

    expansion = 4

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        outputs = width * self.expansion
        narrow, wide = conv(width, width, 3, stride=stride), conv(width, outputs, 1)
        self.body = nn.Sequential(conv(inputs, width, 1), nn.ReLU(), narrow, nn.ReLU(), wide)
        same = stride == 1 and inputs == outputs
        self.skip = nn.Identity() if same else conv(inputs, outputs, 1, stride=stride)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.body(x) + self.skip(x))


def stages(block: type[Basic] | type[Bottleneck], depths: list[int], width: int) -> tuple[nn.Sequential, int]:
    """Return the stages of a residual network, each twice as wide as the last, and the channels they end with."""
    blocks: list[nn.Module] = []
    channels = width
    for stage, depth in enumerate(depths):
        for place in range(depth):
            stride = 2 if stage > 0 and place == 0 else 1
            blocks.append(block(channels, width << stage, stride))
            channels = (width << stage) * block.expansion
    return nn.Sequential(*blocks), channels


def resnet(block: type[Basic] | type[Bottleneck], depths: list[int], width: int = 64) -> nn.Sequential:
    """Return a residual network for 224 x 224 pictures."""
    stem = nn.Sequential(conv(3, width, 7, stride=2), nn.ReLU(), nn.MaxPool2d(3, stride=2, padding=1))
    body, channels = stages(block, depths, width)
    return nn.Sequential(stem, body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 1000))


def resnet18() -> nn.Sequential:
    """Return ResNet-18 (11.7 M parameters)."""
    return resnet(Basic, [2, 2, 2, 2])


def resnet50(*, width: int = 64) -> nn.Sequential:
    """Return ResNet-50 (25.6 M parameters)."""
    return resnet(Bottleneck, [3, 4, 6, 3], width)


def resnet8(*, width: int = 16, classes: int = 10) -> nn.Sequential:
    """Return ResNet-8 for 32 x 32 pictures (0.08 M parameters), with projections where the shape changes."""
    return small_resnet(1, width, classes)


def resnet20(*, width: int = 16, classes: int = 10) -> nn.Sequential:
    """Return ResNet-20 for 32 x 32 pictures (0.27 M parameters), with projections where the shape changes."""
    return small_resnet(3, width, classes)


def small_resnet(depth: int, width: int, classes: int, *, stride: int = 1) -> nn.Sequential:
    """Return a residual network for 32 x 32 pictures, of three stages of so many blocks; the stem may take strides."""
    body, channels = stages(Basic, [depth] * 3, width)
    head = nn.Linear(channels, classes)
    return nn.Sequential(conv(3, width, 3, stride=stride), nn.ReLU(), body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), head)


def vgg16(*, width: int = 64, classes: int = 10) -> nn.Sequential:
    """Return VGG-16 with batch norm for 32 x 32 pictures (14.7 M parameters)."""
    layers, channels = pooled_stages(((1, 2), (2, 2), (4, 3), (8, 3), (8, 3)), width)
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels, classes))


def vgg_small(*, width: int = 64, classes: int = 10) -> nn.Sequential:
    """Return six convolutions in VGG's manner for 32 x 32 pictures (1.1 M parameters)."""
    layers, channels = pooled_stages(((1, 2), (2, 2), (4, 2)), width)
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes))


def pooled_stages(plan: tuple[tuple[int, int], ...], width: int) -> tuple[list[nn.Module], int]:
    """Return stages of (times the width, convolutions), each before a pooling, and the channels they end with."""
    layers: list[nn.Module] = []
    channels = 3
    for multiple, depth in plan:
        for _ in range(depth):
            layers += [conv(channels, width * multiple, 3), nn.ReLU()]
            channels = width * multiple
        layers.append(nn.MaxPool2d(2))
    return layers, channels


class InvertedResidual(nn.Module):
    """A depthwise 3x3 convolution between two 1x1 ones, with a skip where the shape stays."""

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = inputs * expansion
        widen = [] if expansion == 1 else [conv(inputs, wide, 1), nn.ReLU6()]
        depthwise = conv(wide, wide, 3, stride=stride, groups=wide)
        self.body = nn.Sequential(*widen, depthwise, nn.ReLU6(), conv(wide, outputs, 1))
        self.has_skip = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x) if self.has_skip else self.body(x)


def mobilenet_v2(*, width: float = 1.0) -> nn.Sequential:
    """Return MobileNetV2 (3.5 M parameters at width 1)."""
    plan = [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)]
    inputs, last = int(32 * width), int(1280 * width)
    layers: list[nn.Module] = [conv(3, inputs, 3, stride=2), nn.ReLU6()]
    for expansion, channels, depth, stride in plan:
        outputs = int(channels * width)
        for place in range(depth):
            layers.append(InvertedResidual(inputs, outputs, stride if place == 0 else 1, expansion))
            inputs = outputs
    layers += [conv(inputs, last, 1), nn.ReLU6(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(last, 1000)]
    return nn.Sequential(*layers)


class Attention(nn.Module):
    """Self-attention with all heads in one projection."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        batch, tokens, width = x.shape
        query, key, value = self.qkv(x).reshape(batch, tokens, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(query, key, value)
        return self.out(mixed.transpose(1, 2).reshape(batch, tokens, width))


class Encoder(nn.Module):
    """One block of a vision transformer, normalised first."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.attend = nn.Sequential(nn.LayerNorm(width), Attention(width, heads))
        self.think = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attend(x)
        return x + self.think(x)


class VisionTransformer(nn.Module):
    """Patches as tokens, a class token before them, the class read from that token."""

    def __init__(self, *, size: int, patch: int, width: int, depth: int, heads: int, classes: int) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, width, patch, stride=patch)
        self.token = nn.Parameter(torch.zeros(1, 1, width))
        self.position = nn.Parameter(torch.randn(1, (size // patch) ** 2 + 1, width) * 0.02)
        self.encoder = nn.Sequential(*(Encoder(width, heads) for _ in range(depth)), nn.LayerNorm(width))
        self.head = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(len(x), -1, -1), x], dim=1) + self.position
        return self.head(self.encoder(x)[:, 0])


def vit_b() -> VisionTransformer:
    """Return ViT-B/16 (86.6 M parameters)."""
    return VisionTransformer(size=224, patch=16, width=768, depth=12, heads=12, classes=1000)
