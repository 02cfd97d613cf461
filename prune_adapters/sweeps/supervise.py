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
from prune_adapters.sweeps.link import Vector, WeightedLink, WireLink
from prune_adapters.sweeps.links import Links
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
        found = sweep_on_device(graph, {name: _crisp(own) for name, own in zip(names, psi, strict=True)})
        links = Links.of(graph, psi[0].device)
        live, passing = (flags.to(psi[0].dtype) for flags in (found.accessible, found.co_accessible & links.gate))
        ctx.of, ctx.names, ctx.flags = (graph, links), names, (live, passing, found.nonzero)
        ctx.save_for_backward(*psi)
        with _exactly(live):
            joins = links.outer(names, passing[None], live[None])
        return tuple(own if links.is_used_once(name) else own.clamp_(max=1) for name, own in joins.items())

    @staticmethod
    @once_differentiable
    def backward(ctx: Context, *pulls: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        graph, links = ctx.of
        uses = [links.n_uses[name] for name in ctx.names]
        pulled = {name: pull if n == 1 else pull / n for name, n, pull in zip(ctx.names, uses, pulls, strict=True)}
        psi = dict(zip(ctx.names, ctx.saved_tensors, strict=True))
        with _exactly(pulls[0]):
            return None, None, *_Walk(graph, links, psi, ctx.flags).gradients(pulled).values()


class _Walk:
    """The way of a gradient from what joins to psi.

    Parameters
    ----------
    graph : NetGraph
    links : Links
        Of this graph, or of one that differs from it in bits.
    psi : mapping of str to Tensor
    flags : (Tensor, Tensor, Tensor), shape (n_units,)
        0 and 1: live units, and co-accessible ones with an open gate. Of bool: those that are not identically 0.
    """

    def __init__(
        self,
        graph: NetGraph,
        links: Links,
        psi: Mapping[str, torch.Tensor],
        flags: tuple[torch.Tensor, torch.Tensor, torch.Tensor],
    ) -> None:
        live, passing, nonzero = flags
        self.graph, self.links, self.names = graph, links, tuple(psi)
        self.live, self.passing = links.vector(live), links.vector(passing)
        self._open = {wire: own.to(live.dtype) for wire, own in links.opened(nonzero).items()}
        self._psi = links.matrices(graph, psi, live)

    def gradients(self, pulled: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Return the gradient of each psi from the gradients of what joins."""
        live, passing = self.live.whole, self.passing.whole
        none = live.new_zeros(())
        rest = {name: none.expand(self.graph.parameters[name].shape) for name in self.links.uses if name not in pulled}
        at_sources, at_targets = self._sums(self.links.matrices(self.graph, {**rest, **pulled}, live))
        slope_in, slope_out = self._slopes()
        self._to_the_inputs(at_sources, slope_in)
        self._to_the_outputs(at_targets, slope_out)
        left, right = torch.stack([at_sources.whole, passing]), torch.stack([live, at_targets.whole])
        return self.links.outer(self.names, left, right)

    def _sums(self, matrices: list[torch.Tensor]) -> tuple[Vector, Vector]:
        """Return what comes back to each unit from the passing ones, and what comes to it from the live ones."""
        back, on = (self.links.vector(torch.zeros_like(self.live.whole)) for _ in range(2))
        for link in self.links.weighted:
            link.back(matrices, self.passing, back)
            link.on(matrices, self.live, on)
        return back, on

    def _slopes(self) -> tuple[Vector, Vector]:
        """Return the slopes of the live flags, and of the passing ones, over the soft sums that decide them."""
        out, into = self._sums(self._psi)
        for wire in self.links.wires:
            wire.target.of(into).add_(wire.on(wire.source.of(self.live)))
            wire.source.of(out).add_(wire.back(self._opened(wire, wire.target.of(self.passing))))
        slope = torch.sigmoid(torch.stack([into.whole, out.whole]))
        slope = torch.where(self.links.handed, 1, slope * (1 - slope)) * self.links.free
        return self.links.vector(slope[0]), self.links.vector(slope[1])

    def _to_the_inputs(self, pull: Vector, slope: Vector) -> None:
        """Turn the gradient at the live flags, in place, into that at the sum that makes each unit live."""
        for number, (into, _) in reversed(list(enumerate(self.links.layers))):
            pull.layers[number].mul_(slope.layers[number])
            for link in into:
                if isinstance(link, WeightedLink):
                    link.back(self._psi, pull, pull)
                else:
                    link.source.of(pull).add_(link.back(self._opened(link, link.target.of(pull))))

    def _to_the_outputs(self, pull: Vector, slope: Vector) -> None:
        """Turn the gradient at the passing flags, in place, into that at the sum that makes each co-accessible."""
        for number, (_, out) in enumerate(self.links.layers):
            pull.layers[number].mul_(slope.layers[number])
            for link in out:
                if isinstance(link, WeightedLink):
                    link.on(self._psi, pull, pull)
                else:
                    link.target.of(pull).add_(self._opened(link, link.on(link.source.of(pull))))

    def _opened(self, wire: WireLink, at_targets: torch.Tensor) -> torch.Tensor:
        """Return the values with those that a product does not hand on through this wire set to 0."""
        return at_targets * self._open[wire] if wire in self._open else at_targets


def _crisp(psi: torch.Tensor) -> torch.Tensor:
    return torch.gt(psi, KEPT, out=torch.empty_like(psi))  # faster than to bool


def _exactly(like: torch.Tensor) -> torch.autocast:
    """Return the context in which autocast leaves products in their dtype."""
    return torch.autocast(like.device.type, enabled=False)
