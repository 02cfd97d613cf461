"""Edge swaps under any objective."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from netgraph.node_graph import NodeGraph
from netgraph.search.reference_models import Random, SwapModel
from netgraph.search.tables import MOST_NODES, graph_of_table, table_of

__all__ = ["Rewired", "rewire"]


@dataclass(frozen=True, slots=True)
class Rewired:
    """What `rewire` has found.

    Parameters
    ----------
    graph : NodeGraph
        The best graph.
    value : float
        Its objective.
    steps, accepted : int
        Swaps tried and kept.
    trace : ndarray of float64, shape (n, 2)
        Steps and value, whenever a better graph was found; the first row is the start.
    """

    graph: NodeGraph
    value: float
    steps: int
    accepted: int
    trace: np.ndarray = field(repr=False)


def rewire(
    graph: NodeGraph,
    objective: Callable[[NodeGraph], float],
    *,
    steps: int,
    hot: float = 0.0,
    cold: float = 0.0,
    seed: int | np.random.Generator | None = None,
) -> Rewired:
    """Return the graph of smallest objective among those that random double edge swaps lead to.

    A swap is kept if the objective falls or stays, and with probability exp(-rise / T) if it rises; the temperature T
    goes from `hot` to `cold` geometrically. All degrees stay. An interrupt from the keyboard ends the search and keeps
    the best. The objective is called once a step, in Python: for path lengths `shorten` does the same a thousand times
    faster.

    Parameters
    ----------
    graph : NodeGraph
        At most 65536 nodes. It is not changed.
    objective : callable
        NodeGraph -> float, lower is better; inf or nan for a graph that is not wanted.
    steps : int
        Swaps to try.
    hot, cold : float
        Temperatures in units of the objective; 0 for both keeps no swap that raises it.
    seed : int, numpy.random.Generator or None

    Returns
    -------
    Rewired

    Raises
    ------
    ValueError
        `steps` is negative, the graph too large, or the temperatures are not both 0 or both positive and falling.

    Examples
    --------
    >>> from netgraph.paths import diameter
    >>> ring = NodeGraph.from_edges(8, [(i, (i + k) % 8) for i in range(8) for k in (1, 2)])
    >>> diameter(ring), rewire(ring, diameter, steps=200, seed=0).value
    (2, 2.0)
    """
    if steps < 0 or graph.n_nodes > MOST_NODES:
        raise ValueError(f"steps, nodes: expected at least 0 and at most {MOST_NODES}, got {steps} and {graph.n_nodes}")
    if not (hot == cold == 0 or hot >= cold > 0):
        raise ValueError(f"hot, cold: expected both 0, or hot >= cold > 0, got {hot} and {cold}")
    walk = _Walk(graph, objective, int(np.random.default_rng(seed).integers(1 << 63)))
    try:
        while walk.steps < steps:
            walk.step(hot * (cold / hot) ** (walk.steps / steps) if hot else 0.0)
    except KeyboardInterrupt:
        pass
    return Rewired(walk.best, walk.value, walk.steps, walk.accepted, np.array(walk.trace, dtype=float))


class _Walk:
    """The graph that the walk is at, and the best it has seen."""

    def __init__(self, graph: NodeGraph, objective: Callable[[NodeGraph], float], random: int) -> None:
        self.best, self.value = graph, float(objective(graph))
        self.steps = self.accepted = 0
        self.trace = [(0, self.value)]
        self._objective, self._here = objective, self.value
        self._model, self._random = SwapModel(table_of(graph)), Random(random)

    def step(self, temperature: float) -> None:
        self.steps += 1
        if not self._model.cells.size or not self._model.propose(self._random):
            return
        limit = self._here - temperature * math.log(self._random.uniform())
        found = graph_of_table(self._model.cells)
        value = float(self._objective(found))
        if not value <= limit:
            self._model.take_back()
            return
        self._here, self.accepted = value, self.accepted + 1
        if value < self.value:
            self.best, self.value = found, value
            self.trace.append((self.steps, value))
