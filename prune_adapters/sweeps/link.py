"""One connection of a graph as a product of a matrix and a vector over its units.

A vector over units comes with views of its layers, made once for all links that use it.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from netgraph import Connection, ElementIndex, NetGraph, Wiring
from netgraph.reference import unit_slices
from prune_adapters.sweeps.places import Places

__all__ = ["End", "Link", "Vector", "WeightedLink", "WireLink"]


class Vector(NamedTuple):
    """Numbers over all units, and views of the parts that are the layers."""

    whole: torch.Tensor
    layers: tuple[torch.Tensor, ...]


class End(NamedTuple):
    """The units at one end of a connection.

    Parameters
    ----------
    layer : int
    own : slice
        Which units of the layer.
    is_all : bool
        Whether these are all of them.
    units : slice
        The same among all units.
    """

    layer: int
    own: slice
    is_all: bool
    units: slice

    def of(self, vector: Vector) -> torch.Tensor:
        """Return the part of a vector."""
        part = vector.layers[self.layer]
        return part if self.is_all else part[self.own]


class WeightedLink:
    """One use of a parameter.

    Parameters
    ----------
    places : Places
    number : int
        Place of the connection in ``graph.weighted``.
    """

    def __init__(self, places: Places, number: int) -> None:
        c = places.graph.weighted[number]
        self.number, self.parameter, self.taps = number, c.parameter, c.taps
        self.source, self.target = _ends(places.graph, c)
        self._shape = c.groups, c.rows // c.groups, c.columns
        self.is_whole = c.contiguous_offset == 0 and c.size == places.graph.parameters[c.parameter].size
        """Whether the elements are those of the parameter in their order."""
        self._elements: ElementIndex | torch.Tensor
        if isinstance(c.index, ElementIndex) and min(c.index.offset, *c.index.strides) >= 0 and c.is_distinct:
            self._elements = c.index
        else:
            self._elements = places.indices(number).reshape(-1)

    @property
    def is_view(self) -> bool:
        """Whether a view of the parameter holds the elements, each of them once."""
        return isinstance(self._elements, ElementIndex)

    def matrix(self, elements: torch.Tensor, ones: torch.Tensor) -> torch.Tensor:
        """Return the sums of elements over the taps: Tensor, shape ([groups,] rows of a group, columns)."""
        if self.taps > 1:
            elements = torch.mv(elements.reshape(-1, self.taps), ones)  # faster than a sum of few
        return elements.reshape(self._shape if self._shape[0] > 1 else self._shape[1:])

    def on(self, matrices: Sequence[torch.Tensor], at_sources: Vector, at_targets: Vector) -> None:
        """Add to the targets what comes from the sources."""
        _add_product(self.target.of(at_targets), matrices[self.number], self.source.of(at_sources))

    def back(self, matrices: Sequence[torch.Tensor], at_targets: Vector, at_sources: Vector) -> None:
        """Add to the sources what comes back from the targets."""
        _add_product(self.source.of(at_sources), matrices[self.number].mT, self.target.of(at_targets))

    def outer(self, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        """Return for each element the sum of k products: of what is at its target, and at its source and tap.

        Their shapes are (rows, k) and (k, groups * columns * taps).
        """
        groups, rows = self._shape[:2]
        if groups == 1:
            return torch.mm(left, right)
        by_group = right.view(len(right), groups, -1).transpose(0, 1)
        return torch.bmm(left.reshape(groups, rows, -1), by_group)

    def add(self, flat: torch.Tensor, elements: torch.Tensor) -> None:
        """Add to a flat parameter, in place."""
        if isinstance(self._elements, torch.Tensor):
            flat.index_add_(0, self._elements, elements.view(-1))
        else:
            view = flat.as_strided((*self._shape, self.taps), self._elements.strides, self._elements.offset)
            view.add_(elements.view(view.shape))


class WireLink:
    """Fixed edges.

    Parameters
    ----------
    places : Places
    number : int
        Place of the wiring in ``graph.wiring``.
    """

    def __init__(self, places: Places, number: int) -> None:
        graph, c = places.graph, places.graph.wiring[number]
        self.wiring = c
        self.source, self.target = _ends(graph, c)
        self._pairs = None
        if c.pairs is not None:
            self._pairs = places.array(("pairs", number), c, lambda: np.stack(c.edges()))

    def on(self, at_sources: torch.Tensor) -> torch.Tensor:
        """Return what comes to its targets from what is at its sources."""
        return self._along(at_sources, self.target.units.stop - self.target.units.start, back=False)

    def back(self, at_targets: torch.Tensor) -> torch.Tensor:
        """Return what comes back to its sources from what is at its targets."""
        return self._along(at_targets, self.source.units.stop - self.source.units.start, back=True)

    def _along(self, values: torch.Tensor, count: int, *, back: bool) -> torch.Tensor:
        if self._pairs is not None:
            start, stop = self._pairs.flip(0) if back else self._pairs
            return values.new_zeros(count).index_add_(0, stop, values[start])
        n, m = (self.wiring.fan_out, self.wiring.fan_in) if back else (self.wiring.fan_in, self.wiring.fan_out)
        if n == m == 1:
            return values
        return values.view(self.wiring.groups, n).sum(1)[:, None].expand(-1, m).reshape(-1)


Link = WeightedLink | WireLink


def _ends(graph: NetGraph, c: Connection | Wiring) -> list[End]:
    found = []
    for name, units in zip((c.source, c.target), unit_slices(graph, c), strict=True):
        layer = graph.slices[name]
        own = slice(units.start - layer.start, units.stop - layer.start)
        found.append(End(list(graph.layers).index(name), own, units == layer, units))
    return found


def _add_product(result: torch.Tensor, matrix: torch.Tensor, values: torch.Tensor) -> None:
    """Add to the result, in place, the product of a matrix, or of one for each group, with its part of the values."""
    if matrix.dim() == 2:
        result.addmv_(matrix, values)
    else:
        result.view(len(matrix), -1, 1).baddbmm_(matrix, values.view(len(matrix), -1, 1))
