"""The mean loss over batches, with a gradient that goes to tensors of ours and to nothing of the model."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from prune_adapters.masks import bare_module
from prune_adapters.scores.borrowed import call_with, kept_values, wide
from prune_adapters.trace.example import ExampleInputs, split_inputs

__all__ = ["Batch", "Batches", "Loss", "LossOfWeights", "checked_scores", "paired"]

Batch = tuple[ExampleInputs, torch.Tensor]
Batches = Iterable[Batch]
Loss = Callable[..., torch.Tensor]
"""Takes what the model returns and targets, returns the mean loss of the batch."""
Tensors = dict[str, torch.Tensor]


def paired(data: Batch | Batches, batch_size: int) -> Iterator[Batch]:
    """Yield batches of inputs and targets, in the order in which they come.

    Parameters
    ----------
    data : pair, or iterable of pairs
        A tuple of inputs (a tensor, tuple or dict) and one tensor of targets is cut; of anything else each item is a
        batch.
    batch_size : int

    Yields
    ------
    inputs : Tensor, tuple or dict
    targets : Tensor

    Raises
    ------
    ValueError
        An item is no pair, or inputs and targets differ in length.

    Examples
    --------
    >>> [(x.tolist(), y.tolist()) for x, y in paired((torch.arange(3), torch.ones(3)), 2)]
    [([0, 1], [1.0, 1.0]), ([2], [1.0])]
    """
    if isinstance(data, tuple) and len(data) == 2 and isinstance(data[1], torch.Tensor):
        yield from zip(_pieces(data[0], data[1], batch_size), data[1].split(batch_size), strict=True)
        return
    for item in data:
        if not isinstance(item, tuple | list) or len(item) != 2 or not isinstance(item[1], torch.Tensor):
            raise ValueError(f"data: expected pairs of inputs and a tensor of targets, got {_described(item)}")
        yield item[0], item[1]


@dataclass(frozen=True)
class LossOfWeights:
    """The mean loss as a function of some weights.

    A model of half precision is evaluated in float32. It stays in the mode it is in; buffers change in a copy that
    each batch starts anew, and torch's random numbers are those of `seed` in each pass.

    Parameters
    ----------
    model : Module
    weights : dict of str to Tensor
        What gradients go to, 0 where masks remove.
    others : dict of str to Tensor
        The other parameters.
    loss : callable
    seed : int
    """

    model: nn.Module
    weights: Tensors
    others: Tensors
    loss: Loss
    seed: int

    @classmethod
    def of(
        cls, model: nn.Module, names: Iterable[str], loss: Loss, seed: int | np.random.Generator | None
    ) -> "LossOfWeights":
        """Return the loss as a function of the parameters of these names."""
        values = {name: wide(value) for name, value in kept_values(model).items()}
        weights = {name: values.pop(name).detach().requires_grad_() for name in names}
        return cls(bare_module(model), weights, values, loss, int(np.random.default_rng(seed).integers(2**31)))

    def gradient(self, data: Batches) -> Tensors:
        """Return the gradient of the mean loss over all examples, detached; 0 where none reaches a weight."""
        return self._summed(data, self._gradients)

    def curvature(self, data: Batches, direction: Mapping[str, torch.Tensor]) -> Tensors:
        """Return the Hessian of the mean loss over all examples times a direction, exactly."""

        def product(mean: torch.Tensor) -> Tensors:
            slopes = self._gradients(mean, create_graph=True)
            along = torch.stack([(slopes[name] * direction[name]).sum() for name in slopes]).sum()
            return self._gradients(along) if along.requires_grad else self._zeros()

        # Fused kernels for attention and recurrent layers have no second derivative.
        with sdpa_kernel(SDPBackend.MATH), torch.backends.cudnn.flags(enabled=False):
            return self._summed(data, product)

    def _summed(self, data: Batches, of_mean: Callable[[torch.Tensor], Tensors]) -> Tensors:
        total, count = self._zeros(), 0
        device = next(iter({**self.weights, **self.others}.values())).device
        with _random_numbers(self.seed, device), torch.enable_grad():
            for inputs, targets in data:
                mean = self._mean(inputs, targets, device)
                size = len(targets) if targets.dim() else 1
                for name, term in of_mean(mean).items():
                    total[name] += term * size
                count += size
        if count == 0:
            raise ValueError("data: expected at least one example, got none")
        return {name: value / count for name, value in total.items()}

    def _mean(self, inputs: ExampleInputs, targets: torch.Tensor, device: torch.device) -> torch.Tensor:
        args, kwargs = split_inputs(inputs)
        moved = tuple(_moved(a, device) for a in args), {name: _moved(a, device) for name, a in kwargs.items()}
        buffers = {name: wide(buffer.clone()) for name, buffer in self.model.named_buffers()}
        outputs = call_with(self.model, {**self.weights, **self.others}, buffers, *moved)
        mean = self.loss(outputs, wide(targets.to(device)))
        if mean.numel() != 1:
            raise ValueError(f"loss: expected the mean of the batch, got shape {tuple(mean.shape)}; reduce it")
        if not mean.requires_grad:
            raise ValueError("loss: expected a loss that depends on a scored weight, got one without a gradient")
        return mean

    def _gradients(self, value: torch.Tensor, *, create_graph: bool = False) -> Tensors:
        found = torch.autograd.grad(
            value, list(self.weights.values()), create_graph=create_graph, materialize_grads=True
        )
        return dict(zip(self.weights, found, strict=True))

    def _zeros(self) -> Tensors:
        return {name: torch.zeros_like(weight, requires_grad=False) for name, weight in self.weights.items()}


def checked_scores(scores: Tensors) -> Tensors:
    """Return the scores if all are finite.

    Parameters
    ----------
    scores : dict of str to Tensor

    Returns
    -------
    dict of str to Tensor
        The same.

    Raises
    ------
    FloatingPointError
        One is not.

    Examples
    --------
    >>> checked_scores({"w": torch.tensor([1.0, float("nan")])})
    Traceback (most recent call last):
    FloatingPointError: scores for 'w': 1 of 2 are not finite; look for weights, inputs or a loss that are not
    """
    for name, score in scores.items():
        if missing := score.numel() - int(torch.isfinite(score).sum()):
            raise FloatingPointError(
                f"scores for {name!r}: {missing} of {score.numel()} are not finite; "
                "look for weights, inputs or a loss that are not"
            )
    return scores


def _described(item: object) -> str:
    return f"{len(item)} items" if isinstance(item, tuple | list) else type(item).__name__


def _pieces(inputs: ExampleInputs, targets: torch.Tensor, size: int) -> Iterator[ExampleInputs]:
    """Yield the inputs cut along their first dimension."""
    args, kwargs = split_inputs(inputs)
    for tensor in (*args, *kwargs.values()):
        if not isinstance(tensor, torch.Tensor) or len(tensor) != len(targets):
            found = len(tensor) if isinstance(tensor, torch.Tensor) else type(tensor).__name__
            raise ValueError(f"data: expected as many inputs as targets, got {found} and {len(targets)}")
    for first in range(0, len(targets), size):
        part = slice(first, first + size)
        if isinstance(inputs, torch.Tensor):
            yield inputs[part]
        else:
            yield {k: v[part] for k, v in kwargs.items()} if kwargs else tuple(a[part] for a in args)


def _moved(item: object, device: torch.device) -> object:
    if isinstance(item, tuple | list):
        return tuple(_moved(part, device) for part in item)
    return wide(item.to(device)) if isinstance(item, torch.Tensor) else item


@contextmanager
def _random_numbers(seed: int, device: torch.device) -> Iterator[None]:
    """Set torch's random numbers, and leave the caller's alone."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield
