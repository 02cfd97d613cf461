"""Networks with masks whose smaller models are known, and masks for the networks of the list."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from networks import edge_names
from oracle import random_masks

__all__ = ["is_defined", "masks_for", "padded_pair", "perceptron"]


def masks_for(model: nn.Module, sparsity: float, seed: int) -> Mapping[str, Tensor]:
    """Return random masks for all weights that are edges."""
    return random_masks(model, edge_names(model), 1 - sparsity, seed=seed)


def is_defined(name: str, sparsity: float) -> bool:
    """Return whether the masked model has numbers: weight norm divides rows without a kept weight by 0."""
    return name != "weight_norm" or sparsity < 0.5


def perceptron() -> tuple[nn.Sequential, dict[str, Tensor]]:
    """Unit 0 is live, unit 1 a constant, unit 2 is read by no one, unit 3 is zero but for its bias of -1."""
    model = nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 2))
    values = [[[1.0, 2.0], [5.0, 5.0], [3.0, 3.0], [5.0, 5.0]], [0.0, 0.5, 9.0, -1.0]]
    values += [[[1.0, 4.0, 7.0, 2.0], [1.0, 0.0, 7.0, 2.0]], [10.0, 20.0]]
    for parameter, value in zip(model.parameters(), values, strict=True):
        parameter.data = torch.tensor(value)
    hidden = torch.tensor([[True, True], [False, False], [True, True], [False, False]])
    read = torch.tensor([[True, True, False, True], [True, False, False, True]])
    return model, {"0.weight": hidden, "2.weight": read}


def padded_pair() -> tuple[nn.Sequential, dict[str, Tensor]]:
    """Channel 1 of 2 is the constant 0.7 in front of a convolution that pads with zeros."""
    model = nn.Sequential(nn.Conv2d(1, 2, 1), nn.Conv2d(2, 1, 3, padding=1)).double()
    with torch.no_grad():
        model[0].bias.copy_(torch.tensor([0.2, 0.7], dtype=torch.float64))
        model[1].weight.fill_(1.0)
        model[1].bias.zero_()
    return model, {"0.weight": torch.tensor([True, False]).reshape(2, 1, 1, 1)}
