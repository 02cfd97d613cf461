"""Defines the operators ``torch.ops.prune_adapters.*``: schema, reference, and what torch asks of each."""

import functools
from collections.abc import Callable
from typing import Protocol

import torch

__all__ = ["Batch", "define", "narrow_on_cpu", "operators", "wide_on_cpu"]

operators = torch.library.Library("prune_adapters", "DEF")
"""Holds the definitions; they are gone once it is. Pass it as ``lib=`` to the functions of `torch.library`."""


class Batch(Protocol):
    """What torch tells a rule for `torch.vmap`."""

    batch_size: int


def define(schema: str, reference: Callable[..., object], fake: Callable[..., object]) -> None:
    """Define an operator.

    Parameters
    ----------
    schema : str
        Such as ``"pack_mask(Tensor mask) -> Tensor"``.
    reference : callable
        The operator in plain torch, for every device that has no kernel of its own.
    fake : callable
        Returns tensors of the right shape, dtype and device without computing them (`torch.library.register_fake`).
    """
    operators.define(schema, tags=torch.Tag.pt2_compliant_tag)
    name = schema.partition("(")[0]
    operators.impl(name, reference, "CompositeExplicitAutograd")
    torch.library.register_fake(f"prune_adapters::{name}", fake, lib=operators)


def narrow_on_cpu(x: torch.Tensor, *, bfloat16: bool = True) -> bool:
    """Return whether x is of 16 bits on a CPU, where the layers compute in float32; autocast sees to that by itself.

    Operators that take bfloat16 themselves are not asked for it.
    """
    narrow = x.dtype == torch.float16 or (bfloat16 and x.dtype == torch.bfloat16)
    return narrow and x.device.type == "cpu" and not torch.is_autocast_enabled("cpu")


def wide_on_cpu(reference: Callable[..., object]) -> Callable[..., object]:
    """Return a reference that computes what is of 16 bits on a CPU in float32 and rounds the results, as kernels do."""

    @functools.wraps(reference)
    def computed(*arguments: object) -> object:
        x = arguments[0]
        assert isinstance(x, torch.Tensor)
        if x.device.type != "cpu" or x.dtype not in (torch.bfloat16, torch.float16):
            return reference(*arguments)
        return _with_floats(reference(*[_with_floats(one, torch.float32) for one in arguments]), x.dtype)

    return computed


def _with_floats(value: object, dtype: torch.dtype) -> object:
    """Return a value, or a tuple of values, with tensors of floats in another dtype."""
    if isinstance(value, tuple):
        return tuple(_with_floats(one, dtype) for one in value)
    return value.to(dtype) if isinstance(value, torch.Tensor) and value.is_floating_point() else value
