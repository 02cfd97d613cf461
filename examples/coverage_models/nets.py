"""Networks for the coverage table that no model library holds, small and in plain torch.

A graph convolution with a learned adjacency, a U-Net, a variational autoencoder, a denoising U-Net with time embedding
and attention, and torch's own recurrent and attention modules between two linear layers.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = [
    "VAE",
    "Attending",
    "Bags",
    "Bilinear",
    "Denoiser",
    "Encoding",
    "GraphNet",
    "Recurrent",
    "Translating",
    "UNet",
]


class GraphConv(nn.Module):
    """A X W over the joints of a skeleton: a learned adjacency, added to that of a ring or alone."""

    def __init__(self, inputs: int, outputs: int, joints: int, *, ring: bool) -> None:
        super().__init__()
        eye = torch.eye(joints)
        self.register_buffer("adjacency", (eye + eye.roll(1, 0) + eye.roll(-1, 0)) / 3 if ring else None)
        self.learned = nn.Parameter(torch.rand(joints, joints) * 0.1)
        self.linear, self.norm = nn.Linear(inputs, outputs), nn.BatchNorm1d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        adjacency = self.learned if self.adjacency is None else self.adjacency + self.learned
        mixed = adjacency @ self.linear(x)
        return F.relu(self.norm(mixed.transpose(1, 2)).transpose(1, 2))


class GraphNet(nn.Module):
    """Two graph convolutions, the mean over the joints, a class."""

    def __init__(self, *, joints: int = 7, width: int = 16, classes: int = 5, ring: bool = False) -> None:
        super().__init__()
        self.first = GraphConv(3, width, joints, ring=ring)
        self.second = GraphConv(width, width, joints, ring=ring)
        self.head = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.second(self.first(x)).mean(1))


def double(inputs: int, outputs: int) -> nn.Sequential:
    """Return two convolutions with batch norm."""
    layers: list[nn.Module] = []
    for source in (inputs, outputs):
        layers += [nn.Conv2d(source, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
    return nn.Sequential(*layers)


class UNet(nn.Module):
    """Two levels down, two up, joined by concatenation; one level up is learned, one interpolates."""

    def __init__(self, width: int = 8, classes: int = 3) -> None:
        super().__init__()
        self.top, self.middle, self.bottom = double(3, width), double(width, 2 * width), double(2 * width, 4 * width)
        self.up = nn.ConvTranspose2d(4 * width, 2 * width, 2, stride=2)
        self.join_middle, self.join_top = double(4 * width, 2 * width), double(3 * width, width)
        self.head = nn.Conv2d(width, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        top = self.top(x)
        middle = self.middle(F.max_pool2d(top, 2))
        low = self.bottom(F.max_pool2d(middle, 2))
        low = self.join_middle(torch.cat([middle, self.up(low)], 1))
        low = F.interpolate(low, scale_factor=2, mode="bilinear", align_corners=False)
        return self.head(self.join_top(torch.cat([top, low], 1)))


class VAE(nn.Module):
    """A variational autoencoder: mean and spread of a code, one sample, the picture again."""

    def __init__(self, width: int = 24, code: int = 6, pixels: int = 64) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(pixels, width), nn.ReLU())
        self.mean, self.log_variance = nn.Linear(width, code), nn.Linear(width, code)
        self.decoder = nn.Sequential(nn.Linear(code, width), nn.ReLU(), nn.Linear(width, pixels), nn.Sigmoid())

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        hidden = self.encoder(x.flatten(1))
        mean, log_variance = self.mean(hidden), self.log_variance(hidden)
        code = mean + torch.randn_like(mean) * torch.exp(0.5 * log_variance)
        return {"picture": self.decoder(code).reshape(x.shape), "mean": mean, "log_variance": log_variance}


class Timed(nn.Module):
    """A residual block of a denoiser: the time shifts the channels between two convolutions."""

    def __init__(self, inputs: int, outputs: int, time: int) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.GroupNorm(2, inputs), nn.SiLU(), nn.Conv2d(inputs, outputs, 3, padding=1))
        self.time = nn.Linear(time, outputs)
        self.second = nn.Sequential(nn.GroupNorm(2, outputs), nn.SiLU(), nn.Conv2d(outputs, outputs, 3, padding=1))
        self.skip = nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        hidden = self.first(x) + self.time(F.silu(time))[:, :, None, None]
        return self.second(hidden) + self.skip(x)


class Spatial(nn.Module):
    """Self-attention over the pixels, softmax written out."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm, self.qkv = nn.GroupNorm(2, channels), nn.Conv2d(channels, 3 * channels, 1)
        self.out = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = self.qkv(self.norm(x)).flatten(2).chunk(3, 1)
        scores = torch.einsum("bci,bcj->bij", query, key) / math.sqrt(query.shape[1])
        mixed = torch.einsum("bij,bcj->bci", scores.softmax(-1), value)
        return x + self.out(mixed.reshape(x.shape))


class Denoiser(nn.Module):
    """A small diffusion U-Net: sinusoidal time embedding, one level, attention at the bottom."""

    def __init__(self, width: int = 8, time: int = 16) -> None:
        super().__init__()
        self.width = width
        self.time = nn.Sequential(nn.Linear(width, time), nn.SiLU(), nn.Linear(time, time))
        self.entry = nn.Conv2d(3, width, 3, padding=1)
        self.down = nn.ModuleList([Timed(width, width, time), Timed(width, 2 * width, time)])
        self.shrink = nn.Conv2d(width, width, 3, stride=2, padding=1)
        self.middle, self.attend = Timed(2 * width, 2 * width, time), Spatial(2 * width)
        self.grow = nn.Conv2d(2 * width, width, 3, padding=1)
        self.up = Timed(2 * width, width, time)
        self.head = nn.Sequential(nn.GroupNorm(2, width), nn.SiLU(), nn.Conv2d(width, 3, 3, padding=1))

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        half = self.width // 2
        rates = torch.exp(-math.log(10_000) * torch.arange(half, dtype=x.dtype, device=x.device) / half)
        angles = time[:, None] * rates
        embedded = self.time(torch.cat([angles.sin(), angles.cos()], 1))
        top = self.down[0](self.entry(x), embedded)
        low = self.attend(self.middle(self.down[1](self.shrink(top), embedded), embedded))
        low = self.grow(F.interpolate(low, scale_factor=2.0, mode="nearest"))
        return self.head(self.up(torch.cat([low, top], 1), embedded))


class Recurrent(nn.Module):
    """A recurrent module of torch over a sequence; the mean of all steps is read."""

    def __init__(self, kind: type[nn.RNNBase], width: int = 8, **options: object) -> None:
        super().__init__()
        self.core = kind(6, width, batch_first=True, **options)
        self.head = nn.Linear(width * (1 + self.core.bidirectional), 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.core(x)[0].mean(1))


class Attending(nn.Module):
    """torch's multi-head attention from one sequence to another."""

    def __init__(self, width: int = 12, heads: int = 3) -> None:
        super().__init__()
        self.left, self.right = nn.Linear(6, width), nn.Linear(5, width)
        self.core = nn.MultiheadAttention(width, heads, batch_first=True)
        self.head = nn.Linear(width, 4)

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        other = self.right(right)
        return self.head(self.core(self.left(left), other, other, need_weights=False)[0])


class Encoding(nn.Module):
    """torch's transformer encoder between two linear layers."""

    def __init__(self, width: int = 12, heads: int = 3) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(width, heads, 2 * width, batch_first=True, norm_first=True)
        self.entry, self.head = nn.Linear(6, width), nn.Linear(width, 4)
        self.core = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.core(self.entry(x)).mean(1))


class Bilinear(nn.Module):
    """x^T W y of two layers."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.left, self.right, self.core = nn.Linear(6, width), nn.Linear(5, width), nn.Bilinear(width, width, 4)

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        return self.core(F.relu(self.left(left)), F.relu(self.right(right)))


class Bags(nn.Module):
    """Sums over bags of embeddings."""

    def __init__(self, tokens: int = 20, width: int = 8) -> None:
        super().__init__()
        self.core, self.head = nn.EmbeddingBag(tokens, width, mode="sum"), nn.Linear(width, 4)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(F.relu(self.core(tokens)))


class Translating(nn.Module):
    """torch's whole transformer, encoder and decoder."""

    def __init__(self, width: int = 12, heads: int = 3) -> None:
        super().__init__()
        self.left, self.right, self.head = nn.Linear(6, width), nn.Linear(5, width), nn.Linear(width, 4)
        self.core = nn.Transformer(width, heads, 1, 1, 2 * width, batch_first=True)

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        return self.head(self.core(self.left(left), self.right(right)))
