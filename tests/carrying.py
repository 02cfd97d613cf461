"""Optimizers with a state, and pairs of a model and its smaller one for them to be carried over."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils._pytree import tree_leaves

from compacting import compacted
from oracle import call
from smaller import perceptron

Make = Callable[[list[nn.Parameter]], Optimizer]
OPTIMIZERS: Mapping[str, Make] = {
    "plain SGD": lambda p: torch.optim.SGD(p, lr=0.05),
    "SGD": lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9, weight_decay=1e-2, nesterov=True),
    "fused SGD": lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9, fused=True),
    "Adam": lambda p: torch.optim.Adam(p, lr=0.01, amsgrad=True),
    "foreach Adam": lambda p: torch.optim.Adam(p, lr=0.01, foreach=True),
    "AdamW": lambda p: torch.optim.AdamW(p, lr=0.01, weight_decay=0.1),
    "fused AdamW": lambda p: torch.optim.AdamW(p, lr=0.01, fused=True),
    "RMSprop": lambda p: torch.optim.RMSprop(p, lr=0.001, momentum=0.5, centered=True),
    "Adagrad": lambda p: torch.optim.Adagrad(p, lr=0.05, initial_accumulator_value=0.1),
    "Adadelta": lambda p: torch.optim.Adadelta(p, lr=0.5),
    "Adamax": lambda p: torch.optim.Adamax(p, lr=0.01),
    "NAdam": lambda p: torch.optim.NAdam(p, lr=0.01),
    "RAdam": lambda p: torch.optim.RAdam(p, lr=0.01),
    "ASGD": lambda p: torch.optim.ASGD(p, lr=0.05),
}


def loss_of(model: nn.Module, inputs: object) -> Tensor:
    """Return a loss whose gradients are not 0: the distance of all outputs to 1."""
    return sum((t - 1).square().mean() for t in tree_leaves(call(model, inputs)))


def losses(model: nn.Module, optimizer: Optimizer, inputs: object, steps: int) -> list[float]:
    found = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = loss_of(model, inputs)
        loss.backward()
        optimizer.step()
        found.append(loss.item())
    return found


def held(optimizer: Optimizer) -> list[list[int]]:
    return [[id(p) for p in group["params"]] for group in optimizer.param_groups]


def stepped(model: nn.Module, make: Make, x: Tensor) -> Optimizer:
    """Return an optimizer of the model that has made one step."""
    optimizer = make(list(model.parameters()))
    losses(model, optimizer, x, 1)
    return optimizer


def perceptron_and_small() -> tuple[nn.Module, nn.Module]:
    model, masks = perceptron()
    return model, compacted(model, masks, torch.ones(1, 2))


def without_bias() -> tuple[nn.Module, nn.Module]:
    """Return a model whose last layer is given a bias that takes a constant over, and the smaller model."""
    model, masks = perceptron()
    model[2] = nn.Linear(4, 2, bias=False)
    masks["2.weight"] = torch.ones(2, 4, dtype=torch.bool)
    return model, compacted(model, masks, torch.ones(1, 2))
