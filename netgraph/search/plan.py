"""Which search suits which graph: the stages that `shorten` goes through."""

from dataclasses import dataclass, replace

from netgraph.node_graph import NodeGraph
from netgraph.paths import aspl_lower_bound, diameter_lower_bound
from netgraph.search.algebraic import has_algebraic_seed
from netgraph.search.cayley_starts import MOST_SHARE
from netgraph.search.tables import GROUPS, MOST_NODES

__all__ = ["METHODS", "Stage", "group_of", "stages_of"]

METHODS = ("auto", "swaps", "pairs", "symmetric", "cayley", "algebraic")

MOST_PAIRED, MOST_DEGREE = 1 << 14, 127
"""Nodes and degree up to which pairs are counted: a byte a pair, and 128 stands for an edge."""


LEAST_TRANSITIVE = 128
"""Nodes from which on Cayley graphs are shorter than what else is found, or as short."""


@dataclass(frozen=True, slots=True)
class Stage:
    """Annealing in one or several rounds.

    Parameters
    ----------
    kind : {"Swaps", "TwoHops", "Lifts", "Cayley"}
        The annealer.
    start : {"graph", "random", "algebraic"}
        Where it starts: at the shortest graph so far, at a random graph with a symmetry, at an algebraic graph.
    option : int
        What the annealer takes beside its cells.
    enough : int
        The energy below which there is nothing to find.
    hot, cold : float
        Temperatures at the start and the end; `hot` 0 means half of the mean rise of the energy in random moves.
    round_steps : int
        Steps after which to begin again, as near as they go into the budget; 0 for one round.
    anew : bool
        Whether a round begins at another start, not at the best graph of the round before.
    share : float
        Of what is left of the budget when the stage begins.
    """

    kind: str
    start: str = "graph"
    option: int = 0
    enough: int = 0
    hot: float = 0.0
    cold: float = 0.25
    round_steps: int = 0
    anew: bool = False
    share: float = 1.0


def stages_of(graph: NodeGraph, *, method: str, objective: str, group: int | None) -> tuple[Stage, ...]:
    """Return the stages for a connected graph: first shorter paths, then fewer 4-cycles where that is all there is."""
    degree, n_nodes = int(graph.degrees.max()), graph.n_nodes
    cycles = Stage("TwoHops", option=1, cold=0.3) if _paired(n_nodes, degree) else None
    if objective == "four_cycles":
        if cycles is None:
            limits = f"at most {MOST_PAIRED} nodes and degree {MOST_DEGREE}"
            raise ValueError(f"objective 'four_cycles': expected {limits}, got {n_nodes} and {degree}")
        return (cycles,)
    shorter = _auto(graph, group) if method == "auto" else _shorter(graph, method, group)
    return (*shorter, cycles) if cycles and diameter_lower_bound(n_nodes, degree) <= 2 else shorter


def _auto(graph: NodeGraph, group: int | None) -> tuple[Stage, ...]:
    """Return the stages of the method that suits the graph, after a look at Cayley graphs where these may be short."""
    method = _method(graph, group)
    shorter = _shorter(graph, method, group)
    degree, n_nodes = int(graph.degrees.max()), graph.n_nodes
    wide = graph.is_regular and n_nodes >= LEAST_TRANSITIVE and 3 <= degree <= n_nodes // MOST_SHARE
    if group is not None or not wide or method not in ("symmetric", "swaps"):
        return shorter
    if len(shorter) == 1 and method == "symmetric":
        shorter = (replace(shorter[0], share=0.8), replace(_stage(graph, "swaps", None), hot=4.0))
    return replace(_stage(graph, "cayley", None), share=0.25), *shorter


def _shorter(graph: NodeGraph, method: str, group: int | None) -> tuple[Stage, ...]:
    """Return the stages that shorten paths: the method, and what lies just beside its result."""
    first = _stage(graph, method, group)
    if method == "pairs":  # which does not see a pair four hops apart
        return replace(first, share=0.7), replace(_stage(graph, "swaps", None), hot=4.0)
    if method == "cayley":
        return replace(first, share=0.6), replace(_stage(graph, "swaps", None), hot=4.0)
    if method == "symmetric" and _near(graph):
        polish = replace(_stage(graph, "pairs", None), hot=0.9, cold=0.3, round_steps=1_000_000, anew=True)
        return replace(first, share=0.6), polish
    if method == "symmetric" and graph.n_nodes <= 256:
        return replace(first, share=0.8), replace(_stage(graph, "swaps", None), hot=4.0)
    return (first,)


def group_of(n_nodes: int, degree: int) -> int | None:
    """Return the order of the rotation that suits a regular graph, None if there is none.

    Eight or more orbits leave a search enough freedom; fewer make an evaluation cheap.
    """
    return next((g for g in _orders(n_nodes, degree) if n_nodes // g >= 8), None)


def _method(graph: NodeGraph, group: int | None) -> str:
    degree, n_nodes = int(graph.degrees.max()), graph.n_nodes
    if group not in (None, 1):
        return "symmetric"
    if graph.is_regular and group is None and n_nodes >= 256 and has_algebraic_seed(n_nodes, degree):
        return "algebraic"
    if graph.is_regular and group is None and degree < n_nodes // 2 and group_of(n_nodes, degree):
        return "symmetric"
    return "pairs" if _near(graph) else "swaps"


def _stage(graph: NodeGraph, method: str, group: int | None) -> Stage:
    degree, n_nodes = int(graph.degrees.max()), graph.n_nodes
    least = round(aspl_lower_bound(n_nodes, degree) * (n_nodes - 1))  # sum of hops from one node
    if method == "symmetric":
        order = group or group_of(n_nodes, degree)
        if not graph.is_regular or order not in _orders(n_nodes, degree):
            wanted = (
                "a regular graph whose nodes fall into orbits of 4, 8, 16, 32 or 64 that leave an even number of ends"
            )
            raise ValueError(f"symmetry {order}: expected {wanted}, got {graph!r}")
        rows = n_nodes // order
        return Stage("Lifts", "random", order, least * rows, round_steps=25_000 * rows * degree, anew=True)
    if method == "cayley":
        if not graph.is_regular or not 2 <= degree <= n_nodes // MOST_SHARE or n_nodes > MOST_NODES:
            wanted = f"a regular graph of at most {MOST_NODES} nodes, {MOST_SHARE} or more for each neighbour"
            raise ValueError(f"method 'cayley': expected {wanted}, got {graph!r}")
        return Stage("Cayley", "random", hot=8.0, cold=1.0, round_steps=2000, anew=True)
    if method in ("pairs", "algebraic") and not _paired(n_nodes, degree):
        raise ValueError(
            f"method {method!r}: expected at most {MOST_PAIRED} nodes and degree {MOST_DEGREE}, got {graph!r}"
        )
    apart = max(0, n_nodes * (n_nodes - 1 - degree - degree * (degree - 1)) // 2) if graph.is_regular else 0
    if method == "pairs":
        return Stage("TwoHops", enough=apart, cold=0.12)
    if method == "algebraic":
        if not graph.is_regular or not has_algebraic_seed(n_nodes, degree):
            wanted = "a regular graph of q^2 nodes, q = 8, 16 ... 256, and a degree from about q / 2 to q"
            raise ValueError(f"method 'algebraic': expected {wanted}, got {graph!r}")
        return Stage("TwoHops", "algebraic", 0, apart, hot=1.0, cold=0.3, round_steps=700_000)
    if n_nodes > MOST_NODES:
        raise ValueError(f"graph: expected at most {MOST_NODES} nodes, got {n_nodes}")
    return Stage("Swaps", enough=least * n_nodes if graph.is_regular else 0)


def _near(graph: NodeGraph) -> bool:
    """Return whether pairs can be counted and nearly all such graphs have a diameter of at most 3."""
    degree, n_nodes = int(graph.degrees.max()), graph.n_nodes
    return degree * (degree - 1) ** 2 >= 2 * n_nodes and _paired(n_nodes, degree)


def _orders(n_nodes: int, degree: int) -> list[int]:
    return [g for g in GROUPS if n_nodes % g == 0 and n_nodes // g * degree % 2 == 0]


def _paired(n_nodes: int, degree: int) -> bool:
    return n_nodes <= MOST_PAIRED and degree <= MOST_DEGREE
