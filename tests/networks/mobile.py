"""Networks with depthwise convolutions, channel shuffles and concatenations."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["DenseNet", "MobileNetV2", "ShuffleNetV2"]

INVERTED_RESIDUALS = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
"""MobileNetV2's table: expansion, channels, repeats, stride of the first."""


def pool_all(x: Tensor) -> Tensor:
    """Return the mean of every channel, shape (batch, channels)."""
    return torch.flatten(functional.adaptive_avg_pool2d(x, 1), 1)


def conv_norm(
    source: int, target: int, size: int, stride: int = 1, *, groups: int = 1, act: bool = True
) -> list[nn.Module]:
    """Return convolution, batch norm and (with `act`) ReLU6."""
    conv = nn.Conv2d(source, target, size, stride, padding=size // 2, groups=groups, bias=False)
    return [conv, nn.BatchNorm2d(target)] + ([nn.ReLU6(inplace=True)] if act else [])


class InvertedResidual(nn.Module):
    """Expand by 1x1, filter depthwise, project by 1x1; a skip where the shapes agree."""

    def __init__(self, source: int, target: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = source * expansion
        expand = conv_norm(source, hidden, 1) if expansion > 1 else []
        depthwise = conv_norm(hidden, hidden, 3, stride, groups=hidden)
        self.layers = nn.Sequential(*expand, *depthwise, *conv_norm(hidden, target, 1, act=False))
        self.skip = stride == 1 and source == target

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x) if self.skip else self.layers(x)


class MobileNetV2(nn.Module):
    """MobileNetV2: 3,504,872 parameters with the default table, head and 1000 classes."""

    def __init__(
        self,
        table: Sequence[tuple[int, int, int, int]] = INVERTED_RESIDUALS,
        *,
        stem: int = 32,
        head: int = 1280,
        classes: int = 1000,
    ) -> None:
        super().__init__()
        layers = conv_norm(3, stem, 3, 2)
        channels = stem
        for expansion, width, repeats, stride in table:
            for i in range(repeats):
                layers.append(InvertedResidual(channels, width, stride if i == 0 else 1, expansion))
                channels = width
        self.features = nn.Sequential(*layers, *conv_norm(channels, head, 1))
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(head, classes))

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(pool_all(self.features(x)))


def shuffle(x: Tensor, groups: int = 2) -> Tensor:
    """Return `x` with its channels dealt out in turn to the groups."""
    batch, channels, height, width = x.shape
    return x.view(batch, groups, channels // groups, height, width).transpose(1, 2).reshape(x.shape)


class ShuffleUnit(nn.Module):
    """Half of the channels (all of them, twice, at stride 2) pass the branch; then concatenate and shuffle."""

    def __init__(self, source: int, target: int, stride: int) -> None:
        super().__init__()
        half = target // 2
        self.stride = stride
        entry = source if stride > 1 else source // 2
        self.branch = nn.Sequential(
            *self.pointwise(entry, half), *self.depthwise(half, stride), *self.pointwise(half, half)
        )
        if stride > 1:
            self.down = nn.Sequential(*self.depthwise(source, stride), *self.pointwise(source, half))

    @staticmethod
    def pointwise(source: int, target: int) -> list[nn.Module]:
        return [nn.Conv2d(source, target, 1, bias=False), nn.BatchNorm2d(target), nn.ReLU(inplace=True)]

    @staticmethod
    def depthwise(channels: int, stride: int) -> list[nn.Module]:
        conv = nn.Conv2d(channels, channels, 3, stride, padding=1, groups=channels, bias=False)
        return [conv, nn.BatchNorm2d(channels)]

    def forward(self, x: Tensor) -> Tensor:
        if self.stride > 1:
            return shuffle(torch.cat((self.down(x), self.branch(x)), dim=1))
        kept, worked = x.chunk(2, dim=1)
        return shuffle(torch.cat((kept, self.branch(worked)), dim=1))


class ShuffleNetV2(nn.Module):
    """ShuffleNetV2: 2,278,604 parameters with the default widths and 1000 classes."""

    def __init__(
        self,
        widths: Sequence[int] = (24, 116, 232, 464, 1024),
        repeats: Sequence[int] = (4, 8, 4),
        *,
        classes: int = 1000,
    ) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, widths[0], 3, 2, padding=1, bias=False), nn.BatchNorm2d(widths[0]), nn.ReLU(inplace=True)
        )
        self.pool = nn.MaxPool2d(3, 2, padding=1)
        units: list[nn.Module] = []
        for source, target, count in zip(widths, widths[1:], repeats, strict=False):
            units.append(ShuffleUnit(source, target, 2))
            units += [ShuffleUnit(target, target, 1) for _ in range(count - 1)]
        self.units = nn.Sequential(*units)
        self.last = nn.Sequential(*ShuffleUnit.pointwise(widths[-2], widths[-1]))
        self.head = nn.Linear(widths[-1], classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(pool_all(self.last(self.units(self.pool(self.stem(x))))))


class DenseLayer(nn.Module):
    """Norm, 1x1, norm, 3x3; the new channels are concatenated to all earlier ones."""

    def __init__(self, source: int, growth: int) -> None:
        super().__init__()
        self.norm1, self.conv1 = nn.BatchNorm2d(source), nn.Conv2d(source, 4 * growth, 1, bias=False)
        self.norm2, self.conv2 = nn.BatchNorm2d(4 * growth), nn.Conv2d(4 * growth, growth, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv1(torch.relu(self.norm1(x)))
        return torch.cat((x, self.conv2(torch.relu(self.norm2(h)))), dim=1)


class DenseNet(nn.Module):
    """DenseNet-BC: 7,978,856 parameters (DenseNet-121) with the default depths and 1000 classes."""

    def __init__(
        self, depths: Sequence[int] = (6, 12, 24, 16), *, growth: int = 32, stem: int = 64, classes: int = 1000
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(3, stem, 7, 2, padding=3, bias=False), nn.BatchNorm2d(stem)]
        layers += [nn.ReLU(), nn.MaxPool2d(3, 2, padding=1)]
        channels = stem
        for number, depth in enumerate(depths):
            layers += [DenseLayer(channels + i * growth, growth) for i in range(depth)]
            channels += depth * growth
            if number < len(depths) - 1:
                layers += [nn.BatchNorm2d(channels), nn.ReLU(), nn.Conv2d(channels, channels // 2, 1, bias=False)]
                layers.append(nn.AvgPool2d(2))
                channels //= 2
        self.features = nn.Sequential(*layers, nn.BatchNorm2d(channels), nn.ReLU())
        self.head = nn.Linear(channels, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(pool_all(self.features(x)))
