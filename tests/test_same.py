"""A forward that computes with a width or branches on it is refused, even where the example does not show it."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import prune_adapters as pa
from compacting import compacted, error, masked, whole_masks


class Between(nn.Module):
    """Two layers, some function of what lies between, and of the module."""

    def __init__(self, function: Callable[[nn.Module, Tensor], Tensor]) -> None:
        super().__init__()
        self.entry, self.side, self.head = nn.Linear(2, 4), nn.Linear(2, 4), nn.Linear(4, 2)
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.function(self, torch.relu(self.entry(x))))


def looped(model: nn.Module, h: Tensor) -> Tensor:
    for _ in range(h.shape[1]):
        h = h * 1.5
    return h


def weighed(model: nn.Module, h: Tensor) -> Tensor:
    return h + torch.full((1, 1), 0.5) if h.shape[1] == 4 else h + torch.full((1, 1), 0.25)


REFUSED = {
    "a mean by hand": lambda model, h: h / h.shape[1],
    "a branch on the width": lambda model, h: torch.tanh(h) if h.shape[1] % 2 else torch.relu(h),
    "a call more": lambda model, h: h if h.shape[1] == 4 else torch.relu(h),
    "a loop over the width": looped,
    "another constant": weighed,
    "another tensor": lambda model, h: h + (h * 2 if h.shape[1] == 4 else h),
    "a tensor made of the width": lambda model, h: h / torch.tensor(float(h.shape[1])),
    "positions picked by the width": lambda model, h: (h[:, :, None] * torch.arange(4))[:, :, h.shape[1] - 1],
}


@pytest.mark.parametrize("closed", [False, True])
@pytest.mark.parametrize("name", REFUSED)
def test_what_depends_on_a_width_is_refused(name, closed):
    """Closed units give the same outputs whatever is done to them, so the example shows nothing."""
    model = Between(REFUSED[name])
    for parameter in model.parameters():
        nn.init.constant_(parameter, -1.0 if closed else 1.0)
    masks = {"head.weight": torch.tensor([[True, True, True, False]] * 2)}

    with pytest.raises(pa.CompactError, match="a forward computes with the number of channels"):
        compacted(model, masks, torch.ones(1, 2))


ACCEPTED = {
    "a view by the width": lambda model, h: h.reshape(h.shape[0], 1, h.shape[1]).squeeze(1),
    "a slice to the end": lambda model, h: h[:, 0 : h.shape[1]],
    "a residual": lambda model, h: h + h * 0.5,
    "a copy": lambda model, h: h.transpose(0, 1).contiguous().transpose(0, 1),
    "a constant": lambda model, h: h * torch.tensor(0.5),
    "in place": lambda model, h: h.mul_(0.5).relu_(),
    "a number for each position": lambda model, h: h * torch.arange(1, len(h) + 1)[:, None],
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_what_follows_the_width_is_accepted(name):
    model = Between(ACCEPTED[name])
    masks = whole_masks(model)
    masks["head.weight"][:, 3] = False
    small, x = compacted(model, masks, torch.randn(3, 2)), torch.randn(3, 2)

    assert small.entry.out_features == 3
    assert error(masked(model, masks), small, x) < 1e-6


def test_the_line_and_the_calls_are_named():
    model = Between(REFUSED["a branch on the width"])
    masks = {"head.weight": torch.tensor([[True, True, True, False]] * 2)}
    for parameter in model.parameters():
        nn.init.constant_(parameter, -1.0)

    with pytest.raises(pa.CompactError, match=r"calls tanh at test_same.py:\d+: .* where the model calls relu at"):
        compacted(model, masks, torch.ones(1, 2))
