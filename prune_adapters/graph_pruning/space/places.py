"""Where the channels of a model's widths lie in its tensors."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from torch import nn

from prune_adapters.graph_pruning.space.widths import Counts, Width
from prune_adapters.groups import CHANNELWISE, ChannelGroup, silenced

__all__ = ["Axis", "layer_axes", "tensor_axes"]

STATISTICS = ("running_mean", "running_var")


@dataclass(frozen=True, eq=False)
class Axis:
    """One dimension along which widths decide what stays.

    Parameters
    ----------
    size : int
        Number of entries in the whole model.
    entries : mapping of int to ndarray of int64, shape (groups, m)
        For each width that has entries here, by its place: the m entries of each of its groups.
    """

    size: int
    entries: Mapping[int, np.ndarray]

    def kept(self, counts: Counts) -> np.ndarray:
        """Return which entries stay: ndarray of bool, shape (size,)."""
        kept = np.ones(self.size, dtype=bool)
        for width, entries in self.entries.items():
            kept[entries[counts[width] :].ravel()] = False
        return kept

    def length(self, n_widths: int) -> tuple[int, np.ndarray]:
        """Return how the number of entries that stay follows from the counts: ``constant + factors @ counts``."""
        factors = np.zeros(n_widths, dtype=np.int64)
        for width, entries in self.entries.items():
            factors[width] = entries.shape[1]
        fixed = self.size - sum(entries.size for entries in self.entries.values())
        return fixed, factors


def tensor_axes(widths: Sequence[Width], model: nn.Module) -> dict[str, dict[int, Axis]]:
    """Return the axes of all parameters and buffers of a model that become smaller, by name and dimension.

    Parameters
    ----------
    widths : sequence of Width
    model : Module

    Returns
    -------
    dict of str to dict of int to Axis
    """
    shapes = {name: tensor.shape for name, tensor in (*model.named_parameters(), *model.named_buffers())}
    found = _collected(widths, lambda group: _entries_in_tensors(group, model))
    axes: dict[str, dict[int, Axis]] = {}
    for (name, dim), entries in found.items():
        axes.setdefault(name, {})[dim] = Axis(shapes[name][dim], entries)
    return axes


def layer_axes(
    widths: Sequence[Width], sizes: Mapping[str, tuple[int, int]]
) -> dict[str, tuple[Axis | None, Axis | None]]:
    """Return the axes of the input and the output channels of all layers that become smaller, by path.

    Parameters
    ----------
    widths : sequence of Width
    sizes : mapping of str to (int, int)
        Input and output channels of each layer; of attention, the rows of its projection.

    Returns
    -------
    dict of str to (Axis or None, Axis or None)
    """
    found = _collected(widths, _entries_in_layers)
    return {
        path: tuple(Axis(sizes[path][i], found[path, i]) if (path, i) in found else None for i in (0, 1))  # type: ignore[misc]
        for path in dict.fromkeys(path for path, _ in found)
    }


Entry = tuple[tuple[str, int], Sequence[int]]
Listed = Callable[[ChannelGroup], Iterator[Entry]]


def _collected(widths: Sequence[Width], listed: Listed) -> dict[tuple[str, int], dict[int, np.ndarray]]:
    """Return the entries of each width's groups, one row a group, by what `listed` says of a group."""
    rows: dict[tuple[str, int], dict[int, list[Sequence[int]]]] = {}
    for number, width in enumerate(widths):
        for group in width.groups:
            for key, entries in listed(group):
                rows.setdefault(key, {}).setdefault(number, []).append(entries)
    return {key: {number: np.array(own, np.int64) for number, own in by.items()} for key, by in rows.items()}


def _entries_in_tensors(group: ChannelGroup, model: nn.Module) -> Iterator[Entry]:
    for name, place in silenced(group, model):
        entries = place[-1]
        assert isinstance(entries, list)
        yield (name, len(place) - 1), entries
    for path, channels in group.outputs.items():
        module = model.get_submodule(path)
        if isinstance(module, CHANNELWISE):
            for name in _more_of(module):
                yield (f"{path}.{name}".lstrip("."), 0), channels


def _more_of(module: nn.Module) -> Iterable[str]:
    """Return the tensors of a channelwise layer that need not be silenced: statistics, and slopes."""
    if isinstance(module, nn.PReLU):
        return ["weight"] if module.num_parameters > 1 else []
    return [name for name in STATISTICS if getattr(module, name, None) is not None]


def _entries_in_layers(group: ChannelGroup) -> Iterator[Entry]:
    for index, members in ((0, group.inputs), (1, group.outputs)):
        for path, channels in members.items():
            yield (path, index), channels
