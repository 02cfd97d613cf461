"""Compacted models beside masked ones: what several test files need."""

import copy
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map

import prune_adapters as pa
from oracle import call

__all__ = ["BOUNDS", "compacted", "drawn", "error", "masked", "n_parameters", "randomized", "whole_masks"]

BOUNDS = {torch.float64: 1e-12, torch.float32: 1e-5}
"""Largest max|dy| / max|y| between a compacted and a masked network."""


def randomized(model: nn.Module, seed: int) -> nn.Module:
    """Give every bias, gain and running statistic a random value, in place."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if p.dim() <= 1:
                p.copy_(torch.randn(p.shape, generator=generator) * 0.5 + name.endswith("weight"))
        for name, buffer in model.named_buffers():
            if name.endswith("running_mean"):
                buffer.copy_(torch.randn(buffer.shape, generator=generator) * 0.3)
            elif name.endswith("running_var"):
                buffer.copy_(torch.rand(buffer.shape, generator=generator) + 0.5)
    return model


def masked(model: nn.Module, masks: Mapping[str, Tensor]) -> nn.Module:
    """Return a copy with its removed weights 0, made without `apply_masks`."""
    model = copy.deepcopy(model).eval()
    with torch.no_grad():
        for name, mask in masks.items():
            model.get_parameter(name).mul_(mask)
    return model


def drawn(example: object, seed: int, longer: int = 0) -> object:
    """Return random inputs like the example; real ones get `longer` more positions along the last dimension."""
    generator = torch.Generator().manual_seed(seed)

    def like(t: Tensor) -> Tensor:
        if not t.is_floating_point():
            return t
        return torch.randn((*t.shape[:-1], t.shape[-1] + longer), generator=generator, dtype=torch.float64).to(t.dtype)

    return tree_map(like, example)


def error(model: nn.Module, small: nn.Module, inputs: object) -> float:
    """Return the largest max|dy| / max|y| of all outputs."""
    with torch.no_grad():
        old, new = (tree_leaves(call(m, inputs)) for m in (model, small))
    return max(float((a - b).abs().max() / a.abs().max().clamp_min(1e-30)) for a, b in zip(old, new, strict=True))


def n_parameters(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def compacted(model: nn.Module, masks: Mapping[str, Tensor], inputs: object) -> nn.Module:
    return pa.compact(model, pa.to_graph(model, inputs, masks=masks), inputs)


def whole_masks(model: nn.Module) -> dict[str, Tensor]:
    """Return masks that keep every weight."""
    return {name: torch.ones_like(p, dtype=torch.bool) for name, p in model.named_parameters() if p.dim() > 1}
