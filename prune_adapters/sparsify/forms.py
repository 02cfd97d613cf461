"""The forms that a layer can take under a mask, and why it cannot take one."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from prune_adapters.kept import remembered
from prune_adapters.layers import (
    RegularConv1d,
    RegularConv2d,
    RegularLinear,
    SparseConv1d,
    SparseConv2d,
    SparseLayer,
    SparseLinear,
)
from prune_adapters.layers.pattern import block_size, kept_of
from prune_adapters.masks import parameter_owners

__all__ = ["BLOCK", "Candidate", "build", "candidates"]

CLASSES: dict[type[nn.Module], dict[str, Any]] = {
    nn.Linear: {"sparse": SparseLinear, "regular": RegularLinear},
    nn.Conv1d: {"sparse": SparseConv1d, "regular": RegularConv1d},
    nn.Conv2d: {"sparse": SparseConv2d, "regular": RegularConv2d},
}
BLOCK = 8
"""Blocks with fewer rows or columns have no use of registers; the sparse form does the same work then."""


@dataclass(frozen=True)
class Candidate:
    """A layer that may take another form.

    Parameters
    ----------
    name : str
        Module path.
    layer : Module
        Linear, Conv1d or Conv2d, of exactly that type.
    mask : Tensor of bool
        Of its weight, on the device of the weight.
    forms : tuple of str
        What it can become; "dense" comes first.
    reason : str
        Why it can become nothing else; empty if it can.
    """

    name: str
    layer: nn.Module
    mask: torch.Tensor
    forms: tuple[str, ...]
    reason: str

    @property
    def density(self) -> float:
        """Kept weights / all weights."""
        return int(self.mask.count_nonzero()) / self.mask.numel() if self.mask.numel() else 1.0


def candidates(model: nn.Module) -> list[Candidate]:
    """Return the layers of a model whose weights have a mask that it remembers, in the order of its modules."""
    owners = [{id(module) for module, _ in held} for held in parameter_owners(model).values()]
    shared = {module for own in owners if len(own) > 1 for module in own}
    masked = {id(module) for module, key in remembered(model) if key == "weight"}
    found = []
    for name, module in model.named_modules():
        if id(module) in masked and type(module) in CLASSES:
            mask = kept_of(module, None)
            reason = "its weight is used elsewhere, too" if id(module) in shared else _hooked(module)
            forms = ("dense",) if reason else ("dense", "sparse", *_regular(mask))
            found.append(Candidate(name, module, mask, forms, reason))
    return found


def build(candidate: Candidate, form: str) -> SparseLayer:
    """Return the layer in another form, with the same values."""
    made = CLASSES[type(candidate.layer)][form].from_dense(candidate.layer, candidate.mask)
    assert isinstance(made, SparseLayer)
    return made.train(candidate.layer.training)


def _regular(mask: torch.Tensor) -> tuple[str, ...]:
    """Return whether the mask is made of blocks that are large enough, with all kernel positions alike."""
    positions = mask.flatten(2) if mask.dim() > 2 else mask[..., None]
    pairs = positions.all(dim=2)
    if not torch.equal(positions.any(dim=2), pairs):
        return ()
    return ("regular",) if min(block_size(pairs)) >= BLOCK else ()


def _hooked(module: nn.Module) -> str:
    """Return why a module cannot be exchanged, if hooks of others hang on it."""
    hooks = (module._forward_hooks, module._forward_pre_hooks, module._backward_hooks, module._backward_pre_hooks)
    return "hooks hang on it; sparsify before they are registered" if any(hooks) else ""
