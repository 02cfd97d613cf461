"""The connections of a graph as products of matrices and vectors over its units, for numbers that walk along them."""

from functools import cached_property

import numpy as np
import torch

from netgraph import Connection, ElementIndex, NetGraph
from netgraph.reference import unit_slices
from prune_adapters.sweeps.places import Places

__all__ = ["Links", "WeightedLink", "WireLink"]

HELD = "_links"
"""Where a graph keeps its links on devices: among the derived values, which a graph with other bits takes over."""


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
        self.number, self.parameter = number, c.parameter
        self.sources, self.targets = unit_slices(places.graph, c)
        self._shape, self._taps = (c.groups, c.rows // c.groups, c.columns), c.taps
        self.is_whole = c.contiguous_offset == 0 and c.size == places.graph.parameters[c.parameter].size
        """Whether the elements are those of the parameter in their order."""
        is_view = isinstance(c.index, ElementIndex) and min(c.index.offset, *c.index.strides) >= 0 and c.is_distinct
        self._index = c.index if is_view else None
        self._elements = None if self._index else places.indices(number).reshape(-1)

    @property
    def is_view(self) -> bool:
        """Whether a view of the parameter holds the elements, each of them once."""
        return self._elements is None

    def pairs(self, elements: torch.Tensor) -> torch.Tensor:
        """Return the sums of elements over the taps: Tensor, shape (groups, rows of a group, columns)."""
        if self._taps > 1:
            elements = elements.reshape(-1, self._taps) @ elements.new_ones(self._taps)  # faster than a sum of few
        return elements.view(self._shape)

    def on(self, pairs: torch.Tensor, at_sources: torch.Tensor, at_targets: torch.Tensor) -> None:
        """Add to the targets what comes from the sources."""
        _add_product(at_targets[self.targets], pairs, at_sources[self.sources])

    def back(self, pairs: torch.Tensor, at_targets: torch.Tensor, at_sources: torch.Tensor) -> None:
        """Add to the sources what comes back from the targets."""
        _add_product(at_sources[self.sources], pairs.mT, at_targets[self.targets])

    def add_outer(self, flat: torch.Tensor, at_targets: torch.Tensor, at_sources: torch.Tensor) -> None:
        """Add to each element of a flat parameter the product of what is at its target and at its source.

        With k vectors of each, of shape (n_units, k) and (k, n_units), it is the sum of k products.
        """
        groups, rows = self._shape[:2]
        left, right = at_targets[self.targets], at_sources[:, self.sources]
        if self._taps > 1:
            right = right[..., None].expand(-1, -1, self._taps).flatten(1)
        if self.is_whole and groups == 1:
            flat.view(rows, -1).addmm_(left, right)
            return
        by_group = right.view(len(right), groups, -1).transpose(0, 1)
        outer = (left.view(groups, rows, -1) @ by_group).view(*self._shape, self._taps)
        if self._elements is not None:
            flat.index_add_(0, self._elements, outer.view(-1))
        elif isinstance(self._index, ElementIndex):
            flat.as_strided(outer.shape, self._index.strides, self._index.offset).add_(outer)


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
        self.sources, self.targets = unit_slices(graph, c)
        self.of_product = c.target in graph.products
        self._ends = None
        if c.pairs is not None:
            self._ends = places.array(("pairs", number), c, lambda: np.stack(c.edges()))

    def on(self, at_sources: torch.Tensor) -> torch.Tensor:
        """Return what comes to the targets from the sources."""
        return self._along(at_sources[self.sources], self.targets.stop - self.targets.start, back=False)

    def back(self, at_targets: torch.Tensor) -> torch.Tensor:
        """Return what comes back to the sources from the targets."""
        return self._along(at_targets[self.targets], self.sources.stop - self.sources.start, back=True)

    def _along(self, values: torch.Tensor, count: int, *, back: bool) -> torch.Tensor:
        if self._ends is not None:
            start, stop = self._ends.flip(0) if back else self._ends
            return values.new_zeros(count).index_add_(0, stop, values[start])
        n, m = (self.wiring.fan_out, self.wiring.fan_in) if back else (self.wiring.fan_in, self.wiring.fan_out)
        if n == m == 1:
            return values
        return values.view(self.wiring.groups, n).sum(1)[:, None].expand(-1, m).reshape(-1)


Link = WeightedLink | WireLink


class Links:
    """All connections of a graph on a device; made once for each, see `of`.

    Parameters
    ----------
    graph : NetGraph
    device : device
    """

    def __init__(self, graph: NetGraph, device: torch.device) -> None:
        places = Places(graph, {}, device)
        self.graph, self.device = graph, device
        self.weighted = [WeightedLink(places, number) for number in range(len(graph.weighted))]
        self.wires = [WireLink(places, number) for number in range(len(graph.wiring))]
        self.gate = torch.from_numpy(graph.gate.copy()).to(device)
        weighted, wires = iter(self.weighted), iter(self.wires)
        layers: dict[str, tuple[slice, list[Link], list[Link]]] = {n: (own, [], []) for n, own in graph.slices.items()}
        for c in graph.connections:
            link: Link = next(weighted) if isinstance(c, Connection) else next(wires)
            layers[c.target][1].append(link)
            layers[c.source][2].append(link)
        self.layers = list(layers.values())
        """Units of each layer, links that come in and links that go out."""
        self.sizes = list(graph.layers.values())
        """Units of each layer; they lie one layer after the other."""

    @classmethod
    def of(cls, graph: NetGraph, device: torch.device) -> "Links":
        """Return the links of a graph, which holds them."""
        held = graph.__dict__.setdefault(HELD, {})
        if device not in held or held[device].graph.gate is not graph.gate:
            held[device] = cls(graph, device)
        return held[device]

    @cached_property
    def handed(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Units whose live flag is that of one source, and whose co-accessible flag is that of one target."""
        into, out = (torch.zeros(self.graph.n_units, device=self.device) for _ in range(2))
        ones = torch.ones_like(into)
        for wire in self.wires:
            into[wire.targets] += wire.on(ones)
            out[wire.sources] += wire.back(ones)
        for link in self.weighted:  # a unit with a weight is no such unit, whatever wires there are
            into[link.targets] = out[link.sources] = torch.nan
        for name in self.graph.products:
            into[self.graph.slices[name]] = 1
        return into == 1, out == 1

    @cached_property
    def free(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Units whose live flag, and whose co-accessible flag, is not given: neither a shut gate nor an end."""
        found = []
        for ends in (self.graph.inputs, self.graph.outputs):
            free = self.gate.clone()
            free[torch.from_numpy(ends.copy()).to(self.device)] = False
            found.append(free)
        return found[0], found[1]

    def is_used_once(self, parameter: str) -> bool:
        """Tell whether no element of a parameter has several uses, by one connection and its layout."""
        own = [link for link in self.weighted if link.parameter == parameter]
        return len(own) == 1 and own[0].is_view

    def n_uses(self, parameter: str) -> float:
        """Return the mean number of uses of an element of a parameter, at least 1."""
        size = sum(c.size for c in self.graph.uses(parameter))
        return max(1.0, size / max(1, self.graph.parameters[parameter].size))

    def opened(self, nonzero: torch.Tensor) -> dict[WireLink, torch.Tensor]:
        """Return for each wire into a product at which of its targets all other factors are nonzero.

        Parameters
        ----------
        nonzero : Tensor of bool, shape (n_units,)
            Units whose value is not identically 0.

        Returns
        -------
        dict of WireLink to Tensor
            0 and 1, of float32.
        """
        found: dict[WireLink, torch.Tensor] = {}
        missing = (~nonzero).float()
        for units, into, _ in self.layers:
            wires = [link for link in into if isinstance(link, WireLink) and link.of_product]
            places = [slice(wire.targets.start - units.start, wire.targets.stop - units.start) for wire in wires]
            factors = {wire.wiring.factor: torch.ones(units.stop - units.start, device=self.device) for wire in wires}
            for wire, place in zip(wires, places, strict=True):
                factors[wire.wiring.factor][place] -= wire.on(missing)  # at most one source for each factor
            for wire, place in zip(wires, places, strict=True):
                others = [flags[place] for factor, flags in factors.items() if factor != wire.wiring.factor]
                found[wire] = torch.stack([torch.ones_like(missing[wire.targets]), *others]).prod(0)
        return found


def _add_product(result: torch.Tensor, pairs: torch.Tensor, values: torch.Tensor) -> None:
    """Add to the result, in place, the product of a matrix for each group with its part of the values."""
    groups = pairs.shape[0]
    if groups == 1:
        result.addmv_(pairs[0], values)
    else:
        result.view(groups, -1, 1).baddbmm_(pairs, values.view(groups, -1, 1))
