"""The passes of `netgraph.reach` on a device: one operator a connection, and the host waits for none of them.

Same passes as `netgraph.reference`, with tensors in place of arrays. Only a cyclic graph makes the host wait, once a
round, to find out whether the round has changed anything.
"""

from collections.abc import Callable

import numpy as np
import torch

from netgraph import Connection, NetGraph, Wiring
from netgraph.reference import unit_slices
from prune_adapters.ops import count_consistent, reach_sources, reach_targets
from prune_adapters.sweeps.places import Places

__all__ = ["Passes"]

Incoming = list[tuple[Connection | Wiring, int]]
"""Connections into a layer, each with its number among the weighted ones, or among the wiring."""


class Passes:
    """One forward and one backward pass; the flags are there afterwards.

    Parameters
    ----------
    places : Places
    """

    def __init__(self, places: Places) -> None:
        self.graph = graph = places.graph
        self._places = places
        self._elements = [places.elements(position) for position in range(len(graph.weighted))]
        self._gate = places.array("gate", graph.gate, lambda: graph.gate)
        self._shift = places.array("shift", graph.shift, lambda: graph.shift)
        self._inputs = places.array("inputs", graph.inputs, lambda: _flags(graph, graph.inputs))
        self._incoming = _by_target(graph)
        # Without constants a unit that is not live is zero.
        self._has_constants = bool(graph.shift.any()) or bool(graph.products)
        self.live, self.nonzero = self._inputs.clone(), self._inputs.clone()
        self.co = places.array("outputs", graph.outputs, lambda: _flags(graph, graph.outputs)).clone()
        self._repeat(self._forward)
        if not self._has_constants:
            self.nonzero = self.live
        self._others = {name: self._passing_factors(name) for name in graph.products}
        self._repeat(self._backward)

    @property
    def passing(self) -> torch.Tensor:
        """The units whose sum some output depends on: co-accessible ones with an open gate."""
        return self.co & self._gate

    def counts(self) -> torch.Tensor:
        """Return the number of consistent elements of each weighted connection: Tensor of int64."""
        passing = self.passing
        found = [torch.zeros(0, dtype=torch.int64, device=self._places.device)]
        for c, elements in zip(self.graph.weighted, self._elements, strict=True):
            sources, targets = unit_slices(self.graph, c)
            found.append(count_consistent(elements, self.live[sources], passing[targets], groups=c.groups).view(1))
        return torch.cat(found)

    def consistent(self, position: int) -> torch.Tensor:
        """Return which elements of a weighted connection are consistent: Tensor of bool, shape of its elements."""
        c = self.graph.weighted[position]
        sources, targets = unit_slices(self.graph, c)
        kept = (self._elements[position] != 0).reshape(c.groups, c.rows // c.groups, c.columns, c.taps)
        kept = kept & self.live[sources].view(c.groups, 1, c.columns, 1)
        return (kept & self.passing[targets].view(c.groups, c.rows // c.groups, 1, 1)).reshape(
            c.rows, c.columns, c.taps
        )

    def mask(self, parameter: str) -> torch.Tensor:
        """Return which elements of a parameter are consistent in any of its uses: Tensor of bool, in its shape."""
        info = self.graph.parameters[parameter]
        found = torch.zeros(info.size, dtype=torch.int32, device=self._places.device)
        for position, c in enumerate(self.graph.weighted):
            if c.parameter != parameter:
                continue
            kept = self.consistent(position).reshape(-1).int()
            if (offset := c.contiguous_offset) is not None:
                found[offset : offset + c.size] += kept
            else:
                found.index_add_(0, self._places.indices(position).view(-1), kept)
        return (found > 0).view(info.shape)

    def _repeat(self, once: Callable[[], None]) -> None:
        while True:
            before = self._n_flags() if self.graph.is_cyclic else 0
            once()
            if not self.graph.is_cyclic or before == self._n_flags():
                return

    def _n_flags(self) -> int:
        return int(self.live.sum() + self.nonzero.sum() + self.co.sum())

    def _forward(self) -> None:
        for name in self.graph.layers:
            self._enter(name)

    def _enter(self, name: str) -> None:
        """Set the class of the units of one layer from the units that feed it, itself included in a cycle."""
        units = self.graph.slices[name]
        gate, shift, inputs = self._gate[units], self._shift[units], self._inputs[units]
        if name in self.graph.products:
            factors = self._factors(name).values()
            present, alive = torch.ones_like(gate), torch.zeros_like(gate)
            for one_alive, one_present in factors:
                present, alive = present & one_present, alive | one_alive
            alive = alive & present
        else:
            alive = self._joined(name, self.live)
            present = self._joined(name, self.nonzero) if self._has_constants else alive
        self.live[units] = (alive & gate) | inputs
        self.nonzero[units] = (present & gate) | shift | inputs

    def _joined(self, name: str, flags: torch.Tensor) -> torch.Tensor:
        """Return which units of a layer some edge joins to a flagged unit."""
        units = self.graph.slices[name]
        joined = torch.zeros_like(flags[units])
        for c, number in self._incoming[name]:
            sources, targets = unit_slices(self.graph, c)
            own = slice(targets.start - units.start, targets.stop - units.start)
            if isinstance(c, Connection):
                joined[own] |= reach_targets(self._elements[number], flags[sources], groups=c.groups)
            else:
                joined[own] |= self._along(c, number, flags[sources], targets.stop - targets.start, back=False)
        return joined

    def _along(self, c: Wiring, number: int, flags: torch.Tensor, count: int, *, back: bool) -> torch.Tensor:
        """Return which of `count` units on the other side of the wiring a flagged unit is joined to."""
        if c.pairs is not None:
            ends = self._pairs(c, number)
            start, stop = (ends[1], ends[0]) if back else (ends[0], ends[1])
            found = torch.zeros(count, dtype=torch.int32, device=flags.device)
            return found.index_add_(0, stop, flags[start].int()) > 0
        n, m = (c.fan_out, c.fan_in) if back else (c.fan_in, c.fan_out)
        return flags.view(c.groups, n).any(1)[:, None].expand(c.groups, m).reshape(-1)

    def _pairs(self, c: Wiring, number: int) -> torch.Tensor:
        """Return source and target of each fixed edge, counted inside the layers: Tensor of int64, shape (2, n)."""
        return self._places.array(("pairs", number), c, lambda: np.stack(c.edges()))

    def _factors(self, name: str) -> dict[int, tuple[torch.Tensor, torch.Tensor]]:
        """Return live and nonzero flags of each factor of a product layer; a factor without a source is a constant."""
        like = self._gate[self.graph.slices[name]]
        factors: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}
        for c, number in self._incoming[name]:
            assert isinstance(c, Wiring)
            alive, present = factors.setdefault(c.factor, (torch.zeros_like(like), torch.ones_like(like)))
            source, target = self._pairs(c, number)
            start = self.graph.slices[c.source].start
            alive[target], present[target] = self.live[start + source], self.nonzero[start + source]
        return factors

    def _passing_factors(self, name: str) -> dict[int, torch.Tensor]:
        """Return, for each factor of a product layer, the units whose other factors are all nonzero."""
        present = {number: flags for number, (_, flags) in self._factors(name).items()}
        passing = {number: torch.ones_like(flags) for number, flags in present.items()}
        for number in passing:
            for other, flags in present.items():
                if other != number:
                    passing[number] &= flags
        return passing

    def _backward(self) -> None:
        for name in reversed(list(self.graph.layers)):
            for c, number in self._incoming[name]:
                self._leave(c, number)

    def _leave(self, c: Connection | Wiring, number: int) -> None:
        """Make the sources of one connection co-accessible where a target passes their change on."""
        sources, targets = unit_slices(self.graph, c)
        passing = self.co[targets] & self._gate[targets]
        if isinstance(c, Connection):
            self.co[sources] |= reach_sources(self._elements[number], passing, groups=c.groups)
            return
        if c.target in self.graph.products:
            start = self.graph.slices[c.target].start
            passing = passing & self._others[c.target][c.factor][targets.start - start : targets.stop - start]
        self.co[sources] |= self._along(c, number, passing, sources.stop - sources.start, back=True)


def _by_target(graph: NetGraph) -> dict[str, Incoming]:
    incoming: dict[str, Incoming] = {name: [] for name in graph.layers}
    numbers = {Connection: 0, Wiring: 0}
    for c in graph.connections:
        incoming[c.target].append((c, numbers[type(c)]))
        numbers[type(c)] += 1
    return incoming


def _flags(graph: NetGraph, units: np.ndarray) -> np.ndarray:
    flags = np.zeros(graph.n_units, dtype=bool)
    flags[units] = True
    return flags
