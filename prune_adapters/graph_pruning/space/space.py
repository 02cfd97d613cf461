"""The widths that a model can take, and the models of these widths."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import torch
from torch import nn

from prune_adapters.apply import remove_masks
from prune_adapters.compact.attached import taken_down
from prune_adapters.compact.rebuild import shrink, shrink_parameter
from prune_adapters.compact.recipe import Recipe
from prune_adapters.compact.remake import channels_of
from prune_adapters.graph_pruning.space.costs import Costs, costs_of
from prune_adapters.graph_pruning.space.places import Axis, layer_axes, tensor_axes
from prune_adapters.graph_pruning.space.widths import Counts, Width, find_widths
from prune_adapters.groups import CHANNELWISE, COUNTED, ChannelGroup, all_groups
from prune_adapters.masks import bare_module
from prune_adapters.trace.example import ExampleInputs, split_inputs
from prune_adapters.trace.tracer import capture, in_eval_mode

__all__ = ["WidthSpace", "width_space"]

Crop = tuple[slice | torch.Tensor, ...]


@dataclass(frozen=True, eq=False, repr=False)
class WidthSpace:
    """The widths that a model can take; made by `width_space`.

    A sub-network is a tuple of counts, one for each width: how many of its channel groups stay, the leading ones.

    Parameters
    ----------
    model : Module
        The whole model; not changed.
    example_inputs : Tensor, tuple or dict
    widths : tuple of Width
        In the order of the computation.
    divisor : int
        Counts are multiples of it, or the whole width.
    fixed : mapping of str to str
        Widths that must stay although no channel needs to, by name, and why: the forward has their size written down.

    Examples
    --------
    >>> model = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 4), nn.ReLU(), nn.Linear(4, 2))
    >>> space = width_space(model, torch.ones(1, 3))
    >>> space
    WidthSpace: 2 widths, 78 parameters, 64 multiply-adds
      width  channels  written by
      0             8  0
      2             4  2
    >>> space.counts([0.5, 0.5]), space.macs((4, 2)), space.narrowed((4, 2))[2]
    ((4, 2), 24, Linear(in_features=4, out_features=2, bias=True))
    """

    model: nn.Module
    example_inputs: ExampleInputs
    widths: tuple[Width, ...]
    divisor: int
    fixed: Mapping[str, str] = field(default_factory=dict)

    @property
    def full(self) -> Counts:
        """The counts of the whole model."""
        return tuple(width.size for width in self.widths)

    def counts(self, ratios: Sequence[float]) -> Counts:
        """Return the counts nearest to the shares of the widths that are to stay.

        Parameters
        ----------
        ratios : sequence of float
            One for each width, in [0, 1]. At least `divisor` channels stay, and at least one.

        Raises
        ------
        ValueError
            There are not as many ratios as widths, or one is outside [0, 1].
        """
        if len(ratios) != len(self.widths):
            raise ValueError(f"ratios: expected one for each of {len(self.widths)} widths, got {len(ratios)}")
        if bad := next((r for r in ratios if not 0.0 <= r <= 1.0), None):
            raise ValueError(f"ratios: expected shares to keep, in [0, 1], got {bad}")
        return tuple(self._rounded(ratio, width.size) for ratio, width in zip(ratios, self.widths, strict=True))

    def ratios(self, counts: Counts) -> tuple[float, ...]:
        """Return the share of each width that stays, in (0, 1]."""
        return tuple(count / width.size for count, width in zip(self._checked(counts), self.widths, strict=True))

    def removed(self, counts: Counts) -> list[ChannelGroup]:
        """Return the channel groups that go, as `remove_channels` takes them."""
        pairs = zip(self._checked(counts), self.widths, strict=True)
        return [group for count, width in pairs for group in width.groups[count:]]

    def narrowed(self, counts: Counts) -> nn.Module:
        """Return a copy of the model of these widths, with the leading channels of every layer.

        It computes what the model computes with the other channels at zero, as after `remove_channels`: norms with
        statistics over channels go on counting those that went.
        """
        self._checked(counts)
        result = remove_masks(copy.deepcopy(self.model))
        for path, axes in self._layer_axes.items():
            layer = result.get_submodule(path)
            if counts != self.full:
                shrink(layer, *self._kept_channels(layer, axes, counts))
                if isinstance(layer, COUNTED) and layer._parameters.get("weight") is None:
                    layer.to(next(result.parameters()).device)
        for name in self._raw:
            for dim, axis in self._tensor_axes[name].items():
                shrink_parameter(result, name, dim, axis.kept(counts))
        return result

    def recipe(self, counts: Counts) -> Recipe:
        """Return the removals that make a model of these widths of the whole one, as `rebuild` takes them."""
        layers = {path: (self.model.get_submodule(path), axes) for path, axes in self._layer_axes.items()}
        kept = {path: self._kept_channels(layer, axes, counts) for path, (layer, axes) in layers.items()}
        held = {name: next(iter(self._tensor_axes[name].items())) for name in self._raw}
        entries = {name: (dim, axis.kept(counts)) for name, (dim, axis) in held.items()}
        return taken_down(self.model, self.narrowed(counts), kept, entries)

    def crops(self, counts: Counts) -> dict[str, Crop]:
        """Return where each tensor of the narrowed model lies in the whole one, by name of parameter or buffer.

        Parameters
        ----------
        counts : tuple of int

        Returns
        -------
        dict of str to tuple of slice or Tensor
            ``whole[crop]`` is the tensor of ``narrowed(counts)``: leading slices nearly always. A tensor that never
            becomes smaller has an empty crop.
        """
        self._checked(counts)
        crops: dict[str, Crop] = dict.fromkeys(self._names, ())
        for name, axes in self._tensor_axes.items():
            crops[name] = _crop([axes[dim].kept(counts) if dim in axes else None for dim in range(max(axes) + 1)])
        return crops

    def macs(self, counts: Counts) -> int:
        """Return the multiply-adds of one forward pass on the example, exactly as `count_macs` counts them."""
        return self._costs.macs(self._checked(counts))

    def parameters(self, counts: Counts) -> int:
        """Return the number of parameters."""
        return self._costs.parameters(self._checked(counts))

    def __repr__(self) -> str:
        head = f"{len(self.widths)} widths, {self.parameters(self.full):,} parameters"
        rows = [("width", "channels", "written by")]
        rows += [(w.name, str(w.size), ", ".join(w.layers)) for w in self.widths]
        first, second = (max(len(row[i]) for row in rows) for i in (0, 1))
        lines = [f"  {name:<{first}}  {size:>{second}}  {layers}" for name, size, layers in rows]
        lines += [f"  {name} stays: {reason}" for name, reason in self.fixed.items()]
        return "\n".join([f"WidthSpace: {head}, {self.macs(self.full):,} multiply-adds", *lines])

    def _rounded(self, ratio: float, size: int) -> int:
        step = min(self.divisor, size)
        return size if ratio * size > size - step / 2 else max(step, step * int(ratio * size / step + 0.5))

    def _checked(self, counts: Counts) -> Counts:
        if len(counts) != len(self.widths):
            raise ValueError(f"counts: expected one for each of {len(self.widths)} widths, got {len(counts)}")
        for count, width in zip(counts, self.widths, strict=True):
            if not 1 <= count <= width.size:
                raise ValueError(f"counts: width {width.name!r}: expected 1 to {width.size} channels, got {count}")
        return counts

    @cached_property
    def _names(self) -> tuple[str, ...]:
        return tuple(name for name, _ in (*self.model.named_parameters(), *self.model.named_buffers()))

    @cached_property
    def _tensor_axes(self) -> dict[str, dict[int, Axis]]:
        return tensor_axes(self.widths, self.model)

    @cached_property
    def _layer_axes(self) -> dict[str, tuple[Axis | None, Axis | None]]:
        paths = {path for w in self.widths for group in w.groups for path in (*group.outputs, *group.inputs)}
        return layer_axes(self.widths, {path: self._sizes(path) for path in paths})

    @cached_property
    def _raw(self) -> tuple[str, ...]:
        """Parameters that a forward uses by itself."""
        return tuple(dict.fromkeys(name for w in self.widths for group in w.groups for name in group.parameters))

    @cached_property
    def _costs(self) -> Costs:
        return costs_of(self.model, self.example_inputs, self._tensor_axes, self.full, self.narrowed)

    def _sizes(self, path: str) -> tuple[int, int]:
        layer = self.model.get_submodule(path)
        if isinstance(layer, nn.MultiheadAttention):
            return layer.embed_dim, 3 * layer.embed_dim
        sizes = channels_of(layer)
        assert sizes is not None, path
        return sizes

    def _kept_channels(
        self, layer: nn.Module, axes: tuple[Axis | None, Axis | None], counts: Counts
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return which inputs and which outputs of a layer stay; of attention both are its heads."""
        if isinstance(layer, nn.MultiheadAttention):
            assert axes[1] is not None
            rows = axes[1].kept(counts)[: layer.embed_dim].reshape(layer.num_heads, -1)
            heads = np.asarray(rows.any(axis=1))
            return heads, heads
        if isinstance(layer, (*CHANNELWISE, *COUNTED)):
            axes = axes[1], axes[1]
        sizes = channels_of(layer)
        assert sizes is not None
        everything = [np.ones(size, dtype=bool) for size in sizes]
        inputs, outputs = (axis.kept(counts) if axis else own for axis, own in zip(axes, everything, strict=True))
        return inputs, outputs


def width_space(model: nn.Module, example_inputs: ExampleInputs, *, divisor: int = 1) -> WidthSpace:
    """Return the widths that a model can take: numbers of channels, heads and hidden units, coupled as they must be.

    Parameters
    ----------
    model : Module
        Any that `to_graph` can follow; not changed. Wrappers are seen through.
    example_inputs : Tensor, tuple or dict
        As for `to_graph`. Multiply-adds are those of this batch.
    divisor : int
        Counts are multiples of it, or the whole width, as some hardware likes them.

    Returns
    -------
    WidthSpace

    Raises
    ------
    ValueError
        No channel of the model can be removed, or `divisor` is below 1.
    TraceError
        The model cannot be followed.

    Examples
    --------
    >>> model = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 2))
    >>> width_space(model, torch.ones(1, 3), divisor=4).counts([0.3])
    (4,)
    """
    if divisor < 1:
        raise ValueError(f"divisor: expected at least 1, got {divisor}")
    bare = bare_module(model)
    tape = capture(bare, example_inputs)
    order: dict[str, int] = {}
    for place, call in enumerate(tape.calls):
        order.setdefault(call.module, place)
    widths = find_widths(all_groups(tape, bare), order)
    space = _that_runs(WidthSpace(bare, example_inputs, widths, divisor))
    if not space.widths:
        raise ValueError(f"width_space: no two channels of this {type(bare).__name__} can be removed one by one")
    return space


def _that_runs(space: WidthSpace) -> WidthSpace:
    """Return the space without the widths whose size the forward has written down."""
    if not _obstacle(space, tuple(max(1, count // 2) for count in space.full)):
        return space
    fixed = {}
    for place, width in enumerate(space.widths):
        counts = list(space.full)
        counts[place] = max(1, width.size // 2)
        if reason := _obstacle(space, tuple(counts)):
            fixed[width.name] = reason
    free = tuple(width for width in space.widths if width.name not in fixed)
    return replace(space, widths=free, fixed=fixed)


def _obstacle(space: WidthSpace, counts: Counts) -> str:
    """Return why a narrowed model does not run, "" if it does."""
    args, kwargs = split_inputs(space.example_inputs)
    narrow = space.narrowed(counts)
    try:
        with torch.no_grad(), in_eval_mode(narrow):
            narrow(*args, **kwargs)
    except (RuntimeError, ValueError, IndexError, AssertionError) as error:
        return f"the narrowed model does not run ({str(error).partition(chr(10))[0]})"
    return ""


def _crop(kept: list[np.ndarray | None]) -> Crop:
    """Return the index of what stays along each dimension (None: everything)."""
    runs = [slice(None) if own is None else _leading(own) for own in kept]
    if None not in runs:
        return tuple(run for run in runs if run is not None)
    if len(kept) == 1 or kept[0] is None:
        assert kept[-1] is not None
        return (*[slice(None)] * (len(kept) - 1), torch.from_numpy(np.flatnonzero(kept[-1])))
    rows, columns = (np.arange(1) if own is None else np.flatnonzero(own) for own in kept)
    return torch.from_numpy(rows)[:, None], torch.from_numpy(columns)


def _leading(kept: np.ndarray) -> slice | None:
    """Return a leading run as a slice, None if it is none."""
    n = int(kept.sum())
    return slice(n) if kept[:n].all() else None
