"""Mean path lengths from a sample of nodes or units, with an interval."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.special import stdtrit

from netgraph.graph import NetGraph
from netgraph.node_graph import NodeGraph
from netgraph.paths import reference
from netgraph.paths.measures import average_shortest_path_length
from netgraph.paths.units import input_output_path_length, unit_hops_and_pairs, unit_path_length

__all__ = [
    "Estimate",
    "estimate_average_shortest_path_length",
    "estimate_input_output_path_length",
    "estimate_unit_path_length",
]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number from a sample, and the interval that holds the true one in about 95 of 100 samples.

    Parameters
    ----------
    value : float
    low, high : float
        The interval. It rests on the normal law of means and is a little too narrow for samples below 100.
    samples : int
        How many nodes or units were looked at.
    """

    value: float
    low: float
    high: float
    samples: int


@dataclass(frozen=True, slots=True)
class _Stratum:
    """Some of the sources of one kind: how many there are, and the hops and pairs from each that was drawn."""

    size: int
    hops: np.ndarray
    pairs: np.ndarray


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
    _check(samples)
    if samples >= graph.n_nodes:
        return _exact(average_shortest_path_length(graph), graph.n_nodes)
    sources = np.random.default_rng(seed).choice(graph.n_nodes, size=samples, replace=False)
    batches = [sources[start : start + reference.TOGETHER] for start in range(0, samples, reference.TOGETHER)]
    hops, pairs = np.concatenate([_hops_and_pairs(graph, batch) for batch in batches], axis=1)
    return _ratio([_Stratum(graph.n_nodes, hops, pairs)])


def estimate_unit_path_length(
    graph: NetGraph, *, samples: int, undirected: bool = False, seed: int | np.random.Generator | None = None
) -> Estimate:
    """Return `unit_path_length` estimated from the paths that start at a random sample of units of every layer.

    Each layer gives units in proportion to its size, rounded down but at least two, drawn without repetition. The
    estimate is that of a ratio: the sum over layers of size times mean hops from a drawn unit, divided by the same sum
    of its pairs. With as many samples as units it is exact.

    Parameters
    ----------
    graph : NetGraph
    samples : int
        At least 2; more than there are units means all. About so many are looked at, see above.
    undirected : bool
        Whether edges and wiring are walked both ways.
    seed : int, numpy.random.Generator or None

    Returns
    -------
    Estimate
        Of nan where no path joins the sampled units to any other.

    Raises
    ------
    ValueError
        `samples` is below 2.

    References
    ----------
    Cochran, "Sampling Techniques" (1977), section 6.11: the combined ratio estimate in stratified samples.

    Examples
    --------
    >>> import netgraph as ng
    >>> graph = ng.from_biadjacency([np.ones((50, 40)), np.ones((30, 50))])
    >>> estimate_unit_path_length(graph, samples=20, seed=0).value == unit_path_length(graph)
    True
    """
    return _of_units(
        graph,
        np.arange(graph.n_units),
        samples,
        seed,
        exact=lambda: unit_path_length(graph, undirected=undirected),
        measure=lambda sources: unit_hops_and_pairs(graph, sources, undirected=undirected),
    )


def estimate_input_output_path_length(
    graph: NetGraph, *, samples: int, seed: int | np.random.Generator | None = None
) -> Estimate:
    """Return `input_output_path_length` estimated from the paths that start at a random sample of the input units.

    Drawn layer by layer and put together as in `estimate_unit_path_length`; with as many samples as inputs it is exact.

    Parameters
    ----------
    graph : NetGraph
    samples : int
        At least 2; more than there are inputs means all. About so many are looked at.
    seed : int, numpy.random.Generator or None

    Returns
    -------
    Estimate
        Of nan where no path joins the sampled inputs to an output.

    Raises
    ------
    ValueError
        `samples` is below 2.

    Examples
    --------
    >>> import netgraph as ng
    >>> graph = ng.from_biadjacency([np.ones((50, 40)), np.ones((30, 50))])
    >>> estimate_input_output_path_length(graph, samples=10, seed=0)
    Estimate(value=2.0, low=2.0, high=2.0, samples=10)
    """
    return _of_units(
        graph,
        np.unique(graph.inputs),
        samples,
        seed,
        exact=lambda: input_output_path_length(graph),
        measure=lambda sources: unit_hops_and_pairs(graph, sources, targets=graph.outputs),
    )


def _of_units(
    graph: NetGraph,
    units: np.ndarray,
    samples: int,
    seed: int | np.random.Generator | None,
    *,
    exact: Callable[[], float],
    measure: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]],
) -> Estimate:
    """Return the estimate from a sample of these units, which rise."""
    _check(samples)
    if samples >= len(units):
        return _exact(exact(), len(units))
    rng = np.random.default_rng(seed)
    ends = np.searchsorted(units, np.cumsum([0, *graph.layers.values()]))
    layers = [units[first:last] for first, last in pairwise(ends.tolist()) if first < last]
    sizes = [min(len(layer), max(2, samples * len(layer) // len(units))) for layer in layers]
    drawn = [np.sort(rng.choice(layer, size, replace=False)) for layer, size in zip(layers, sizes, strict=True)]
    places = np.cumsum(sizes)[:-1]
    hops, pairs = (np.split(values, places) for values in measure(np.concatenate(drawn)))
    return _ratio([_Stratum(len(layer), h, p) for layer, h, p in zip(layers, hops, pairs, strict=True)])


def _check(samples: int) -> None:
    if samples < 2:
        raise ValueError(f"samples: expected at least 2, got {samples}")


def _exact(value: float, samples: int) -> Estimate:
    return Estimate(value, value, value, samples)


def _hops_and_pairs(graph: NodeGraph, sources: np.ndarray) -> np.ndarray:
    """Return for each source the sum of hops and the number of nodes it reaches: ndarray, shape (2, n_sources)."""
    steps = [reference.bits_of(rows, len(sources)).sum(axis=0) for rows in reference.reached(graph, sources)]
    newly = np.diff(np.stack(steps), axis=0, prepend=0)
    return np.stack([np.arange(len(newly)) @ newly, newly[1:].sum(axis=0)])


def _ratio(strata: list[_Stratum]) -> Estimate:
    """Return the ratio of the sums; its variance by linearisation, less what finite strata take off."""
    samples = sum(len(stratum.hops) for stratum in strata)
    weights = [stratum.size / len(stratum.hops) for stratum in strata]
    pairs = sum(w * int(stratum.pairs.sum()) for w, stratum in zip(weights, strata, strict=True))
    if not pairs:
        return _exact(math.nan, samples)
    value = sum(w * int(stratum.hops.sum()) for w, stratum in zip(weights, strata, strict=True)) / pairs
    sampled = [stratum for stratum in strata if len(stratum.hops) < stratum.size]
    if not sampled:
        return _exact(value, samples)
    variance = sum(_variance(stratum, value) for stratum in sampled)
    margin = float(stdtrit(sum(len(s.hops) - 1 for s in sampled), 0.975)) * math.sqrt(variance) / pairs
    return Estimate(value, value - margin, value + margin, samples)


def _variance(stratum: _Stratum, value: float) -> float:
    """Return the variance of the estimated sum of hops - value * pairs over a stratum."""
    samples, size = len(stratum.hops), stratum.size
    return size * (size - samples) * float(np.var(stratum.hops - value * stratum.pairs, ddof=1)) / samples
