"""Defines the operators ``torch.ops.prune_adapters.*``: schema, reference, and what torch asks of each."""

from collections.abc import Callable
from typing import Protocol

import torch

__all__ = ["Batch", "define", "narrow_on_cpu", "operators"]

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


def narrow_on_cpu(x: torch.Tensor) -> bool:
    """Return whether x is of 16 bits on a CPU, where the layers compute in float32; autocast sees to that by itself."""
    narrow = x.dtype in (torch.bfloat16, torch.float16)
    return narrow and x.device.type == "cpu" and not torch.is_autocast_enabled("cpu")
