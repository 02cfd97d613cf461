"""Example inputs as an exporter needs them: their batch dimension, other batch sizes, and random values like theirs."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import nn
from torch.utils._pytree import tree_leaves, tree_map, tree_map_only

from prune_adapters.trace.example import ExampleInputs, check_inputs, split_inputs

__all__ = ["Inputs"]


@dataclass(frozen=True, eq=False)
class Inputs:
    """The arguments of a forward call, on the CPU.

    Parameters
    ----------
    args : tuple
    kwargs : mapping of str to object
    batch : int or None
        Size of the first dimension of the first tensor; every tensor whose first dimension has this size holds a
        batch. None: all sizes are fixed.

    Examples
    --------
    >>> inputs = Inputs.of((torch.ones(1, 3), torch.ones(2)), nn.Identity(), dynamic_batch=True)
    >>> [tuple(t.shape) for t in inputs.sized(4).tensors]
    [(4, 3), (2,)]
    """

    args: tuple
    kwargs: Mapping[str, object]
    batch: int | None

    @classmethod
    def of(cls, example_inputs: ExampleInputs, model: nn.Module, *, dynamic_batch: bool) -> "Inputs":
        """Return the arguments that example inputs stand for, checked against a model on the CPU."""
        args, kwargs = tree_map_only(torch.Tensor, lambda t: t.detach().to("cpu"), split_inputs(example_inputs))
        check_inputs(model, args, kwargs)
        first = next((leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)), None)
        size = None if first is None or first.dim() == 0 else first.shape[0]
        if dynamic_batch and not size:
            shape = None if first is None else tuple(first.shape)
            raise ValueError(f"dynamic_batch=True: expected a tensor with a batch first in example_inputs, got {shape}")
        return cls(args, kwargs, size if dynamic_batch else None)

    @property
    def tensors(self) -> list[torch.Tensor]:
        """The tensors in the order of the call."""
        return [leaf for leaf in tree_leaves((self.args, dict(self.kwargs))) if isinstance(leaf, torch.Tensor)]

    def sized(self, size: int) -> "Inputs":
        """Return the inputs with another batch size: their examples are repeated, or left out."""
        chosen = torch.arange(size) % (self.batch or 1)
        return replace(self._mapped(lambda t: t[chosen] if self._is_batch(t) else t), batch=size)

    def drawn(self, seed: int) -> "Inputs":
        """Return random inputs of the same sizes.

        Floats are normal, with the mean and deviation of the example; integers are those of the example in another
        order; what is neither, or is not finite, as a mask with -inf, stays.
        """
        generator = torch.Generator().manual_seed(seed)
        return self._mapped(lambda t: _like(t, generator))

    def marked(self, mark: object) -> dict[str, object] | tuple:
        """Return the dynamic shapes that torch.export takes, with `mark` for the batch dimension."""

        def dims(leaf: object) -> dict[int, object] | None:
            return {0: mark} if isinstance(leaf, torch.Tensor) and self._is_batch(leaf) else None

        return tree_map(dims, dict(self.kwargs)) if self.kwargs else tree_map(dims, self.args)

    def _is_batch(self, tensor: torch.Tensor) -> bool:
        return self.batch is not None and tensor.dim() > 0 and tensor.shape[0] == self.batch

    def _mapped(self, change: object) -> "Inputs":
        assert callable(change)
        args, kwargs = tree_map_only(torch.Tensor, change, (self.args, dict(self.kwargs)))
        return replace(self, args=args, kwargs=kwargs)


def _like(tensor: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    if not tensor.numel() or tensor.dtype == torch.bool or tensor.is_complex():
        return tensor
    if not tensor.is_floating_point():
        return tensor.flatten()[torch.randint(tensor.numel(), tensor.shape, generator=generator)]
    wide = tensor.double()
    if not bool(wide.isfinite().all()):
        return tensor
    deviation = float(wide.std(correction=0)) or 1.0
    drawn = torch.randn(tensor.shape, generator=generator, dtype=torch.float64)
    return (drawn * deviation + wide.mean()).to(tensor.dtype)
