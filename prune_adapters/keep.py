"""Masks kept while a model trains: after each step of an optimizer, removed weights are 0 again.

One pass over weights and optimizer state, at the speed of memory.
"""

import copy
from collections.abc import Iterator
from types import TracebackType
from weakref import WeakSet

import torch
from torch import nn
from torch.optim import Optimizer

from prune_adapters.kept import remembered, weight_and_bits, zero
from prune_adapters.masks import bare_module
from prune_adapters.ops import pack_mask, unpack_mask
from prune_adapters.shards import layout, local

__all__ = ["MaskKeeper", "Upkeep", "detach_keepers", "keep_masks"]

Pair = tuple[torch.Tensor, torch.Tensor]
Layout = tuple[int, int, tuple[int, ...]]
"""Identity and version of bits, order of dimensions from the farthest apart to the nearest."""


class Upkeep:
    """Sets the removed weights of a model, and what an optimizer holds for them, back to +0.0 in one pass.

    Parameters
    ----------
    model : Module

    Examples
    --------
    >>> from prune_adapters.apply import apply_masks
    >>> layer = apply_masks(nn.Linear(2, 1), {"weight": torch.tensor([[True, False]])})
    >>> _ = layer.weight.data.fill_(1.0)
    >>> Upkeep(layer)()
    >>> layer.weight.tolist()
    [[1.0, 0.0]]
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = bare_module(model)
        self._reordered = _Reordered()

    def __call__(self, optimizer: Optimizer | None = None) -> None:
        """Zero by the masks that the model remembers now."""
        every = (weight_and_bits(module, key) for module, key in remembered(self.model))
        held = list({id(weight): (weight, bits) for weight, bits in every}.values())  # shared ones once
        states = [(state, bits) for weight, bits in held for state in _states(optimizer, weight)] if optimizer else []
        zero(self._reordered.as_in_memory([(local(tensor), bits) for tensor, bits in held + states]))

    def __deepcopy__(self, memo: dict) -> "Upkeep":
        return Upkeep(copy.deepcopy(self.model, memo))  # bits in the order of memory are found again by identity


class MaskKeeper:
    """Zeroes the removed weights of a model, and their optimizer state, after each step of an optimizer.

    Made by `keep_masks`. As a context manager it detaches itself at the end.

    Parameters
    ----------
    model : Module
    optimizer : Optimizer
    """

    def __init__(self, model: nn.Module, optimizer: Optimizer) -> None:
        self.model = bare_module(model)
        self._upkeep = Upkeep(model)
        self._hook = optimizer.register_step_post_hook(self._after_step)
        _keepers.add(self)
        self._after_step(optimizer)

    def remove(self) -> None:
        """Detach from the optimizer; the model goes on remembering its masks."""
        self._hook.remove()
        _keepers.discard(self)

    def _after_step(self, optimizer: Optimizer, *_: object) -> None:
        self._upkeep(optimizer)

    def __enter__(self) -> "MaskKeeper":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove()


_keepers: WeakSet[MaskKeeper] = WeakSet()


def keep_masks(model: nn.Module, optimizer: Optimizer) -> MaskKeeper:
    """Return a keeper that sets the removed weights of `model` back to 0 after each step of `optimizer`.

    Whatever moved them in the step (momentum, weight decay), they are +0.0 after it, and so is their optimizer state
    (momentum, averages: each float tensor of the weight's shape), now and after each step. Gradients are left alone.
    The masks are those that the model remembers at each step, so masks applied later hold from the next step on.

    Parameters
    ----------
    model : Module
        Has been through `apply_masks`. Forward and backward pass are not touched.
    optimizer : Optimizer
        Holds parameters of the model; built before or after masking. With several optimizers keep masks for each.

    Returns
    -------
    MaskKeeper
        Call ``remove()`` to stop, or use it in a ``with`` statement.

    Raises
    ------
    ValueError
        The model remembers no masks, or the optimizer holds none of the masked parameters: it belongs to another
        model, such as the original of a deep copy.

    Notes
    -----
    A deep copy of the model keeps its masks and needs a `keep_masks` of its own. An optimizer that evaluates the loss
    several times in one step (LBFGS) sees removed weights move between the evaluations. Where parameters are not laid
    out row by row (``channels_last``), the keeper holds a second copy of their bits, in the order of memory. Of
    parameters that are spread over ranks (FSDP2, tensor parallelism) each rank zeroes its part, and state that is
    spread in the same way; nothing is sent.

    Examples
    --------
    >>> from prune_adapters.apply import apply_masks
    >>> layer = apply_masks(nn.Linear(2, 1), {"weight": torch.tensor([[True, False]])})
    >>> optimizer = torch.optim.AdamW(layer.parameters(), lr=0.1)
    >>> with keep_masks(layer, optimizer):
    ...     layer(torch.ones(3, 2)).sum().backward()
    ...     optimizer.step()
    >>> layer.weight[0, 1].item()
    0.0
    """
    masked = {id(weight_and_bits(module, key)[0]) for module, key in remembered(model)}
    if not masked:
        raise ValueError("keep_masks: the model remembers no masks; call apply_masks(model, masks) first")
    if masked.isdisjoint(id(p) for group in optimizer.param_groups for p in group["params"]):
        raise ValueError("keep_masks: the optimizer holds none of the masked parameters; build it from this model")
    return MaskKeeper(model, optimizer)


def detach_keepers(model: nn.Module) -> None:
    """Detach every keeper of the model from its optimizer."""
    for keeper in [k for k in _keepers if k.model is bare_module(model)]:
        keeper.remove()


def _states(optimizer: Optimizer, weight: torch.Tensor) -> Iterator[torch.Tensor]:
    """Yield what the optimizer holds for each single weight: float tensors of the same shape, spread in one way."""
    for state in optimizer.state.get(weight, {}).values():
        if not isinstance(state, torch.Tensor) or not state.is_floating_point():
            continue
        if state.shape == weight.shape != () and layout(state) == layout(weight):
            yield state


class _Reordered:
    """Bits in the order of memory, for tensors that are not laid out row by row; made once, and anew when they change.

    The original bits are held beside the others, so that no other tensor can come to have their id.
    """

    def __init__(self) -> None:
        self._known: dict[Layout, Pair] = {}

    def as_in_memory(self, pairs: list[Pair]) -> list[Pair]:
        """Return the pairs with permuted tensors replaced by contiguous views, and their bits to match."""
        used: dict[Layout, Pair] = {}
        changed = [pair if pair[0].is_contiguous() else self._reorder(*pair, used) for pair in pairs]
        self._known = used
        return changed

    def _reorder(self, tensor: torch.Tensor, bits: torch.Tensor, used: dict[Layout, Pair]) -> Pair:
        order = sorted(range(tensor.dim()), key=tensor.stride, reverse=True)
        view = tensor.permute(order)
        if not view.is_contiguous():
            return tensor, bits
        layout = id(bits), bits._version, tuple(order)
        used[layout] = used.get(layout) or self._known.get(layout) or (bits, _permuted(bits, tensor.shape, order))
        return view, used[layout][1]


def _permuted(bits: torch.Tensor, shape: torch.Size, order: list[int]) -> torch.Tensor:
    return pack_mask(unpack_mask(bits, shape).permute(order))
