"""Networks without branches: perceptrons, LeNet, VGG."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

__all__ = ["MLP", "VGG", "LeNet", "lenet_300_100"]


class MLP(nn.Module):
    """Linear layers with ReLU between them."""

    def __init__(self, sizes: Sequence[int] = (12, 16, 14, 5), *, bias: bool = True) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(a, b, bias=bias) for a, b in pairwise(sizes))

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers[:-1]:
            x = torch.relu(layer(x))
        return self.layers[-1](x)


def lenet_300_100() -> MLP:
    """LeNet-300-100: 784 inputs, 10 classes, 266,610 parameters."""
    return MLP((784, 300, 100, 10))


class LeNet(nn.Module):
    """LeNet-5 with ReLU and max pooling; the flatten gives one channel several columns of the linear layer."""

    def __init__(self, *, channels: int = 1, image: int = 28, classes: int = 10) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, 6, 5, padding=2)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.pool = nn.MaxPool2d(2)
        self.fc1 = nn.Linear(16 * ((image // 2 - 4) // 2) ** 2, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(torch.relu(self.conv1(x)))
        x = self.pool(torch.relu(self.conv2(x)))
        x = torch.relu(self.fc1(torch.flatten(x, 1)))
        return self.fc3(torch.relu(self.fc2(x)))


class VGG(nn.Module):
    """VGG for small images: 3x3 convolutions, two linear layers on the flattened map; 0 in `plan` is a 2x2 pooling."""

    def __init__(
        self,
        plan: Sequence[int] = (8, 0, 12, 0, 16, 16, 0),
        *,
        norm: bool = True,
        image: int = 32,
        hidden: int = 24,
        classes: int = 10,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for width in plan:
            if width == 0:
                layers.append(nn.MaxPool2d(2))
                continue
            layers.append(nn.Conv2d(channels, width, 3, padding=1))
            layers += [nn.BatchNorm2d(width)] if norm else []
            layers.append(nn.ReLU(inplace=True))
            channels = width
        side = image // 2 ** sum(width == 0 for width in plan)
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(
            nn.Linear(channels * side * side, hidden), nn.ReLU(inplace=True), nn.Dropout(), nn.Linear(hidden, classes)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(torch.flatten(self.features(x), 1))
