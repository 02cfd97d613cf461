"""Programs that tracers stumble over, one class each."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

__all__ = [
    "AnyArguments",
    "Attended",
    "BothWays",
    "BranchOnSum",
    "Checkpointed",
    "Doubled",
    "FrozenStem",
    "GroupedQueries",
    "InPlace",
    "Inputs",
    "LookedUpByIndex",
    "LoopOnShape",
    "Net",
    "NoGradStem",
    "NumberFromTensor",
    "OneHot",
    "OwnFunction",
    "RawParameters",
    "SharedTwice",
    "ShuffledGroups",
    "SliceAssignment",
    "Tied",
    "UpAndDown",
    "encoder",
    "weight_normed",
    "wrapped",
]


class Net(nn.Module):
    """Three linear layers for a forward to use."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(6, 8), nn.Linear(8, 8), nn.Linear(8, 3)


class BranchOnSum(Net):
    def forward(self, x: Tensor) -> Tensor:
        h = self.a(x).relu()
        if h.sum() > 0:
            h = self.b(h)
        return self.c(h)


class NumberFromTensor(Net):
    def forward(self, x: Tensor) -> Tensor:
        return self.c(self.b(self.a(x)) * float(x.max()))


class LoopOnShape(Net):
    def forward(self, x: Tensor) -> Tensor:
        h = self.a(x)
        for _ in range(x.shape[0]):
            h = self.b(h).relu()
        return self.c(h) / int(x.shape[1])


class AnyArguments(Net):
    def forward(self, *parts: Tensor, scale: float = 2.0) -> Tensor:
        return self.c(self.b(self.a(parts[0]) + self.a(parts[1])) * scale)


class SliceAssignment(Net):
    def forward(self, x: Tensor) -> Tensor:
        h = self.a(x).clone()
        h[:, :4] = self.b(h.clone())[:, 2:6]
        return self.c(h)


class InPlace(Net):
    def forward(self, x: Tensor) -> Tensor:
        h = self.a(x)
        h[:, 4:].zero_()
        h += 1e-5 * x.sum(1, keepdim=True)
        return self.c(self.b(h.relu_()).mul_(2))


class Checkpointed(Net):
    def forward(self, x: Tensor) -> Tensor:
        return self.c(checkpoint(lambda h: self.b(h).relu(), self.a(x), use_reentrant=False))


class FrozenStem(Net):
    def __init__(self) -> None:
        super().__init__()
        self.a.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        return self.c(self.b(self.a(x)).relu())


class NoGradStem(Net):
    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            h = self.a(x).relu()
        return self.c(self.b(h))


class Inputs(Net):
    def forward(self, batch: dict[str, Tensor]) -> dict[str, object]:
        h = self.b(self.a(batch["x"]).relu())
        return {"logits": self.c(h), "hidden": (h, [h * 2])}


class Doubled(torch.autograd.Function):
    @staticmethod
    def forward(ctx: object, x: Tensor) -> Tensor:
        return 2 * x

    @staticmethod
    def backward(ctx: object, gradient: Tensor) -> Tensor:
        return 2 * gradient


class OwnFunction(Net):
    def forward(self, x: Tensor) -> Tensor:
        return self.c(Doubled.apply(self.b(Doubled.apply(self.a(x)))))


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table, self.b, self.scores = nn.Embedding(8, 6), nn.Linear(6, 6), nn.Linear(6, 8, bias=False)
        self.scores.weight = self.table.weight

    def forward(self, tokens: Tensor) -> Tensor:
        return self.scores(self.b(self.table(tokens)).relu())


class LookedUpByIndex(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table, self.c = nn.Parameter(torch.randn(8, 6)), nn.Linear(6, 3)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.c(self.table[tokens])


class OneHot(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.c = nn.Linear(8, 6), nn.Linear(6, 3)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.c(self.a(F.one_hot(tokens, 8).to(self.a.weight.dtype)))


class SharedTwice(Net):
    def forward(self, x: Tensor) -> Tensor:
        return self.c(self.b(self.b(self.a(x)).relu()))


class RawParameters(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.w, self.v = nn.Parameter(torch.randn(6, 8)), nn.Parameter(torch.randn(3, 8))

    def forward(self, x: Tensor) -> Tensor:
        return (x @ self.w).relu() @ self.v.T


class ShuffledGroups(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1, groups=4)
        self.c = nn.Conv2d(8, 4, 1, groups=2)

    def forward(self, x: Tensor) -> Tensor:
        return self.c(F.channel_shuffle(self.b(self.a(x).relu()), 4))


class UpAndDown(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 8, 4, 2, padding=1), nn.ConvTranspose2d(8, 4, 4, 2, padding=1, groups=2)
        self.c = nn.Conv2d(1, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.c(F.pixel_shuffle(self.b(self.a(x).relu()), 2))


class GroupedQueries(nn.Module):
    """Attention with two key and value heads for four query heads; a tuple and a dictionary come out."""

    def __init__(self, written_out: bool) -> None:
        super().__init__()
        self.table, self.q, self.k = nn.Embedding(8, 6), nn.Linear(6, 8, bias=False), nn.Linear(6, 4, bias=False)
        self.v, self.o, self.head = nn.Linear(6, 4, bias=False), nn.Linear(8, 6), nn.Linear(6, 8)
        self.written_out = written_out

    def heads(self, x: Tensor, n: int) -> Tensor:
        return x.unflatten(-1, (n, 2)).transpose(1, 2)

    def forward(self, tokens: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        x = self.table(tokens)
        q, k, v = self.heads(self.q(x), 4), self.heads(self.k(x), 2), self.heads(self.v(x), 2)
        if self.written_out:
            k, v = (part.repeat_interleave(2, 1) for part in (k, v))
            scores = torch.einsum("bhid,bhjd->bhij", q, k).softmax(-1)
            mixed = torch.einsum("bhij,bhjd->bhid", scores, v)
        else:
            mixed = F.scaled_dot_product_attention(q, k, v, enable_gqa=True)
        x = x + self.o(mixed.transpose(1, 2).flatten(2))
        return self.head(x), {"hidden": x}


class BothWays(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.recurrent, self.c = nn.LSTM(6, 4, batch_first=True, bidirectional=True), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.c(self.recurrent(x)[0].mean(1))


class Attended(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attention, self.c = nn.MultiheadAttention(6, 2, batch_first=True), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.c(self.attention(x, x, x, need_weights=False)[0])


def wrapped() -> nn.Module:
    return nn.DataParallel(nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3)))


def weight_normed() -> nn.Module:
    norm = nn.utils.parametrizations.weight_norm
    return nn.Sequential(norm(nn.Linear(6, 8)), nn.ReLU(), norm(nn.Linear(8, 3)))


def encoder() -> nn.Module:
    layer = nn.TransformerEncoderLayer(6, 2, 10, batch_first=True)
    return nn.Sequential(nn.TransformerEncoder(layer, 1, enable_nested_tensor=False), nn.Linear(6, 3))
