"""Example inputs: one tensor, the positional or the keyword arguments of a model's forward."""

from collections.abc import Mapping, Sequence

import torch
from torch import nn

__all__ = ["ExampleInputs", "check_inputs", "split_inputs"]

ExampleInputs = torch.Tensor | Sequence[object] | Mapping[str, object]


def split_inputs(example_inputs: ExampleInputs) -> tuple[tuple, dict]:
    """Return positional and keyword arguments of the forward call."""
    if isinstance(example_inputs, torch.Tensor):
        return (example_inputs,), {}
    if isinstance(example_inputs, Mapping):
        return (), dict(example_inputs)
    if isinstance(example_inputs, (tuple, list)):
        return tuple(example_inputs), {}
    raise TypeError(f"example_inputs: expected a tensor, a tuple or a dict, got {type(example_inputs).__name__}")


def check_inputs(model: nn.Module, args: tuple, kwargs: dict) -> None:
    """Raise `ValueError` where an input is empty, or on another device or of another floating type than the model."""
    parameters = [p for p in model.parameters() if p.is_floating_point()]
    devices, dtypes = {p.device for p in parameters}, {p.dtype for p in parameters}
    named = {
        **{f"example input {i}": a for i, a in enumerate(args)},
        **{f"example input {k!r}": a for k, a in kwargs.items()},
    }
    for label, tensor in named.items():
        if not isinstance(tensor, torch.Tensor):
            continue
        if 0 in tensor.shape:
            raise ValueError(f"{label}: expected every dimension of at least 1, got shape {tuple(tensor.shape)}")
        if devices and tensor.device not in devices:
            raise ValueError(
                f"{label}: expected device {_listed(devices)} as the model, got {tensor.device}; move it with .to()"
            )
        if tensor.is_floating_point() and dtypes and tensor.dtype not in dtypes:
            raise ValueError(
                f"{label}: expected {_listed(dtypes)} as the model, got {tensor.dtype}; convert it with .to()"
            )


def _listed(items: set) -> str:
    return " or ".join(sorted(map(str, items)))
