"""A grammar of small networks: a sentence says what to build, and building it gives a plain torch module.

    sentence -> [image] block* [readout block*] linear
    block    -> conv | depthwise | layer | pool | gate | residual(block*) | concat(block*, block*)

Blocks are frozen and print as the code that makes them, so a failing sentence can be pasted into a test. A block adapts
to where it stands: on vectors a convolution is a linear layer and a pool does nothing, kernels that do not fit become
1 x 1, and inside a residual or a concatenation every block keeps the size of the image.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import gcd

import torch
from torch import Tensor, nn

__all__ = ["Block", "Concat", "Conv", "Depthwise", "Gate", "GrammarNet", "Layer", "Pool", "Residual", "Sentence"]

CHANNELS, SIDE, CLASSES = 3, 10, 3
LARGER = (13, 11)
"""Height and width of the second image that a network without flatten takes."""


@dataclass(frozen=True)
class Shape:
    """What a block gets: vectors or images.

    Parameters
    ----------
    channels : int
    side : int or None
        Height and width of the images; None for vectors.
    inside : bool
        Whether the block is part of a branch and has to keep the side.
    """

    channels: int
    side: int | None
    inside: bool = False


Built = tuple[nn.Module, Shape]


class Block:
    """A production of the grammar."""

    def build(self, given: Shape) -> Built:
        """Return the module, and the shape of what it makes of `given`."""
        raise NotImplementedError


@dataclass(frozen=True)
class Conv(Block):
    """A convolution, or a linear layer on vectors.

    Parameters
    ----------
    width : int
        Channels that come out.
    kernel, stride, dilation : int
    groups : int
        Lowered to a common divisor of the channels.
    padding : {"same", "none", "more"}
    bias : bool
    """

    width: int = 4
    kernel: int = 1
    stride: int = 1
    dilation: int = 1
    groups: int = 1
    padding: str = "same"
    bias: bool = True

    def build(self, given: Shape) -> Built:
        made = replace(given, channels=self.width)
        if given.side is None:
            return nn.Linear(given.channels, self.width, bias=self.bias), made
        reach = self.dilation * (self.kernel - 1)
        if reach >= given.side:
            return replace(self, kernel=1).build(given)
        padding = reach // 2 if given.inside else {"none": 0, "same": reach // 2, "more": reach // 2 + 1}[self.padding]
        stride = 1 if given.inside else self.stride
        layer = nn.Conv2d(
            given.channels,
            self.width,
            self.kernel,
            stride=stride,
            padding=padding,
            dilation=self.dilation,
            groups=gcd(self.groups, given.channels, self.width),
            bias=self.bias,
        )
        return layer, replace(made, side=(given.side + 2 * padding - reach - 1) // stride + 1)


@dataclass(frozen=True)
class Depthwise(Block):
    """A convolution that gives `times` channels for each one that it gets."""

    times: int = 1
    kernel: int = 3
    stride: int = 1

    def build(self, given: Shape) -> Built:
        width = given.channels * self.times
        return Conv(width, self.kernel, self.stride, groups=given.channels).build(given)


class ChannelNorm(nn.Module):
    """A layer norm over the channels of each pixel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


LAYERS: dict[str, Callable[[int, bool], nn.Module]] = {
    "relu": lambda channels, images: nn.ReLU(),
    "gelu": lambda channels, images: nn.GELU(),
    "sigmoid": lambda channels, images: nn.Sigmoid(),
    "hardswish": lambda channels, images: nn.Hardswish(),
    "dropout": lambda channels, images: nn.Dropout(0.5),
    "batch_norm": lambda channels, images: nn.BatchNorm2d(channels) if images else nn.BatchNorm1d(channels),
    "layer_norm": lambda channels, images: ChannelNorm(channels) if images else nn.LayerNorm(channels),
    "group_norm": lambda channels, images: nn.GroupNorm(1 if channels % 2 or channels == 2 else 2, channels),
}


@dataclass(frozen=True)
class Layer(Block):
    """A layer that keeps the shape: one of `LAYERS`.

    A norm over one channel does nothing here: all that it gives is its bias, which the graph does not know.
    """

    kind: str = "relu"

    def build(self, given: Shape) -> Built:
        if given.channels == 1 and self.kind in ("layer_norm", "group_norm"):
            return nn.Identity(), given
        return LAYERS[self.kind](given.channels, given.side is not None), given


@dataclass(frozen=True)
class Pool(Block):
    """A pooling by `kind`, max or avg: halves the side, or keeps it inside a branch (with padding)."""

    kind: str = "max"

    def build(self, given: Shape) -> Built:
        pool = nn.MaxPool2d if self.kind == "max" else nn.AvgPool2d
        if given.side is None or (given.side < 2 and not given.inside):
            return nn.Identity(), given
        if given.inside:
            return pool(3, stride=1, padding=1), given
        return pool(2), replace(given, side=given.side // 2)


class Gated(nn.Module):
    """Squeeze and excitation: channels times a gate that all channels decide."""

    def __init__(self, squeeze: nn.Module) -> None:
        super().__init__()
        self.squeeze = squeeze

    def forward(self, x: Tensor) -> Tensor:
        return x * self.squeeze(x)


@dataclass(frozen=True)
class Gate(Block):
    """A squeeze-excitation gate with `width` hidden channels."""

    width: int = 2

    def build(self, given: Shape) -> Built:
        pool = nn.Identity() if given.side is None else nn.AdaptiveAvgPool2d(1)
        pooled = replace(given, side=given.side and 1)
        squeeze, _ = built((Conv(self.width), Layer("relu"), Conv(given.channels), Layer("sigmoid")), pooled)
        return Gated(nn.Sequential(pool, *squeeze)), given


class Sum(nn.Module):
    """What the body makes of the input, plus what the skip makes of it."""

    def __init__(self, body: nn.Module, skip: nn.Module) -> None:
        super().__init__()
        self.body, self.skip = body, skip

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x) + self.skip(x)


@dataclass(frozen=True)
class Residual(Block):
    """A body around a skip; with `width` channels and half the side where the skip is a projection."""

    body: tuple[Block, ...] = ()
    width: int | None = None

    def build(self, given: Shape) -> Built:
        first = Conv(self.width or given.channels, 1, 2 if self.width else 1)
        skip, made = first.build(given) if self.width else (nn.Identity(), given)
        start = (replace(first, kernel=3),) if self.width else ()
        head, middle = built(start, given)
        body, grown = built(self.body, replace(middle, inside=True))
        last, _ = Conv(made.channels).build(replace(grown, inside=True))
        return Sum(nn.Sequential(*head, *body, last), skip), made


class Joined(nn.Module):
    """The channels of all branches, one after the other."""

    def __init__(self, branches: list[nn.Module]) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([branch(x) for branch in self.branches], dim=1)


@dataclass(frozen=True)
class Concat(Block):
    """Two bodies side by side; an empty one hands its input on."""

    left: tuple[Block, ...] = ()
    right: tuple[Block, ...] = ()

    def build(self, given: Shape) -> Built:
        sides = [built(branch, replace(given, inside=True)) for branch in (self.left, self.right)]
        made = replace(given, channels=sum(shape.channels for _, shape in sides))
        return Joined([branch for branch, _ in sides]), made


def built(blocks: tuple[Block, ...], given: Shape) -> tuple[nn.Sequential, Shape]:
    """Return the blocks one after the other."""
    layers = []
    for block in blocks:
        layer, given = block.build(given)
        layers.append(layer)
    return nn.Sequential(*layers), given


@dataclass(frozen=True)
class Sentence:
    """A whole network.

    Parameters
    ----------
    body : tuple of Block
    images : bool
        Whether the input is images or vectors.
    readout : {"pool", "flatten"}
        How images become vectors; only after "pool" the network takes images of any size.
    tail : tuple of Block
        What follows the readout.
    seed : int
        Decides weights, biases and batch norm statistics.
    """

    body: tuple[Block, ...] = ()
    images: bool = True
    readout: str = "pool"
    tail: tuple[Block, ...] = ()
    seed: int = 0

    def model(self) -> "GrammarNet":
        """Return the network in eval mode, every bias and statistic random."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            model = GrammarNet(self)
            draw_constants(model)
        return model.eval()

    def inputs(self) -> list[Tensor]:
        """Return two inputs that the network takes; other sizes where it can, else another number of examples."""
        generator = torch.Generator().manual_seed(self.seed)
        size = (SIDE, SIDE) if self.images else ()
        other = LARGER if self.images and self.readout == "pool" else size
        return [torch.randn(n, CHANNELS, *sides, generator=generator) for n, sides in ((2, size), (3, other))]


class GrammarNet(nn.Module):
    """The network that a sentence describes."""

    def __init__(self, sentence: Sentence) -> None:
        super().__init__()
        self.body, shape = built(sentence.body, Shape(CHANNELS, SIDE if sentence.images else None))
        self.readout: nn.Module = nn.Identity()
        if shape.side is not None:
            pool = nn.AdaptiveAvgPool2d(1) if sentence.readout == "pool" else nn.Identity()
            self.readout = nn.Sequential(pool, nn.Flatten())
            features = shape.channels * (1 if sentence.readout == "pool" else shape.side**2)
            shape = Shape(features, None)
        self.tail, shape = built(sentence.tail, shape)
        self.head = nn.Linear(shape.channels, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.tail(self.readout(self.body(x))))


def draw_constants(model: nn.Module) -> None:
    """Draw biases and running means at random, gains and running variances around 1, in place."""
    for module in model.modules():
        for name, tensor in [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]:
            if tensor.dim() == 1 and tensor.is_floating_point():
                gain = name in ("weight", "running_var")
                tensor.data.copy_(torch.rand(tensor.shape) + 0.5 if gain else torch.randn(tensor.shape))
