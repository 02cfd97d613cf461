"""The connections of a graph as products of matrices and vectors over its units, for numbers that walk along them.

A vector over units comes with views of its layers, made once for all links that use it.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch

from netgraph import Connection, ElementIndex, NetGraph, Wiring
from netgraph.reference import unit_slices
from prune_adapters.sweeps.places import Places

__all__ = ["End", "Links", "WeightedLink", "WireLink"]

HELD = "_links"
"""Where a graph keeps its links on devices: among the derived values, which a graph with other bits takes over."""


class Vector(NamedTuple):
    """Numbers over all units, and views of the parts that are the layers."""

    whole: torch.Tensor
    layers: tuple[torch.Tensor, ...]


class End(NamedTuple):
    """The units at one end of a connection.

    Parameters
    ----------
    layer : int
    own : slice or None
        Which units of the layer; None for all.
    units : slice
        The same among all units.
    """

    layer: int
    own: slice | None
    units: slice

    def of(self, vector: Vector) -> torch.Tensor:
        """Return the part of a vector."""
        part = vector.layers[self.layer]
        return part if self.own is None else part[self.own]


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
        is_view = isinstance(c.index, ElementIndex) and min(c.index.offset, *c.index.strides) >= 0 and c.is_distinct
        self._index = c.index if is_view else None
        self._elements = None if self._index else places.indices(number).reshape(-1)

    @property
    def is_view(self) -> bool:
        """Whether a view of the parameter holds the elements, each of them once."""
        return self._elements is None

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
        if isinstance(self._index, ElementIndex):
            view = flat.as_strided((*self._shape, self.taps), self._index.strides, self._index.offset)
            view.add_(elements.view(view.shape))
        else:
            flat.index_add_(0, self._elements, elements.view(-1))


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
        self.layers: list[tuple[list[Link], list[Link]]] = [([], []) for _ in graph.layers]
        """Links that come into each layer and links that go out, without those that lead back."""
        for c in graph.connections:
            link: Link = next(weighted) if isinstance(c, Connection) else next(wires)
            if link.source.layer < link.target.layer:
                self.layers[link.target.layer][0].append(link)
                self.layers[link.source.layer][1].append(link)
        self._sizes = tuple(graph.layers.values())
        units = np.arange(graph.n_units)
        sources = [np.repeat(units[link.source.units], link.taps) for link in self.weighted]
        targets = [units[link.target.units] for link in self.weighted]
        self._sources, self._targets = (torch.from_numpy(np.concatenate(e)).to(device) for e in (sources, targets))
        """The source of each element in a row of a group, and the target of each row, of all weighted links."""
        self._n_sources, self._n_targets = [len(own) for own in sources], [len(own) for own in targets]

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
        ones = self.vector(torch.ones_like(into))
        for wire in self.wires:
            into[wire.target.units] += wire.on(wire.source.of(ones))
            out[wire.source.units] += wire.back(wire.target.of(ones))
        for link in self.weighted:  # a unit with a weight is no such unit, whatever wires there are
            into[link.target.units] = out[link.source.units] = torch.nan
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

    @cached_property
    def uses(self) -> dict[str, list[WeightedLink]]:
        """The links of each parameter."""
        found: dict[str, list[WeightedLink]] = {name: [] for name in self.graph.edge_parameters}
        for link in self.weighted:
            found[link.parameter].append(link)
        return found

    @cached_property
    def n_uses(self) -> dict[str, float]:
        """The mean number of uses of an element of each parameter, at least 1."""
        sizes = {name: sum(c.size for c in self.graph.uses(name)) for name in self.uses}
        return {name: max(1.0, size / max(1, self.graph.parameters[name].size)) for name, size in sizes.items()}

    def is_used_once(self, parameter: str) -> bool:
        """Tell whether no element of a parameter has several uses, by one connection and its layout."""
        own = self.uses[parameter]
        return len(own) == 1 and own[0].is_view

    def vector(self, over_units: torch.Tensor) -> Vector:
        """Return a vector with its layers, whose units lie one after the other."""
        return Vector(over_units, over_units.split_with_sizes(self._sizes))

    def matrices(self, graph: NetGraph, values: Mapping[str, torch.Tensor], like: torch.Tensor) -> list[torch.Tensor]:
        """Return the matrix of each weighted link, in the dtype of `like`, from values and other kept elements.

        `graph` may differ from that of the links in bits.
        """
        places, found = Places(graph, values, self.device), []
        ones = {taps: like.new_ones(taps) for taps in {link.taps for link in self.weighted}}
        for link in self.weighted:
            elements = values.get(link.parameter) if link.is_whole else None
            if elements is None:
                elements = places.elements(link.number).to(like.dtype)
            found.append(link.matrix(elements, ones[link.taps]))
        return found

    def outer(
        self, names: Iterable[str], at_targets: torch.Tensor, at_sources: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        """Return for each element of some parameters what its target has times what its source has.

        With k vectors of each, of shape (k, n_units), it is the sum of k products, and a sum over its uses.
        """
        lefts = at_targets.index_select(1, self._targets).mT.split_with_sizes(self._n_targets)
        rights = at_sources.index_select(1, self._sources).split_with_sizes(self._n_sources, 1)
        found = {}
        for name in names:
            shape, uses = self.graph.parameters[name].shape, self.uses[name]
            outers = [link.outer(lefts[link.number], rights[link.number]) for link in uses]
            if len(uses) == 1 and uses[0].is_whole:
                found[name] = outers[0].view(shape)
                continue
            found[name] = at_targets.new_zeros(shape)
            for link, own in zip(uses, outers, strict=True):
                link.add(found[name].view(-1), own)
        return found

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
        for layer in self.graph.products:
            wires = [wire for wire in self.wires if wire.wiring.target == layer]
            factors = {wire.wiring.factor: torch.ones_like(nonzero, dtype=torch.float32) for wire in wires}
            for wire in wires:  # at most one source for each factor
                factors[wire.wiring.factor][wire.target.units] -= wire.on((~nonzero[wire.source.units]).float())
            for wire in wires:
                others = [flags for factor, flags in factors.items() if factor != wire.wiring.factor]
                found[wire] = torch.stack([own[wire.target.units] for own in others]).prod(0)
        return found


def _ends(graph: NetGraph, c: Connection | Wiring) -> list[End]:
    found = []
    for name, units in zip((c.source, c.target), unit_slices(graph, c), strict=True):
        layer = graph.slices[name]
        own = slice(units.start - layer.start, units.stop - layer.start)
        found.append(End(list(graph.layers).index(name), None if units == layer else own, units))
    return found


def _add_product(result: torch.Tensor, matrix: torch.Tensor, values: torch.Tensor) -> None:
    """Add to the result, in place, the product of a matrix, or of one for each group, with its part of the values."""
    if matrix.dim() == 2:
        result.addmv_(matrix, values)
    else:
        result.view(len(matrix), -1, 1).baddbmm_(matrix, values.view(len(matrix), -1, 1))
