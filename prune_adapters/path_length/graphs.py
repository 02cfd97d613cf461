"""Regular graphs of one degree from long to short paths."""

from collections.abc import Iterator

import numpy as np

import netgraph as ng

__all__ = ["graphs_of_all_lengths"]

SHORT_SEARCHES, FEWEST_STEPS = 12, 100
"""Searches that stop on the way to short paths, and the steps of the first of them."""


def graphs_of_all_lengths(
    n_nodes: int, degree: int, count: int, *, steps: int = 50_000, seed: int | np.random.Generator | None = None
) -> list[ng.NodeGraph]:
    """Return connected graphs of one degree, from the circulant, whose paths are long, to the shortest found.

    Between the two ends lie the circulant after ever more random swaps, and short searches that start there. Of these
    are taken those that are about even in the logarithm of the path length. Masks of them all keep as many weights.

    Parameters
    ----------
    n_nodes, degree : int
        At least 3 for the degree.
    count : int
        How many graphs, at least 2.
    steps : int
        Of the search for the shortest, at least 1; see `netgraph.shorten`.
    seed : int, numpy.random.Generator or None

    Returns
    -------
    list of NodeGraph
        No two of one path length; fewer than `count` if so many lengths are not found, but at least 2.

    Raises
    ------
    InfeasibleDegreeError
        There is no such graph, or all that are found have one path length, as all of diameter 2 do.
    ValueError
        `count` or `steps` is too small.

    Examples
    --------
    >>> graphs = graphs_of_all_lengths(16, 3, 3, steps=1000, seed=0)
    >>> [round(ng.average_shortest_path_length(graph), 2) for graph in graphs]
    [2.75, 2.46, 2.2]
    """
    for name, value, least in (("count", count, 2), ("steps", steps, 1)):
        if value < least:
            raise ValueError(f"{name}: expected at least {least}, got {value}")
    longest = ng.generators.circulant(n_nodes, degree=degree)
    if degree < 3:
        raise ng.InfeasibleDegreeError(
            f"{n_nodes} nodes of degree {degree}: expected a degree of at least 3; below, the ring alone is connected"
        )
    found = list(_candidates(longest, degree, steps, np.random.default_rng(seed)))
    chosen = _even([ng.average_shortest_path_length(graph) for graph in found], count)
    if len(chosen) < 2:
        raise ng.InfeasibleDegreeError(
            f"{n_nodes} nodes of degree {degree}: all graphs found have one path length, so there is nothing to "
            "compare; take more nodes or a lower degree"
        )
    return [found[place] for place in chosen]


def _even(lengths: list[float], count: int) -> list[int]:
    """Return the places of different lengths, from long to short, that are about even in the logarithm."""
    logs, chosen = np.log(lengths), list[int]()
    for wanted in np.linspace(logs.max(), logs.min(), count):
        nearest = int(np.abs(logs - wanted).argmin())
        if all(logs[nearest] != logs[other] for other in chosen):
            chosen.append(nearest)
    return chosen


def _candidates(longest: ng.NodeGraph, degree: int, steps: int, rng: np.random.Generator) -> Iterator[ng.NodeGraph]:
    yield longest
    swapped = longest
    try:
        for _ in range(4 * longest.n_edges):
            tried = ng.swap_edges(swapped, nswap=1, seed=rng)
            if ng.reachable_fraction(tried) == 1:
                swapped = tried
                yield swapped
    except ng.SearchLimitError:  # no swap is possible, as in a complete graph
        return
    few = min(FEWEST_STEPS, steps)
    for own in np.geomspace(few, max(steps / 10, few), SHORT_SEARCHES).astype(int).tolist():
        yield ng.shorten(swapped, steps=own, method="swaps", seed=rng).graph
    yield ng.shorten(ng.generators.best_known(longest.n_nodes, degree, seed=rng), steps=steps, seed=rng).graph
