"""Multiply-adds and parameters, all of them and those that masks leave.

The model is run once while every operator is watched below autograd, so that attention, recurrent layers and
raw matrix products count as well as linear layers and convolutions. A multiply-add belongs to the weights if one factor
comes from parameters alone (views of them, weight norm, parametrizations); then those with a factor 0 are told apart.
"""

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only
from torch.utils.module_tracker import ModuleTracker

from prune_adapters.apply import apply_masks
from prune_adapters.layers.base import put_dense
from prune_adapters.masks import bare_module
from prune_adapters.trace.example import split_inputs

__all__ = ["MacCount", "MacRow", "count_macs", "count_parameters"]

aten = torch.ops.aten
IsFixed = Callable[[torch.Tensor], bool]


@dataclass(frozen=True)
class MacRow:
    """The multiply-adds of one call of one operator.

    Parameters
    ----------
    layer : str
        Path of the module that called it; "" for the model itself.
    operator : str
    macs : int
        Multiply-adds, padding included.
    kept : int
        Those whose weight is not 0; all of them where no weight takes part, as between queries and keys.
    """

    layer: str
    operator: str
    macs: int
    kept: int


@dataclass(frozen=True)
class MacCount:
    """The multiply-adds of one forward pass.

    Parameters
    ----------
    rows : tuple of MacRow
        In the order of the calls.

    Examples
    --------
    >>> count = count_macs(nn.Linear(3, 2), torch.ones(5, 3))
    >>> count.macs, count.by_layer()
    (30, {'': (30, 30)})
    """

    rows: tuple[MacRow, ...]

    @property
    def macs(self) -> int:
        """Number of multiply-adds of the dense model."""
        return sum(row.macs for row in self.rows)

    @property
    def kept(self) -> int:
        """Number of multiply-adds whose weight is not 0."""
        return sum(row.kept for row in self.rows)

    def by_layer(self) -> dict[str, tuple[int, int]]:
        """Return both numbers for each module that has any: ``{path: (macs, kept)}``."""
        sums: dict[str, tuple[int, int]] = {}
        for row in self.rows:
            macs, kept = sums.get(row.layer, (0, 0))
            sums[row.layer] = macs + row.macs, kept + row.kept
        return sums

    def __repr__(self) -> str:
        return f"MacCount: {self.macs} multiply-adds, {self.kept} with a weight that is not 0"


def count_macs(
    model: nn.Module,
    example_inputs: torch.Tensor | Sequence[object] | Mapping[str, object],
    *,
    masks: Mapping[str, torch.Tensor] | None = None,
) -> MacCount:
    """Return the multiply-adds of one forward pass, all and those whose weight is not 0.

    Counted are linear layers, convolutions (transposed, grouped), matrix products, attention and recurrent layers;
    not counted are elementwise operations, norms and pooling. A weight under padding counts, as everywhere. Sparse and
    regular layers count as the dense ones whose places they took.

    Parameters
    ----------
    model : Module
        A copy of it is run on the CPU, in eval mode; the model is not changed.
    example_inputs : Tensor, tuple or dict
        As `to_graph` takes them; the numbers are those of this batch and these sizes.
    masks : mapping of str to Tensor of bool, optional
        Applied to the copy. For effective numbers pass ``to_masks(trim(graph))``. Default: the model as it is.

    Returns
    -------
    MacCount

    Raises
    ------
    MaskError
        A mask does not fit the model.

    Examples
    --------
    A 3 x 3 convolution on 4 x 4 pixels, of which one of 9 weights is kept:

    >>> model = nn.Conv2d(1, 1, 3, padding=1)
    >>> mask = torch.zeros(1, 1, 3, 3, dtype=torch.bool)
    >>> mask[0, 0, 1, 1] = True
    >>> count_macs(model, torch.ones(1, 1, 4, 4), masks={"weight": mask})
    MacCount: 144 multiply-adds, 16 with a weight that is not 0
    """
    twin = put_dense(copy.deepcopy(bare_module(model)).to("cpu")).eval()
    apply_masks(twin, masks or {})
    args, kwargs = tree_map_only(torch.Tensor, lambda t: t.detach().to("cpu"), split_inputs(example_inputs))
    tracker = ModuleTracker()
    watcher = _Watcher(twin, tracker)
    with torch.no_grad(), _no_fused_encoder(), tracker, watcher:
        twin(*args, **kwargs)
    return MacCount(tuple(watcher.rows))


def count_parameters(model: nn.Module) -> tuple[int, int]:
    """Return the number of parameter elements, each once however often it is shared, and of those that are not 0.

    Parameters
    ----------
    model : Module

    Returns
    -------
    all, kept : int

    Examples
    --------
    >>> layer = nn.Linear(3, 2)
    >>> _ = apply_masks(layer, {"weight": torch.tensor([[True, False, True]] * 2)})
    >>> count_parameters(layer)
    (8, 6)
    """
    parameters = list(model.parameters())
    return sum(p.numel() for p in parameters), sum(int(torch.count_nonzero(p)) for p in parameters)


class _Watcher(TorchDispatchMode):
    """Counts the operators that multiply, and remembers which tensors come from parameters and numbers alone."""

    def __init__(self, model: nn.Module, tracker: ModuleTracker) -> None:
        super().__init__()
        self.tracker = tracker
        self.rows: list[MacRow] = []
        self.fixed = {t.untyped_storage()._cdata: t for t in (*model.parameters(), *model.buffers())}

    def __torch_dispatch__(
        self, func: torch._ops.OpOverload, types: object, args: tuple = (), kwargs: dict | None = None
    ) -> object:
        result = func(*args, **(kwargs or {}))
        given = [t for t in tree_leaves((args, kwargs)) if isinstance(t, torch.Tensor)]
        if all(map(self._is_fixed, given)):
            # The tensors are held, so that no other can come to lie at the same address.
            self.fixed |= {t.untyped_storage()._cdata: t for t in tree_leaves(result) if isinstance(t, torch.Tensor)}
        counter = COUNTERS.get(func.overloadpacket)
        if counter is not None:
            macs, kept = counter(args, result, self._is_fixed)
            self.rows.append(MacRow(self._layer(), func.overloadpacket.__name__, macs, kept))
        return result

    def _is_fixed(self, tensor: torch.Tensor) -> bool:
        return tensor.untyped_storage()._cdata in self.fixed

    def _layer(self) -> str:
        """Return the path of the innermost module that runs; the tracker puts the class of the model before it."""
        innermost = max(self.tracker.parents - {"Global"}, key=lambda name: name.count("."))
        return innermost.partition(".")[2]


def _product(args: tuple, result: object, is_fixed: IsFixed) -> tuple[int, int]:
    """Count ``mm`` and ``bmm``."""
    left, right = args[:2]
    macs = left.numel() * right.shape[-1]
    if is_fixed(right):
        return macs, int(torch.count_nonzero(right)) * left.shape[-2]
    if is_fixed(left):
        return macs, int(torch.count_nonzero(left)) * right.shape[-1]
    return macs, macs


def _sum_and_product(args: tuple, result: object, is_fixed: IsFixed) -> tuple[int, int]:
    """Count ``addmm`` and ``baddbmm``."""
    return _product(args[1:], result, is_fixed)


def _convolution(args: tuple, result: object, is_fixed: IsFixed) -> tuple[int, int]:
    """Count: each weight once for each example and position, of the input where the convolution is transposed."""
    x, weight, transposed = args[0], args[1], args[6]
    at = x if transposed else result
    assert isinstance(at, torch.Tensor)
    uses = at.numel() // at.shape[1]
    kept = int(torch.count_nonzero(weight)) if is_fixed(weight) else weight.numel()
    return weight.numel() * uses, kept * uses


def _attention(args: tuple, result: object, is_fixed: IsFixed) -> tuple[int, int]:
    """Count queries with keys, and scores with values."""
    query, key, value = args[:3]
    macs = query.numel() // query.shape[-1] * key.shape[-2] * (query.shape[-1] + value.shape[-1])
    return macs, macs


def _recurrent(args: tuple, result: object, is_fixed: IsFixed) -> tuple[int, int]:
    """Count: the weights for inputs and for hidden values, once for each step and example."""
    x, weights = args[0], args[1:3]
    uses = x.shape[0] * x.shape[1]
    return sum(w.numel() for w in weights) * uses, sum(int(torch.count_nonzero(w)) for w in weights) * uses


COUNTERS: Mapping[object, Callable[[tuple, object, IsFixed], tuple[int, int]]] = {
    aten.mm: _product,
    aten.bmm: _product,
    aten.addmm: _sum_and_product,
    aten.baddbmm: _sum_and_product,
    aten.convolution: _convolution,
    aten._scaled_dot_product_flash_attention_for_cpu: _attention,
    aten.mkldnn_rnn_layer: _recurrent,
}


@contextmanager
def _no_fused_encoder() -> Iterator[None]:
    """Turn off the kernel that would hide the attention inside."""
    enabled = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(enabled)
