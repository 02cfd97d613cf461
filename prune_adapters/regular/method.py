"""Regular graph pruning in one call: a sparsity gives the degree of a graph with short paths, and that gives masks."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import torch
from torch import nn

from netgraph import InfeasibleDegreeError, NodeGraph, shorten
from netgraph.generators import best_known
from netgraph.paths import aspl_lower_bound, average_shortest_path_length
from prune_adapters.counts import MacCount, count_macs
from prune_adapters.regular.masks import layers_to_mask, regular_masks, widths

__all__ = ["RegularPruning", "regular_prune"]

Inputs = torch.Tensor | Sequence[object] | Mapping[str, object]

MOST_NODES = 64
"""Nodes where there are channels enough: those of the paper for VGG-16 and ResNet-18 and 50."""
STEPS = 200_000
"""Steps of the search; for 64 nodes more seldom shortens a path."""


@dataclass(frozen=True)
class RegularPruning:
    """Masks from one regular graph, and what is known of both.

    Parameters
    ----------
    masks : dict of str to Tensor of bool
        True = kept; `apply_masks` takes them.
    graph : NodeGraph
        The regular graph that they repeat.
    degree : int
        Of each of its nodes, self-loops not counted.
    path_length : float
        Mean path length of the graph, in hops.
    bound : float
        What that of no graph with as many nodes and this degree falls below.
    requested : float
        Sparsity that was asked for, or that the degree stands for where channels divide evenly.
    macs : MacCount or None
        Multiply-adds of the example inputs, if they were asked for.

    Examples
    --------
    >>> model = nn.Sequential(nn.Linear(3, 16), nn.ReLU(), nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 2))
    >>> pruning = regular_prune(model, torch.ones(1, 3), degree=4, steps=5000, seed=0)
    >>> pruning.by_layer(), pruning.sparsity
    ({'2.weight': (128, 512)}, 0.75)
    """

    masks: dict[str, torch.Tensor] = field(repr=False)
    graph: NodeGraph
    degree: int
    path_length: float
    bound: float
    requested: float
    macs: MacCount | None = None

    @property
    def gap(self) -> float:
        """Path length over its bound, minus 1."""
        return self.path_length / self.bound - 1

    @property
    def total(self) -> int:
        """Number of weights of the masked layers."""
        return sum(mask.numel() for mask in self.masks.values())

    @property
    def kept(self) -> int:
        """Number of weights that the masks keep."""
        return sum(int(mask.sum()) for mask in self.masks.values())

    @property
    def density(self) -> float:
        """Fraction of the weights of the masked layers that is kept, in [0, 1]."""
        return self.kept / self.total

    @property
    def sparsity(self) -> float:
        """Fraction of the weights of the masked layers that is removed, in [0, 1]."""
        return 1 - self.density

    def by_layer(self) -> dict[str, tuple[int, int]]:
        """Return the kept weights and all weights of each masked layer: ``{parameter: (kept, total)}``."""
        return {name: (int(mask.sum()), mask.numel()) for name, mask in self.masks.items()}

    def __str__(self) -> str:
        layers = f"{len(self.masks)} masked layer{'' if len(self.masks) == 1 else 's'}"
        lines = [
            f"{self.degree}-regular graph of {self.graph.n_nodes} nodes: "
            f"mean path length {self.path_length:.4f} hops, {self.gap:.2%} above the bound",
            f"{self.kept} of {self.total} weights kept in {layers}: "
            f"sparsity {self.sparsity:.4f}, requested {self.requested:.4f}",
        ]
        if self.macs is not None:
            lines.append(f"{self.macs.kept} of {self.macs.macs} multiply-adds kept, dense layers included")
        return "\n".join(lines)


def regular_prune(
    model: nn.Module,
    example_inputs: Inputs,
    *,
    sparsity: float | None = None,
    degree: int | None = None,
    n_nodes: int | None = None,
    self_loops: bool = False,
    dense: str | Iterable[str] = "ends",
    share_neighbours: int = 1,
    steps: int | None = None,
    seconds: float | None = None,
    macs: bool = False,
    seed: int | np.random.Generator | None = 0,
) -> RegularPruning:
    """Return masks in which every layer repeats one regular graph with short paths; the model is not changed.

    The graph is `ng.generators.best_known`, shortened by `ng.shorten`, and the masks are those of `regular_masks`.
    Weights play no part: the paper trains the masked network from fresh initial values (see `correct_fan_in`).

    Parameters
    ----------
    model : Module
        Of any kind that `to_graph` follows.
    example_inputs : Tensor, tuple or dict
        As `to_graph` takes them.
    sparsity : float or None
        Fraction of the weights of the masked layers to remove, in [0, 1]. The nearest degree that a regular graph can
        have is taken, which steps by 1 / (n_nodes share_neighbours), twice that for an odd number of nodes; the result
        tells what was requested and what came out.
    degree : int or None
        Neighbours of each node, in place of `sparsity`.
    n_nodes : int or None
        Nodes of the graph. None: the largest power of two up to 64 for which every masked layer has channels.
    self_loops, dense, share_neighbours
        As for `regular_masks`.
    steps, seconds : int, float or None
        Budget of the search, as `ng.shorten` takes it, one of them. None: 200 000 steps, under a second for 64 nodes
        with compiled kernels and about a minute without. ``steps=0``: no search.
    macs : bool
        Whether to count multiply-adds too, which runs the model (`count_macs`).
    seed : int, numpy Generator or None
        Of the construction and the search.

    Returns
    -------
    RegularPruning

    Raises
    ------
    ChannelsBelowNodesError
        A masked layer has fewer channels than `n_nodes` (times `share_neighbours`); the message names it.
    InfeasibleDegreeError
        No connected regular graph has this degree (it is below 2, not below the number of nodes, or odd like that
        number), or one that comes near this sparsity.
    MaskError
        `dense` names no parameter.
    TraceError
        The model cannot be followed.
    ValueError
        Neither or both of `sparsity` and `degree` are given, or both of `steps` and `seconds`; a number is out of
        range; no layer is left to mask.

    References
    ----------
    .. [1] Chen et al., "Regular Graph Pruning", arXiv 2110.15192 (2021). It differs in the graphs, whose paths are up
       to 14 % longer than the bound, and in counting the dense layers as pruned.

    Examples
    --------
    >>> model = nn.Sequential(nn.Linear(3, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 2))
    >>> print(regular_prune(model, torch.ones(1, 3), sparsity=0.9, steps=8000, macs=True))
    6-regular graph of 64 nodes: mean path length 2.3333 hops, 0.00% above the bound
    384 of 4096 weights kept in 1 masked layer: sparsity 0.9062, requested 0.9000
    704 of 4416 multiply-adds kept, dense layers included
    """
    _check(sparsity, degree, n_nodes, share_neighbours, steps, seconds)
    layers = layers_to_mask(model, example_inputs, dense)
    if not layers:
        raise ValueError("model: no linear layer or convolution is left to mask; leave fewer of them dense")
    n_nodes = n_nodes or _nodes_for(layers, share_neighbours)
    if degree is None:
        assert sparsity is not None
        degree = _nearest_degree(sparsity, n_nodes, self_loops, share_neighbours)
    _check_degree(n_nodes, degree)
    # Masks of a graph that costs nothing show that each layer fits before a long search begins.
    lift = partial(regular_masks, model, example_inputs, dense=(), self_loops=self_loops)
    lift(dict.fromkeys(layers, NodeGraph.from_edges(n_nodes, [])), share_neighbours=share_neighbours)
    graph = _short_graph(n_nodes, degree, steps, seconds, np.random.default_rng(seed))
    masks = lift(dict.fromkeys(layers, graph), share_neighbours=share_neighbours)
    return RegularPruning(
        masks=masks,
        graph=graph,
        degree=degree,
        path_length=average_shortest_path_length(graph),
        bound=aspl_lower_bound(n_nodes, degree),
        requested=1 - (degree + self_loops) / (n_nodes * share_neighbours) if sparsity is None else sparsity,
        macs=count_macs(model, example_inputs, masks=masks) if macs else None,
    )


def _check(
    sparsity: float | None,
    degree: int | None,
    n_nodes: int | None,
    share_neighbours: int,
    steps: int | None,
    seconds: float | None,
) -> None:
    if (sparsity is None) == (degree is None):
        raise ValueError("sparsity, degree: expected one of them")
    if sparsity is not None and not 0 <= sparsity <= 1:
        raise ValueError(f"sparsity: expected a fraction in [0, 1], got {sparsity}")
    if n_nodes is not None and n_nodes < 2:
        raise ValueError(f"n_nodes: expected at least 2, got {n_nodes}")
    if share_neighbours < 1:
        raise ValueError(f"share_neighbours: expected at least 1, got {share_neighbours}")
    if steps is not None and seconds is not None:
        raise ValueError("steps, seconds: expected one of them, steps= for a result that repeats")
    if (steps is not None and steps < 0) or (seconds is not None and not seconds > 0):
        raise ValueError(f"steps, seconds: expected a budget, steps=0 for no search, got {steps} and {seconds}")


def _nodes_for(layers: Mapping[str, nn.Module], share_neighbours: int) -> int:
    """Return the largest power of two up to 64 that each layer has channels for, at least 2."""
    fewest = min(min(widths(layer)) for layer in layers.values())
    return max(2, min(MOST_NODES, 1 << max(fewest // share_neighbours, 1).bit_length() - 1))


def _nearest_degree(sparsity: float, n_nodes: int, self_loops: bool, share_neighbours: int) -> int:
    """Return the degree whose kept fraction is nearest; of two as near, the lower."""
    wanted = (1 - sparsity) * n_nodes * share_neighbours - self_loops
    feasible = _feasible_degrees(n_nodes)
    if not feasible[0] - feasible.step / 2 <= wanted <= feasible[-1] + feasible.step / 2:
        reached = [1 - (d + self_loops) / (n_nodes * share_neighbours) for d in (feasible[-1], feasible[0])]
        raise InfeasibleDegreeError(
            f"sparsity {sparsity}: {n_nodes} nodes of degree {wanted:.4g} would keep as many weights; expected a "
            f"degree from {feasible[0]} to {feasible[-1]}, a sparsity from {reached[0]:.4f} to {reached[1]:.4f}; "
            "more nodes reach a higher one (n_nodes, share_neighbours)"
        )
    return min(feasible, key=lambda d: (abs(d - wanted), d))


def _feasible_degrees(n_nodes: int) -> range:
    """Return the degrees of connected regular graphs."""
    return range(min(2, n_nodes - 1), n_nodes, 1 + n_nodes % 2)


def _check_degree(n_nodes: int, degree: int) -> None:
    feasible = _feasible_degrees(n_nodes)
    if degree not in feasible:
        kind = "an even degree" if n_nodes % 2 else "a degree"
        raise InfeasibleDegreeError(
            f"{n_nodes} nodes of degree {degree}: expected {kind} from {feasible[0]} to {feasible[-1]}, as connected "
            "regular graphs have"
        )


def _short_graph(
    n_nodes: int, degree: int, steps: int | None, seconds: float | None, rng: np.random.Generator
) -> NodeGraph:
    graph = best_known(n_nodes, degree, seed=rng)
    if steps == 0 or degree in (2, n_nodes - 1):  # a ring or a complete graph, of which there is one each
        return graph
    return shorten(graph, steps=STEPS if seconds is None and steps is None else steps, seconds=seconds, seed=rng).graph
