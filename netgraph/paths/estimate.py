"""The mean path length from a sample of nodes, with an interval."""

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from netgraph.node_graph import NodeGraph
from netgraph.paths import reference
from netgraph.paths.measures import average_shortest_path_length

__all__ = ["Estimate", "estimate_average_shortest_path_length"]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number from a sample, and the interval that holds the true one in about 95 of 100 samples.

    Parameters
    ----------
    value : float
    low, high : float
        The interval. It rests on the normal law of means and is a little too narrow for samples below 100.
    samples : int
        How many nodes were looked at.
    """

    value: float
    low: float
    high: float
    samples: int


def estimate_average_shortest_path_length(
    graph: NodeGraph, *, samples: int, seed: int | np.random.Generator | None = None
) -> Estimate:
    """Return `average_shortest_path_length` estimated from the paths that start at a random sample of nodes.

    The estimate is the sum of hops over the number of pairs from those nodes, drawn without repetition; with as many
    samples as nodes it is exact. Costs samples / n_nodes of the exact value.

    Parameters
    ----------
    graph : NodeGraph
    samples : int
        At least 2; more than there are nodes means all.
    seed : int, numpy.random.Generator or None

    Returns
    -------
    Estimate
        Of nan where no path joins the sampled nodes to any other.

    Raises
    ------
    ValueError
        `samples` is below 2.

    Examples
    --------
    >>> ring = NodeGraph.from_edges(5, [(0, 1), (1, 2), (2, 3), (3, 4), (4, 0)])
    >>> estimate_average_shortest_path_length(ring, samples=2, seed=0)
    Estimate(value=1.5, low=1.5, high=1.5, samples=2)
    """
    if samples < 2:
        raise ValueError(f"samples: expected at least 2, got {samples}")
    if samples >= graph.n_nodes:
        exact = average_shortest_path_length(graph)
        return Estimate(exact, exact, exact, graph.n_nodes)
    sources = np.random.default_rng(seed).choice(graph.n_nodes, size=samples, replace=False)
    batches = [sources[start : start + reference.TOGETHER] for start in range(0, samples, reference.TOGETHER)]
    hops, pairs = np.concatenate([_hops_and_pairs(graph, batch) for batch in batches], axis=1)
    return _ratio(hops, pairs, graph.n_nodes)


def _hops_and_pairs(graph: NodeGraph, sources: np.ndarray) -> np.ndarray:
    """Return for each source the sum of hops and the number of nodes it reaches: ndarray, shape (2, n_sources)."""
    steps = [reference.bits_of(rows, len(sources)).sum(axis=0) for rows in reference.reached(graph, sources)]
    newly = np.diff(np.stack(steps), axis=0, prepend=0)
    return np.stack([np.arange(len(newly)) @ newly, newly[1:].sum(axis=0)])


def _ratio(hops: np.ndarray, pairs: np.ndarray, n_nodes: int) -> Estimate:
    """Return the ratio of the sums; its variance by linearisation, less what a finite population takes off."""
    samples = len(hops)
    if not pairs.sum():
        return Estimate(math.nan, math.nan, math.nan, samples)
    value = float(hops.sum() / pairs.sum())
    spread = float(np.std(hops - value * pairs, ddof=1)) / float(pairs.mean())
    error = spread * math.sqrt((1 - samples / n_nodes) / samples)
    margin = float(stdtrit(samples - 1, 0.975)) * error
    return Estimate(value, value - margin, value + margin, samples)
