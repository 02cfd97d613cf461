"""What a search reports and returns."""

from collections.abc import Iterable
from copy import deepcopy
from dataclasses import dataclass, field

import numpy as np

from netgraph.node_graph import NodeGraph
from netgraph.paths import aspl_lower_bound
from netgraph.search.plan import Stage
from netgraph.search.schedule import Budget, ChainState, weigh

__all__ = ["SearchProgress", "SearchState", "Shortened", "path_length_of", "result_of"]


@dataclass(frozen=True, slots=True)
class SearchProgress:
    """How far a search is.

    Parameters
    ----------
    chain : int
        Which of the chains reports, from 0 on.
    share : float
        Of its budget that the chain has used, in [0, 1].
    steps : int
        Moves that it has tried.
    current, best : float
        Mean path length of the present graph and the best of this stage; while pairs within two hops are counted, as
        if no pair were more than three hops apart. nan while 4-cycles are counted, or Cayley graphs looked at.
    bound : float
        What no graph falls below.
    """

    chain: int
    share: float
    steps: int
    current: float
    best: float
    bound: float


@dataclass(frozen=True, slots=True)
class Shortened:
    """What `shorten` has found, and where it stands.

    Parameters
    ----------
    graph : NodeGraph
        The best graph; of the degrees of the one given.
    path_length : float
        Its mean path length, in hops.
    diameter : int
        Its largest distance, in hops.
    four_cycles : int
        Its number of 4-cycles.
    bound : float
        Mean path length that no graph of that many nodes and that largest degree falls below.
    gap : float
        ``path_length / bound - 1``.
    steps, accepted : int
        Moves tried and made, over all chains.
    trace : ndarray of float64, shape (n, 2)
        Steps and mean path length of the best chain, whenever it found a shorter graph.
    finished : bool
        Whether the budget was spent or nothing was left to find; else `resume` goes on.
    state : SearchState
        For `resume`.
    """

    graph: NodeGraph
    path_length: float
    diameter: int
    four_cycles: int
    bound: float
    gap: float
    steps: int
    accepted: int
    trace: np.ndarray = field(repr=False)
    finished: bool
    state: "SearchState" = field(repr=False)


@dataclass(frozen=True, slots=True)
class SearchState:
    """All that a search needs to go on; it can be pickled.

    Parameters
    ----------
    stages : tuple of Stage
        What each chain goes through.
    budget : Budget
        Of each chain.
    chains : tuple of ChainState
        Where each stands.
    threads : int
        Chains that run at a time.
    """

    stages: tuple[Stage, ...]
    budget: Budget
    chains: tuple[ChainState, ...]
    threads: int


def path_length_of(stage: Stage, graph: NodeGraph, energy: int) -> float:
    """Return the mean path length for an energy of a stage, as the trace of a chain has it."""
    n_nodes, pairs = graph.n_nodes, graph.n_nodes * (graph.n_nodes - 1)
    if stage.kind in ("Swaps", "Cayley"):
        return energy / pairs
    if stage.kind == "Lifts":
        return energy / (n_nodes // stage.option * (n_nodes - 1))
    return float("nan") if stage.option else 2 + (2 * energy - 2 * graph.n_edges) / pairs


def result_of(state: SearchState, *, finished: bool) -> Shortened:
    """Return the best graph of all chains, the first of equally good ones."""
    seen = [deepcopy(chain) for chain in state.chains]
    for chain in seen:
        if chain.annealing is not None:
            weigh(state.stages[chain.stage], chain)
    best = min(seen, key=lambda chain: chain.score)
    graph, (hops, diameter, cycles) = best.best, best.score
    length = hops / (graph.n_nodes * (graph.n_nodes - 1))
    bound = aspl_lower_bound(graph.n_nodes, int(graph.degrees.max()))
    trace = _falling((n, path_length_of(state.stages[stage], graph, e)) for n, stage, e in best.trace)
    return Shortened(
        graph=graph,
        path_length=length,
        diameter=diameter,
        four_cycles=cycles,
        bound=bound,
        gap=length / bound - 1,
        steps=sum(chain.steps for chain in seen),
        accepted=sum(chain.accepted for chain in seen),
        trace=trace,
        finished=finished,
        state=state,
    )


def _falling(found: Iterable[tuple[int, float]]) -> np.ndarray:
    """Return the steps and path lengths that are shorter than all before; nan is none."""
    kept: list[tuple[int, float]] = []
    for steps, length in found:
        if length < (kept[-1][1] if kept else float("inf")):
            kept.append((steps, length))
    return np.array(kept, dtype=float).reshape(-1, 2)
