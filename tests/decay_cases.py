"""What the tests of selective weight decay share: an optimizer that decays, and what a method adds to gradients."""

import torch
from torch import nn

import prune_adapters as pa

MU = 1e-2
UNHEALTHY = "ignore:SelectiveWeightDecay. what is removed"


def sgd(model: nn.Module, rate: float = 0.1) -> torch.optim.SGD:
    return torch.optim.SGD(model.parameters(), lr=rate, momentum=0.9, weight_decay=MU)


def added(method: pa.Method) -> dict[str, torch.Tensor]:
    """Return what the method adds to gradients of 0, through the loss and after it."""
    for weight in method.model.parameters():
        weight.grad = torch.zeros_like(weight)
    penalty = method.penalty()
    if penalty.requires_grad:
        penalty.backward()
    method.after_backward()
    return {name: weight.grad for name, weight in method.model.named_parameters()}
