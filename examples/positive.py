"""A copy of a model in which no term cancels and no activation saturates, for the oracles.

Weights are positive, zero where masked, and sum to 1 over each row; inputs are positive and near `SCALE`. Where that is
not enough, because a norm gives both signs or a long row of residuals adds up, `opened.Opened` keeps activations open.

What is a gain and what a constant is told by the kind of module and by name; for models whose modules are not torch's
own, `Roles` says it.
"""

import copy
import re
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvTransposeNd
from torch.nn.modules.instancenorm import _InstanceNorm
from torch.nn.utils import parametrize

__all__ = [
    "SCALE",
    "Inputs",
    "Masks",
    "Roles",
    "draw_inputs",
    "draw_units",
    "edge_weights",
    "plain_copy",
    "positive_copy",
]

SCALE = 1e-4
"""Size of inputs and constants."""

MIXING_NORMS = (nn.LayerNorm, nn.GroupNorm, _InstanceNorm)
GATES = ("scale", "layer_scale", "original0")
"""Last part of the names of parameters that multiply units and belong to no norm module."""

Inputs = Tensor | tuple[Tensor, ...] | dict[str, Tensor]
Masks = Mapping[str, Tensor]
Roles = Mapping[str, str]
"""``{name of a parameter or buffer: "gate" or "constant"}``; what is not named keeps its values, up to `SCALE`."""


def plain_copy(model: nn.Module) -> nn.Module:
    """Return a copy in float64 and eval mode without parametrizations, nothing requiring gradients."""
    plain = copy.deepcopy(model).double().eval()
    for module in list(plain.modules()):
        if parametrize.is_parametrized(module):
            make_plain(module)
    return plain.requires_grad_(False)


def positive_copy(model: nn.Module, masks: Masks) -> nn.Module:
    """Return a copy whose edge weights are (abs(w) + 0.1) * mask, each row divided by its sum."""
    positive = plain_copy(model)
    for module in positive.modules():
        if isinstance(module, (nn.Embedding, nn.EmbeddingBag)):
            module.padding_idx = None
    transposed = {id(m.weight) for m in positive.modules() if isinstance(m, _ConvTransposeNd)}
    for name, weight in edge_weights(positive, masks).items():
        with torch.no_grad():
            kept = torch.where(masks[name], weight.nan_to_num().abs() + 0.1, 0.0)
            rows = [d for d in range(weight.dim()) if d != (1 if id(weight) in transposed else 0)]
            weight.copy_(kept / kept.sum(rows, keepdim=True).clamp(min=0.1))
        weight.requires_grad_(True)
    return positive


def make_plain(module: nn.Module) -> None:
    """Replace a module's parametrized tensors by parameters with their present values, in place.

    torch's remove_parametrizations (2.13) deletes a property of the class, which a deep copy shares with its original.
    """
    values = {name: getattr(module, name).detach() for name in module.parametrizations}
    module.__class__ = parametrize.type_before_parametrizations(module)
    del module.parametrizations
    for name, value in values.items():
        module.register_parameter(name, nn.Parameter(value))


def edge_weights(model: nn.Module, names: Iterable[str]) -> dict[str, nn.Parameter]:
    """Return the masked parameters of a copy without parametrizations, under their names in the original."""
    parameters = dict(model.named_parameters())
    plain = {name: re.sub(r"parametrizations\.(\w+)\.original1?$", r"\1", name) for name in names}
    return {name: parameters[plain[name]] for name in plain}


def draw_units(
    model: nn.Module, edges: set[str], generator: torch.Generator, *, constants: float, roles: Roles | None = None
) -> None:
    """Draw everything that acts on single units: gains in [0.5, 1.5], constants near `constants`, in place."""
    masked = {id(weight) for weight in edge_weights(model, edges).values()}
    for path, module in model.named_modules():
        mixing = isinstance(module, MIXING_NORMS)
        for name, tensor in [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]:
            if id(tensor) in masked or not tensor.is_floating_point():
                continue
            role = _role(module, name) if roles is None else roles.get(f"{path}.{name}".removeprefix("."))
            with torch.no_grad():
                if role is None and not isinstance(tensor, nn.Parameter):
                    tensor.add_(torch.rand(tensor.shape, generator=generator, dtype=torch.float64) * SCALE)
                if role is None:
                    continue
                tensor.copy_(unit_values(name, role, tensor, generator, constants))
                if mixing and name == "weight":
                    tensor.mul_(torch.randint(0, 2, tensor.shape, generator=generator) * 2 - 1)


def _role(module: nn.Module, name: str) -> str:
    """Return what a parameter or buffer that has no edges does, told by the module that it belongs to."""
    norm = isinstance(module, (_BatchNorm, nn.RMSNorm, *MIXING_NORMS))
    return "gate" if (norm and name in ("weight", "running_var")) or name in GATES else "constant"


def unit_values(name: str, role: str, tensor: Tensor, generator: torch.Generator, constants: float) -> Tensor:
    """Return new values for one gain, variance, running mean, bias or table."""
    values = torch.rand(tensor.shape, generator=generator, dtype=torch.float64) + 0.5
    if role == "gate":
        return values
    return values * (-constants if name == "running_mean" else constants)


def draw_inputs(example: Inputs, generator: torch.Generator, *, shuffle: bool = True) -> Inputs:
    """Return inputs of the same form: real ones positive and small, integer ones shuffled or drawn with replacement."""
    if isinstance(example, dict):
        return {name: draw_inputs(tensor, generator, shuffle=shuffle) for name, tensor in example.items()}
    if isinstance(example, tuple):
        return tuple(draw_inputs(tensor, generator, shuffle=shuffle) for tensor in example)
    if not example.is_floating_point():
        n = example.numel()
        order = torch.randperm(n, generator=generator) if shuffle else torch.randint(n, (n,), generator=generator)
        return example.flatten()[order].reshape(example.shape)
    return (torch.rand(example.shape, generator=generator, dtype=torch.float64) + 0.5) * SCALE
