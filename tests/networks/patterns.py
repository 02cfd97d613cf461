"""Small networks, each built around one pattern that is hard to follow from parameters to units."""

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = [
    "BranchOnSum",
    "ChunkedProjection",
    "ConvNorm",
    "Einsum",
    "EmbeddingNet",
    "GatedLinear",
    "LayerScale",
    "NamedInputs",
    "NormedWeight",
    "PixelShuffle",
    "RawMatmul",
    "ScaleByMax",
    "SharedModule",
    "SignalNet",
    "TiedEmbedding",
    "TransposedConv",
    "TwoInputs",
    "VolumeNet",
]


def random_weight(*shape: int) -> nn.Parameter:
    """Return a parameter with normal entries."""
    return nn.Parameter(torch.randn(*shape) / shape[-1] ** 0.5)


class RawMatmul(nn.Module):
    """`x @ weight` with parameters of the module itself, stored (in, out)."""

    def __init__(self) -> None:
        super().__init__()
        self.weight1, self.weight2 = random_weight(10, 12), random_weight(12, 4)
        self.bias = nn.Parameter(torch.randn(12))

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x @ self.weight1 + self.bias) @ self.weight2


class ChunkedProjection(nn.Module):
    """One parameter, cut in two by `chunk`; each half is a projection of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.in_proj_weight = random_weight(16, 10)
        self.out = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        first, second = self.in_proj_weight.chunk(2)
        return self.out(torch.relu(functional.linear(x, first)) + functional.linear(x, second))


class TransposedConv(nn.Module):
    """Encoder and decoder: the transposed convolutions have weights (in, out / groups, ...)."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Conv2d(3, 8, 3, 2, padding=1)
        self.up1 = nn.ConvTranspose2d(8, 6, 4, 2, padding=1, groups=2)
        self.up2 = nn.ConvTranspose2d(6, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.up2(torch.relu(self.up1(torch.relu(self.down(x)))))


class SignalNet(nn.Module):
    """One-dimensional convolutions, dilated and strided."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv1d(2, 8, 5, padding=2)
        self.conv2 = nn.Conv1d(8, 12, 3, 2, dilation=2)
        self.norm = nn.BatchNorm1d(12)
        self.head = nn.Linear(12, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.max_pool1d(torch.relu(self.conv1(x)), 2)
        return self.head(functional.silu(self.norm(self.conv2(x))).mean(dim=2))


class VolumeNet(nn.Module):
    """Three-dimensional convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv3d(1, 6, 3, padding=1), nn.Conv3d(6, 8, 3, 2, padding=1, groups=2)
        self.pool, self.head = nn.AvgPool3d(2), nn.Linear(64, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.flatten(self.pool(torch.relu(self.conv2(torch.relu(self.conv1(x))))), 1))


class ConvNorm(nn.Module):
    """Two convolutions with a norm that mixes: over groups of channels, or over the positions of one channel."""

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 12, 3, padding=1)
        self.norm = norm
        self.conv2, self.head = nn.Conv2d(12, 8, 3, 2, padding=1), nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.gelu(self.norm(self.conv1(x)))
        return self.head(torch.relu(self.conv2(x)).mean(dim=(2, 3)))


class EmbeddingNet(nn.Module):
    """Integer tokens: every row of the table is one input unit."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.hidden, self.head = nn.Embedding(20, 8), nn.Linear(8, 12), nn.Linear(12, 4)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(torch.relu(self.hidden(self.table(tokens))).mean(dim=1))


class TiedEmbedding(nn.Module):
    """The table reads tokens in and, transposed, scores them on the way out."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.hidden = nn.Embedding(20, 8), nn.Linear(8, 8)
        self.scores = nn.Linear(8, 20, bias=False)
        self.scores.weight = self.table.weight

    def forward(self, tokens: Tensor) -> Tensor:
        return self.scores(torch.relu(self.hidden(self.table(tokens))))


class SharedModule(nn.Module):
    """One linear layer called twice."""

    def __init__(self) -> None:
        super().__init__()
        self.entry, self.shared, self.head = nn.Linear(6, 10), nn.Linear(10, 10), nn.Linear(10, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.shared(torch.relu(self.entry(x))))
        return self.head(torch.relu(self.shared(x)))


class NormedWeight(nn.Module):
    """Weight norm: the mask lies on the direction, the length is a gate."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.utils.parametrizations.weight_norm(nn.Linear(8, 12))
        self.head = nn.Linear(12, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.relu(self.hidden(x)))


class LayerScale(nn.Module):
    """A residual branch that a per-channel parameter scales."""

    def __init__(self) -> None:
        super().__init__()
        self.entry, self.branch, self.head = nn.Linear(8, 12), nn.Linear(12, 12), nn.Linear(12, 4)
        self.scale = nn.Parameter(torch.full((12,), 0.1))

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.entry(x))
        return self.head(x + self.scale * torch.relu(self.branch(x)))


class PixelShuffle(nn.Module):
    """Four channels become the four pixels of one channel, and back."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 16, 3, padding=1), nn.Conv2d(4, 6, 3, padding=1)
        self.conv3 = nn.Conv2d(24, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.pixel_shuffle(torch.relu(self.conv1(x)), 2)
        return self.conv3(functional.pixel_unshuffle(torch.relu(self.conv2(x)), 2))


class Einsum(nn.Module):
    """Per-head projections by einsum, a tensor of rank 3 as the parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.weight, self.out = random_weight(2, 6, 8), random_weight(2, 6, 4)

    def forward(self, x: Tensor) -> Tensor:
        heads = torch.relu(torch.einsum("bti,hoi->bhto", x, self.weight))
        return torch.einsum("bhto,hoc->btc", heads, self.out)


class GatedLinear(nn.Module):
    """A product of two projections: sigmoid-gated (GLU), or plain (each factor may be zero)."""

    def __init__(self, *, gated: bool = True) -> None:
        super().__init__()
        self.gated = gated
        self.joint, self.head = nn.Linear(8, 24), nn.Linear(12, 4)

    def forward(self, x: Tensor) -> Tensor:
        value, gate = self.joint(x).chunk(2, dim=-1)
        return self.head(value * torch.sigmoid(gate) if self.gated else value * gate)


class TwoInputs(nn.Module):
    """Two inputs of different width, concatenated after one layer each."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right, self.head = nn.Linear(6, 8), nn.Linear(4, 5), nn.Linear(13, 4)

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        return self.head(torch.relu(torch.cat((self.left(left), self.right(right)), dim=1)))


class NamedInputs(TwoInputs):
    """The same with a dictionary of outputs; its inputs are given by name."""

    def forward(self, left: Tensor, right: Tensor) -> dict[str, Tensor]:
        scores = super().forward(left, right)
        return {"scores": scores, "log_probabilities": torch.log_softmax(scores, dim=1)}


class BranchOnSum(nn.Module):
    """Control flow that depends on data: which layer runs is known only while running."""

    def __init__(self) -> None:
        super().__init__()
        self.entry, self.positive, self.negative = nn.Linear(6, 8), nn.Linear(8, 4), nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.relu(self.entry(x))
        if h.sum() > 0:
            return self.positive(h)
        return self.negative(h)


class ScaleByMax(nn.Module):
    """A Python number made from data."""

    def __init__(self) -> None:
        super().__init__()
        self.entry, self.head = nn.Linear(6, 8), nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.relu(self.entry(x / float(x.max()))))
