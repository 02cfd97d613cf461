"""What `torch.vmap` makes of operators that know nothing of a batch: one call for each of its elements."""

from collections.abc import Callable, Sequence

import torch
from torch.utils import _pytree as pytree

from prune_adapters.ops.define import Batch, operators

__all__ = ["each_element", "loop_over_batch"]


def loop_over_batch(name: str) -> None:
    """Give the operator a rule for `torch.vmap` that calls it for each element of the batch.

    For operators of which one call does much work, such as a selection among all weights of a network: then models
    that are stacked (`torch.func.stack_module_state`) are rare enough, and their weights many enough.

    Parameters
    ----------
    name : str
        Of an operator that `prune_adapters.ops.define.define` has defined, without its namespace.
    """
    rule = each_element(getattr(torch.ops.prune_adapters, name))
    torch.library.register_vmap(f"prune_adapters::{name}", rule, lib=operators)


def each_element(operator: Callable[..., object]) -> Callable[..., tuple]:
    """Return the rule for `torch.vmap` that calls an operator for one element of the batch after the other.

    Parameters
    ----------
    operator : callable
        Returns a tensor, or a tuple or list of tensors.
    """

    def rule(batch: Batch, in_dims: Sequence[object], *arguments: object) -> tuple:
        pairs = list(zip(arguments, in_dims, strict=True))
        found = [operator(*(_element(a, dim, number) for a, dim in pairs)) for number in range(batch.batch_size)]
        outputs = pytree.tree_map(lambda *each: torch.stack(each), *found)
        return outputs, pytree.tree_map(lambda _: 0, outputs)

    return rule


def _element(argument: object, dim: object, number: int) -> object:
    """Return an element of a batch of tensors, or of lists of them; what has no batch is the same for all."""
    if isinstance(argument, torch.Tensor) and isinstance(dim, int):
        return argument.select(dim, number).contiguous()
    if isinstance(argument, list | tuple) and isinstance(dim, list | tuple):
        return [_element(a, d, number) for a, d in zip(argument, dim, strict=True)]
    return argument
