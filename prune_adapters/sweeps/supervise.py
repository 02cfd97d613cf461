"""The two supervisory networks of TCMP [1]_ on the graph of any network: exact forward, straight-through backward.

A unit is live if an edge joins a live unit to it, and co-accessible if an edge joins it to a co-accessible one:

    live[t] = h(sum of psi[s, t] live[s]),    co[s] = h(sum of psi[s, t] co[t])

with the step function h, h(0) = 0. Forward, psi counts as kept where it is above one half, and one exact sweep gives
both. Backward, the slope of h is that of the sigmoid at the soft sum, and the gradient crosses each connection once in
each direction: a product of a matrix and a vector, so that all is linear in the number of weights.

Wiring adds the flag of its source with weight 1. A unit that a single wire feeds, and no weight, has the flag of its
source and hands its gradient on as it is; so does a product, to each factor whose others are not zero.

References
----------
.. [1] Sahbi, Miniaturized Graph Convolutional Networks with Topologically Consistent Pruning, arXiv:2306.17590,
   Eq. 4 and 5.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch.autograd.function import once_differentiable

from netgraph import NetGraph
from prune_adapters.sweeps.links import Links, WeightedLink, WireLink
from prune_adapters.sweeps.places import Places
from prune_adapters.sweeps.sweep import sweep_on_device

__all__ = ["Supervision"]

KEPT = 0.5
"""The value above which psi is crisp 1."""

Context = Any
"""The context of an autograd function; torch has no type for what it saves."""


class Supervision:
    """Tells which weights join a live to a co-accessible unit, with a gradient.

    Parameters
    ----------
    graph : NetGraph

    Examples
    --------
    Two hidden units; the second has an input, but leads nowhere:

    >>> import netgraph as ng
    >>> supervision = Supervision(ng.from_biadjacency([[[1], [1]], [[1, 1]]]))
    >>> psi = {"weight1": torch.tensor([[0.9], [0.9]]), "weight2": torch.tensor([[0.8, 0.1]], requires_grad=True)}
    >>> joins = supervision(psi)
    >>> joins["weight1"].tolist(), joins["weight2"].tolist()
    ([[1.0], [0.0]], [[1.0, 1.0]])

    The weight that would lead on is pulled up by what is lost without it:

    >>> joins["weight1"].sum().backward()
    >>> psi["weight2"].grad
    tensor([[0.2139, 0.2494]])
    """

    def __init__(self, graph: NetGraph) -> None:
        self.graph = graph

    def __call__(self, psi: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Return for each element of `psi` whether it joins a live to a co-accessible unit, kept or not.

        Parameters
        ----------
        psi : mapping of str to Tensor
            Values in [0, 1] in the shape of the parameter, float32 or float64, all on one device; above one half is
            kept. Parameters without an entry keep the elements that they have in the graph.

        Returns
        -------
        dict of str to Tensor
            0 and 1 in the shape and dtype of `psi`; ``psi * joins`` are the effective masks. An element with several
            uses joins if it does in any, and its gradient is shared out over all of them. In a cyclic graph the
            gradient ends where a feedback connection comes from.
        """
        return dict(zip(psi, _Joins.apply(self.graph, tuple(psi), *psi.values()), strict=True))


class _Joins(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Context, graph: NetGraph, names: tuple[str, ...], *psi: torch.Tensor) -> tuple[torch.Tensor, ...]:
        found = sweep_on_device(graph, {name: own > KEPT for name, own in zip(names, psi, strict=True)})
        links = Links.of(graph, psi[0].device)
        dtype = psi[0].dtype
        live, passing = found.accessible.to(dtype), (found.co_accessible & links.gate).to(dtype)
        ctx.of, ctx.names, ctx.flags = (graph, links), names, (live, passing, found.nonzero)
        ctx.save_for_backward(*psi)
        ctx.set_materialize_grads(False)
        joins = _outer(links, dict(zip(names, psi, strict=True)), passing[:, None], live[None])
        return tuple(own if links.is_used_once(name) else own.clamp_(max=1) for name, own in joins.items())

    @staticmethod
    @once_differentiable
    def backward(ctx: Context, *pulls: torch.Tensor | None) -> tuple[torch.Tensor | None, ...]:
        psi = dict(zip(ctx.names, ctx.saved_tensors, strict=True))
        pulled = {name: pull.contiguous() for name, pull in zip(ctx.names, pulls, strict=True) if pull is not None}
        if not pulled:
            return None, None, *pulls
        graph, links = ctx.of
        live, passing, nonzero = ctx.flags
        uses = {name: links.n_uses(name) for name in pulled}
        pulled = {name: pull if uses[name] == 1 else pull / uses[name] for name, pull in pulled.items()}
        walk = _Walk(graph, links, psi, live, passing, nonzero)
        return None, None, *walk.gradients(pulled).values()


class _Walk:
    """The way of a gradient from what joins to psi.

    Parameters
    ----------
    graph : NetGraph
    links : Links
        Of this graph, or of one that differs from it in bits.
    psi : mapping of str to Tensor
    live, passing : Tensor, shape (n_units,)
        0 and 1: live units, and co-accessible ones with an open gate.
    nonzero : Tensor of bool, shape (n_units,)
    """

    def __init__(
        self,
        graph: NetGraph,
        links: Links,
        psi: Mapping[str, torch.Tensor],
        live: torch.Tensor,
        passing: torch.Tensor,
        nonzero: torch.Tensor,
    ) -> None:
        self.graph, self.links, self.psi, self.live, self.passing = graph, links, psi, live, passing
        self._open = {wire: flags.to(live.dtype) for wire, flags in links.opened(nonzero).items()}
        self._pairs = self._by_pairs(psi)

    def gradients(self, pulled: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Return the gradient of each psi from the gradients of what joins."""
        to_live, to_passing = torch.zeros_like(self.live), torch.zeros_like(self.live)
        pairs = self._by_pairs(pulled)
        for link in self.links.weighted:
            if link.parameter in pulled:
                link.back(pairs[link.number], self.passing, to_live)
                link.on(pairs[link.number], self.live, to_passing)
        slope_in, slope_out = self._slopes()
        at_targets = self._to_the_inputs(to_live, slope_in)
        at_sources = self._to_the_outputs(to_passing, slope_out)
        left, right = torch.stack([at_targets, self.passing], 1), torch.stack([self.live, at_sources])
        return _outer(self.links, self.psi, left, right)

    def _by_pairs(self, values: Mapping[str, torch.Tensor]) -> list[torch.Tensor]:
        """Return for each weighted connection the sums over the taps."""
        places = Places(self.graph, values, self.live.device)
        found = []
        for link in self.links.weighted:
            whole = values.get(link.parameter) if link.is_whole else None
            found.append(link.pairs(places.elements(link.number).to(self.live.dtype) if whole is None else whole))
        return found

    def _slopes(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the slopes of the live flags, and of the passing ones, over the soft sums that decide them."""
        into, out = torch.zeros_like(self.live), torch.zeros_like(self.live)
        for link in self.links.weighted:
            link.on(self._pairs[link.number], self.live, into)
            link.back(self._pairs[link.number], self.passing, out)
        for wire in self.links.wires:
            into[wire.targets] += wire.on(self.live)
            out[wire.sources] += wire.back(self._opened(wire, self.passing))
        slopes = (
            torch.where(handed, 1, _slope(sums)) for handed, sums in zip(self.links.handed, (into, out), strict=True)
        )
        slope_in, slope_out = (slope * free for slope, free in zip(slopes, self.links.free, strict=True))
        return slope_in, slope_out

    def _to_the_inputs(self, pull: torch.Tensor, slope: torch.Tensor) -> torch.Tensor:
        """Return the gradient at the sum that makes each unit live, from that at the live flags."""
        at = torch.zeros_like(pull)
        for (into, _), own, pulled, steep in reversed(self._by_layers(at, pull, slope)):
            torch.mul(pulled, steep, out=own)
            for link in into:
                if isinstance(link, WeightedLink):
                    link.back(self._pairs[link.number], at, pull)
                else:
                    pull[link.sources] += link.back(self._opened(link, at))
        return at

    def _to_the_outputs(self, pull: torch.Tensor, slope: torch.Tensor) -> torch.Tensor:
        """Return the gradient at the sum that makes each unit co-accessible, from that at the passing flags."""
        at = torch.zeros_like(pull)
        for (_, out), own, pulled, steep in self._by_layers(at, pull, slope):
            torch.mul(pulled, steep, out=own)
            for link in out:
                if isinstance(link, WeightedLink):
                    link.on(self._pairs[link.number], at, pull)
                else:
                    found = link.on(at)
                    pull[link.targets] += found * self._open[link] if link in self._open else found
        return at

    def _by_layers(self, *over_units: torch.Tensor) -> list:
        """Return the links of each layer, with views of the parts of some vectors that are its units."""
        parts = [vector.split(self.links.sizes) for vector in over_units]
        return list(zip(((into, out) for _, into, out in self.links.layers), *parts, strict=True))

    def _opened(self, wire: WireLink, at_units: torch.Tensor) -> torch.Tensor:
        """Return the values with those that a product does not hand on through this wire set to 0."""
        if wire not in self._open:
            return at_units
        opened = at_units.clone()
        opened[wire.targets] *= self._open[wire]
        return opened


def _outer(
    links: Links, like: Mapping[str, torch.Tensor], at_targets: torch.Tensor, at_sources: torch.Tensor
) -> dict[str, torch.Tensor]:
    """Return for each element the sum, over pairs of vectors, of what is at its target times what is at its source."""
    found = {name: torch.zeros_like(own, memory_format=torch.contiguous_format) for name, own in like.items()}
    for link in links.weighted:
        if link.parameter in found:
            link.add_outer(found[link.parameter].view(-1), at_targets, at_sources)
    return found


def _slope(sums: torch.Tensor) -> torch.Tensor:
    sigmoid = torch.sigmoid(sums)
    return sigmoid * (1 - sigmoid)
