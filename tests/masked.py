"""Small networks of every kind that masks meet, and what the tests of masks do with them."""

from collections.abc import Iterator

import torch
from torch import nn

import prune_adapters as pa
from prune_adapters.masks import parameter_owners

Parameters = Iterator[nn.Parameter]


class Attention(nn.Module):
    """Self-attention over a batch of short sequences."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x.reshape(-1, 2, 4)
        return self.attention(x, x, x, need_weights=False)[0]


class Recurrent(nn.Module):
    """Two layers of LSTM over a batch of short sequences."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(4, 3, num_layers=2, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.lstm(x.reshape(-1, 2, 4))[0]


class Raw(nn.Module):
    """A matrix held by no layer."""

    def __init__(self) -> None:
        super().__init__()
        self.matrix = nn.Parameter(torch.randn(8, 3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x @ self.matrix


def mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 3))


def convolution() -> nn.Module:
    image = nn.Sequential(nn.Unflatten(1, (2, 2, 2)), nn.Conv2d(2, 4, 2), nn.BatchNorm2d(4), nn.Flatten())
    return image.to(memory_format=torch.channels_last)


def tied() -> nn.Module:
    model = nn.Sequential(nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 8))
    model[2].weight = model[0].weight
    return model


def weight_norm() -> nn.Module:
    return nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(8, 5)), nn.Linear(5, 2))


MODELS = [mlp, convolution, tied, weight_norm, Attention, Recurrent, Raw]
OPTIMIZERS = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.1),
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.1, weight_decay=0.1, amsgrad=True),
    "foreach": lambda p: torch.optim.AdamW(p, lr=0.1, foreach=True),
    "fused": lambda p: torch.optim.AdamW(p, lr=0.1, fused=True),
    "rmsprop": lambda p: torch.optim.RMSprop(p, lr=0.01, momentum=0.9, centered=True),
    "adagrad": lambda p: torch.optim.Adagrad(p, lr=0.1, initial_accumulator_value=0.1),
}


def random_masks(model: nn.Module, seed: int = 0) -> dict[str, torch.Tensor]:
    scores = pa.random_scores(model, seed=seed)
    return dict(pa.masks_from_scores(scores, sparsity=0.5, scope="layer"))


def weights(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: held[0][0].get_parameter(held[0][1]).detach() for name, held in parameter_owners(model).items()}


def loss_of(model: nn.Module, seed: int = 0) -> torch.Tensor:
    x = torch.randn(16, 8, generator=torch.Generator().manual_seed(seed)).to(next(model.parameters()).dtype)
    return model(x).square().mean()


def step(model: nn.Module, optimizer: torch.optim.Optimizer, seed: int = 0) -> None:
    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = loss_of(model, seed)
        loss.backward()
        return loss

    optimizer.step(closure)


def assert_removed_are_zero(model: nn.Module, masks: dict[str, torch.Tensor]) -> None:
    """Hold that removed weights are +0.0 to the bit, and that not everything is."""
    for name, mask in masks.items():
        removed = weights(model)[name][~mask]
        torch.testing.assert_close(removed, torch.zeros_like(removed), rtol=0, atol=0)
        assert not torch.signbit(removed).any()
        assert weights(model)[name][mask].abs().min() > 0
