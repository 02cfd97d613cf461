"""The layers of a model one by one: what each reads at any width, and its times between those that were measured."""

import copy
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import nn

from prune_adapters.compact.rebuild import shrink
from prune_adapters.compact.remake import channels_of
from prune_adapters.graph_pruning.space.places import Axis, layer_axes
from prune_adapters.graph_pruning.space.space import WidthSpace
from prune_adapters.graph_pruning.space.widths import Counts
from prune_adapters.groups import CONVOLUTIONS, TRANSPOSED
from prune_adapters.trace.example import ExampleInputs, split_inputs
from prune_adapters.trace.tracer import in_eval_mode

__all__ = ["LayerCase", "LayerTimes", "layer_cases", "monotone"]


@dataclass(frozen=True, eq=False)
class LayerCase:
    """A layer that widths make smaller, with what it reads in the whole model.

    Parameters
    ----------
    layer : Module
    inputs : dict of str to object
        Arguments of its forward call by name, the one with the channels first.
    positions : int
        Output elements for each output channel.
    axes : tuple of (Axis or None, Axis or None)
        Of its input and output channels; None where no width decides.
    sizes : tuple of (int, int)
        Input and output channels of the whole layer; of attention both are the rows of its projection.
    n_widths : int
        Of the space.
    """

    layer: nn.Module
    inputs: dict[str, object]
    positions: int
    axes: tuple[Axis | None, Axis | None]
    sizes: tuple[int, int]
    n_widths: int

    @property
    def follows(self) -> bool:
        """Whether the input channels are the output channels: norms, grouped convolutions, attention."""
        is_weighted = isinstance(self.layer, (nn.Linear, nn.Embedding, *CONVOLUTIONS, *TRANSPOSED))
        return not is_weighted or getattr(self.layer, "groups", 1) > 1

    def channels(self, counts: Counts) -> tuple[int, int]:
        """Return the numbers of input and output channels in a sub-network."""
        inputs, outputs = (fixed + int(factors @ np.array(counts)) for fixed, factors in self._lengths)
        return (outputs if self.follows else inputs), outputs

    def built(self, given: Counts, made: Counts) -> tuple[nn.Module, ExampleInputs]:
        """Return the layer with the inputs that one sub-network has and the outputs of another, and what it reads."""
        layer, (inputs, outputs) = copy.deepcopy(self.layer), self._kept(given, made)
        if isinstance(layer, nn.MultiheadAttention):
            inputs = outputs = np.asarray(outputs[: layer.embed_dim].reshape(layer.num_heads, -1).any(axis=1))
        shrink(layer, inputs, outputs)
        # Of a norm the groups name the outputs alone.
        return layer, self._narrowed(outputs if self.follows and self.axes[0] is None else inputs)

    @cached_property
    def _lengths(self) -> list[tuple[int, np.ndarray]]:
        """How the numbers of inputs and outputs follow from the counts."""
        sides = zip(self.sizes, self.axes, strict=True)
        return [(n, np.zeros(self.n_widths, int)) if axis is None else axis.length(self.n_widths) for n, axis in sides]

    def _kept(self, given: Counts, made: Counts) -> tuple[np.ndarray, np.ndarray]:
        """Return which inputs and which outputs stay: two ndarrays of bool."""
        sides = zip(self.sizes, self.axes, (given, made), strict=True)
        kept = [np.ones(size, bool) if axis is None else axis.kept(counts) for size, axis, counts in sides]
        return kept[0], kept[1]

    def _narrowed(self, kept: np.ndarray) -> dict[str, object]:
        name, read = next(iter(self.inputs.items()))
        if isinstance(self.layer, (nn.Embedding, nn.MultiheadAttention)):
            return self.inputs
        assert isinstance(read, torch.Tensor)
        chosen = torch.from_numpy(np.flatnonzero(kept)).to(read.device)
        return {**self.inputs, name: read.index_select(_channel_dim(self.layer, read), chosen)}


@dataclass(frozen=True)
class LayerTimes:
    """The seconds of one layer at some widths, and in between.

    Parameters
    ----------
    sizes : tuple of (int, int)
        Input and output channels of the whole layer.
    positions : int
        Output elements for each output channel.
    inputs, outputs : tuple of int
        The widths that were timed, ascending.
    seconds : tuple of tuple of float
        One row for each of `inputs`; they grow along both directions.

    Examples
    --------
    >>> times = LayerTimes((2, 4), 1, (1, 2), (2, 4), ((1.0, 2.0), (2.0, 4.0)))
    >>> times(1, 3), times(2, 4), times(1, 1)
    (1.5, 4.0, 1.0)
    """

    sizes: tuple[int, int]
    positions: int
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    seconds: tuple[tuple[float, ...], ...]

    def __post_init__(self) -> None:
        shape = len(self.inputs), len(self.outputs)
        table = np.array(self.seconds, dtype=np.float64)
        if table.shape != shape or 0 in shape or not np.isfinite(table).all() or table.min() < 0:
            raise ValueError(f"expected a table of seconds of shape {shape}, got {table.shape}, or no numbers from 0")
        if any((np.diff(grid) <= 0).any() for grid in (self.inputs, self.outputs)):
            raise ValueError(f"expected ascending widths, got {self.inputs} and {self.outputs}")

    def __call__(self, inputs: int, outputs: int) -> float:
        """Return the seconds, linear between the nearest widths along each direction and constant outside."""
        across = [np.interp(outputs, self.outputs, row) for row in self.seconds]
        return float(np.interp(inputs, self.inputs, across))

    @classmethod
    def timed(
        cls, case: LayerCase, shares: Sequence[Counts], timer: Callable[[nn.Module, ExampleInputs], float]
    ) -> "LayerTimes":
        """Return the times of a layer at the widths that some sub-networks give it, made monotone.

        Parameters
        ----------
        case : LayerCase
        shares : sequence of tuple of int
            Sub-networks, from narrow to wide.
        timer : callable
            Takes a module and its inputs.
        """
        made = {case.channels(counts)[1]: counts for counts in shares}
        given = {case.channels(counts)[0]: counts for counts in (shares if not case.follows else shares[-1:])}
        table = [
            [timer(*case.built(read if not case.follows else out, out)) for out in made.values()]
            for read in given.values()
        ]
        rows = tuple(tuple(row) for row in monotone(np.array(table)).tolist())
        return cls(case.sizes, case.positions, tuple(given), tuple(made), rows)


def layer_cases(space: WidthSpace) -> dict[str, LayerCase]:
    """Return the layers that widths make smaller and that run as modules, by path, in the order in which they run.

    Parameters
    ----------
    space : WidthSpace

    Returns
    -------
    dict of str to LayerCase

    Examples
    --------
    >>> from prune_adapters.graph_pruning.space.space import width_space
    >>> model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    >>> cases = layer_cases(width_space(model, torch.ones(1, 4)))
    >>> {path: case.channels((3,)) for path, case in cases.items()}
    {'0': (4, 3), '2': (3, 2)}
    """
    paths = dict.fromkeys(p for w in space.widths for group in w.groups for p in group.layers)
    sizes = {path: _sizes(space.model.get_submodule(path)) for path in paths}
    axes = layer_axes(space.widths, sizes)
    cases: dict[str, LayerCase] = {}

    def note(path: str, layer: nn.Module, args: tuple, kwargs: dict, output: object) -> None:
        made = output if isinstance(output, torch.Tensor) else output[0]  # type: ignore[index]
        named = dict(inspect.signature(layer.forward).bind(*args, **kwargs).arguments)
        channels = made.shape[-1] if isinstance(layer, nn.MultiheadAttention) else sizes[path][1]
        case = LayerCase(layer, named, made.numel() // channels, axes[path], sizes[path], len(space.widths))
        cases.setdefault(path, case)

    hooks = [
        space.model.get_submodule(path).register_forward_hook(
            lambda layer, args, kwargs, output, path=path: note(path, layer, args, kwargs, output), with_kwargs=True
        )
        for path in paths
    ]
    args, kwargs = split_inputs(space.example_inputs)
    try:
        with torch.no_grad(), in_eval_mode(space.model):
            space.model(*args, **kwargs)
    finally:
        for hook in hooks:
            hook.remove()
    return cases


def monotone(seconds: np.ndarray) -> np.ndarray:
    """Return a table that grows along both dimensions, near a given one: what noise made fall is levelled.

    Parameters
    ----------
    seconds : ndarray of float64, shape (n, m)

    Returns
    -------
    ndarray of float64, shape (n, m)
        Along each dimension in turn the mean of the largest number so far and the least from here on.

    Examples
    --------
    >>> monotone(np.array([[1.0, 4.0, 2.0, 5.0]])).tolist()
    [[1.0, 3.0, 3.0, 5.0]]
    """
    for axis in (0, 1):
        least = np.flip(np.minimum.accumulate(np.flip(seconds, axis), axis), axis)
        seconds = (np.maximum.accumulate(seconds, axis) + least) / 2
    return seconds


def _sizes(layer: nn.Module) -> tuple[int, int]:
    if isinstance(layer, nn.MultiheadAttention):
        return 3 * layer.embed_dim, 3 * layer.embed_dim
    sizes = channels_of(layer)
    assert sizes is not None
    return sizes


def _channel_dim(layer: nn.Module, read: torch.Tensor) -> int:
    """Return the dimension of what a layer reads that has its channels."""
    if isinstance(layer, (*CONVOLUTIONS, *TRANSPOSED)):
        return read.dim() - len(layer.kernel_size) - 1
    return read.dim() - 1 if isinstance(layer, (nn.Linear, nn.LayerNorm, nn.RMSNorm)) else 1
