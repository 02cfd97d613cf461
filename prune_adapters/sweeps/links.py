"""All connections of a graph on a device, for numbers that walk along them."""

from collections.abc import Iterable, Mapping
from functools import cached_property

import numpy as np
import torch

from netgraph import Connection, NetGraph
from prune_adapters.sweeps.link import Link, Vector, WeightedLink, WireLink
from prune_adapters.sweeps.places import Places

__all__ = ["Links"]

HELD = "_links"
"""Where a graph keeps its links on devices: among the derived values, which a graph with other bits takes over."""


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
    def handed(self) -> torch.Tensor:
        """Units whose live flag is that of one source, and whose co-accessible flag is that of one target."""
        found = torch.zeros(2, self.graph.n_units, device=self.device)
        into, out = found
        ones = self.vector(torch.ones_like(into))
        for wire in self.wires:
            into[wire.target.units] += wire.on(wire.source.of(ones))
            out[wire.source.units] += wire.back(wire.target.of(ones))
        for link in self.weighted:  # a unit with a weight is no such unit, whatever wires there are
            into[link.target.units] = out[link.source.units] = torch.nan
        for name in self.graph.products:
            into[self.graph.slices[name]] = 1
        return found == 1

    @cached_property
    def free(self) -> torch.Tensor:
        """Units whose live flag, and whose co-accessible flag, is not given: neither a shut gate nor an end."""
        found = self.gate.repeat(2, 1)
        for free, ends in zip(found, (self.graph.inputs, self.graph.outputs), strict=True):
            free[torch.from_numpy(ends.copy()).to(self.device)] = False
        return found

    @cached_property
    def uses(self) -> dict[str, list[WeightedLink]]:
        """The links of each parameter."""
        found: dict[str, list[WeightedLink]] = {name: [] for name in self.graph.parameters}
        for link in self.weighted:
            found[link.parameter].append(link)
        return found

    @cached_property
    def n_uses(self) -> dict[str, float]:
        """The mean number of uses of an element of each parameter, at least 1."""
        sizes = {name: sum(c.size for c in self.graph.uses(name)) for name in self.uses}
        return {name: max(1.0, size / max(1, self.graph.parameters[name].size)) for name, size in sizes.items()}

    @cached_property
    def of_products(self) -> dict[str, list[WireLink]]:
        """The wires into each product layer."""
        layers = [name for name in self.graph.layers if name in self.graph.products]
        return {name: [wire for wire in self.wires if wire.wiring.target == name] for name in layers}

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
            if len(uses) == 1 and uses[0].is_whole:
                number = uses[0].number
                found[name] = uses[0].outer(lefts[number], rights[number]).view(shape)
                continue
            found[name] = at_targets.new_zeros(shape)
            for link in uses:
                link.add(found[name].view(-1), link.outer(lefts[link.number], rights[link.number]))
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
        for layer, wires in self.of_products.items():
            ones = torch.ones(self.graph.layers[layer], device=self.device)
            factors = {wire.wiring.factor: ones.clone() for wire in wires}
            for wire in wires:  # at most one source for each factor
                factors[wire.wiring.factor][wire.target.own] -= wire.on((~nonzero[wire.source.units]).float())
            for wire in wires:
                others = [flags for factor, flags in factors.items() if factor != wire.wiring.factor]
                found[wire] = torch.stack([ones, *others]).prod(0)[wire.target.own]
        return found
