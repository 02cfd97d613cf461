"""The decisions of a model: widths, each a number of channels that several layers share."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from prune_adapters.groups import ChannelGroup

__all__ = ["Counts", "Width", "find_widths"]

Counts = tuple[int, ...]
"""How many channel groups each width keeps: what tells one sub-network from another."""


@dataclass(frozen=True)
class Width:
    """A number of channels, heads or hidden units that some layers share.

    Parameters
    ----------
    name : str
        Path of the first layer that writes these channels.
    layers : tuple of str
        Paths of all layers that write them, norms and depthwise convolutions included.
    groups : tuple of ChannelGroup
        In the order of the channels. To keep k of them is to keep the first k.
    """

    name: str
    layers: tuple[str, ...]
    groups: tuple[ChannelGroup, ...]

    @property
    def size(self) -> int:
        """Number of groups: how wide it is in the whole model."""
        return len(self.groups)

    def __repr__(self) -> str:
        return f"Width({self.name!r}, {self.size}, written by {', '.join(self.layers)})"


def find_widths(groups: Iterable[ChannelGroup], order: Mapping[str, int]) -> tuple[Width, ...]:
    """Return the widths that channel groups form: those that the same layers write are one.

    Parameters
    ----------
    groups : iterable of ChannelGroup
        Of `coupled_channels`. Those that cannot be removed, or that are alone, are no choice and are left out.
    order : mapping of str to int
        When each layer runs, by module path.

    Returns
    -------
    tuple of Width
        In the order of the computation.
    """
    found: dict[tuple[str, ...], list[ChannelGroup]] = {}
    for group in groups:
        if group.removable:
            found.setdefault(tuple(group.outputs), []).append(group)
    ordered = [(sorted(layers, key=lambda path: order[path]), own) for layers, own in found.items() if len(own) > 1]
    ordered.sort(key=lambda entry: order[entry[0][0]])
    return tuple(Width(layers[0], tuple(layers), tuple(own)) for layers, own in ordered)
