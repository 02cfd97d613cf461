"""Regular graphs of one degree from long to short paths."""

from collections.abc import Iterator

import numpy as np

import netgraph as ng

__all__ = ["graphs_of_all_lengths"]


def graphs_of_all_lengths(
    n_nodes: int, degree: int, count: int, *, steps: int, seed: int = 0
) -> list[tuple[ng.NodeGraph, float, float]]:
    """Return connected graphs of one degree, from the circulant to the shortest found, with path length and gap.

    They are about even in the logarithm of the path length, and fewer than `count` if so many lengths are not found.

    Parameters
    ----------
    n_nodes, degree, count : int
    steps : int
        Of the search for the shortest.
    seed : int

    Examples
    --------
    >>> found = graphs_of_all_lengths(16, 3, 3, steps=1000)
    >>> [round(length, 2) for _, length, _ in found]
    [2.75, 2.46, 2.2]
    """
    found = list(_candidates(n_nodes, degree, steps, seed))
    lengths = np.log([ng.average_shortest_path_length(graph) for graph in found])
    chosen: dict[float, ng.NodeGraph] = {}
    for wanted in np.linspace(lengths.max(), lengths.min(), count):
        nearest = int(np.abs(lengths - wanted).argmin())
        chosen.setdefault(float(np.exp(lengths[nearest])), found[nearest])
    return [(graph, length, ng.spectrum.normalised_gap(graph)) for length, graph in chosen.items()]


def _candidates(n_nodes: int, degree: int, steps: int, seed: int) -> Iterator[ng.NodeGraph]:
    """Yield the circulant, the same after ever more swaps, short searches from there, and the shortest."""
    rng = np.random.default_rng(seed)
    swapped = ng.generators.circulant(n_nodes, degree=degree)
    yield swapped
    for _ in range(4 * swapped.n_edges):
        tried = ng.swap_edges(swapped, nswap=1, seed=rng)
        if ng.reachable_fraction(tried) == 1:
            swapped = tried
            yield swapped
    for few in np.geomspace(20, max(steps / 10, 20), 8).astype(int).tolist():
        yield ng.shorten(swapped, steps=few, method="swaps", seed=rng).graph
    yield ng.shorten(ng.generators.best_known(n_nodes, degree, seed=rng), steps=steps, seed=rng).graph
