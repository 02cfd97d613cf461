"""One number for a whole graph: density, sparsity and compression ratio, direct and effective."""

from netgraph.graph import NetGraph
from netgraph.size.distinct import ElementCounts
from netgraph.size.rows import parameter_sizes, removed, share, times

__all__ = [
    "compression_ratio",
    "density",
    "effective_compression_ratio",
    "effective_density",
    "effective_sparsity",
    "sparsity",
]


def density(graph: NetGraph) -> float:
    """Return kept / all elements of the edge parameters: fraction in [0, 1], lower is sparser.

    A graph without weights has density 1.0: nothing was removed.

    Parameters
    ----------
    graph : NetGraph

    Returns
    -------
    float

    Examples
    --------
    >>> import netgraph as ng
    >>> density(ng.from_biadjacency([[[1, 0], [0, 1]]]))
    0.5
    """
    return share(*_direct(graph))


def sparsity(graph: NetGraph) -> float:
    """Return removed / all elements of the edge parameters: fraction in [0, 1], higher is sparser.

    Parameters
    ----------
    graph : NetGraph

    Returns
    -------
    float

    Examples
    --------
    >>> import netgraph as ng
    >>> sparsity(ng.from_biadjacency([[[1, 0], [0, 0]]]))
    0.75
    """
    return removed(*_direct(graph))


def compression_ratio(graph: NetGraph) -> float:
    """Return all / kept elements of the edge parameters: at least 1, inf if nothing is kept.

    Parameters
    ----------
    graph : NetGraph

    Returns
    -------
    float

    Examples
    --------
    >>> import netgraph as ng
    >>> compression_ratio(ng.from_biadjacency([[[1, 0], [0, 0]]]))
    4.0
    """
    return times(*_direct(graph))


def effective_density(graph: NetGraph) -> float:
    """Return consistent / all elements of the edge parameters: the density of ``trim(graph)``, in [0, 1].

    Parameters
    ----------
    graph : NetGraph

    Returns
    -------
    float

    Examples
    --------
    The weight into the second hidden unit leads nowhere:

    >>> import netgraph as ng
    >>> graph = ng.from_biadjacency([[[1], [1]], [[1, 0]]])
    >>> density(graph), effective_density(graph)
    (0.75, 0.5)
    """
    return share(*_effective(graph))


def effective_sparsity(graph: NetGraph) -> float:
    """Return the share of edge parameter elements that are not consistent: the sparsity of ``trim(graph)``.

    Parameters
    ----------
    graph : NetGraph

    Returns
    -------
    float
        Fraction in [0, 1], at least `sparsity`; 1.0 if no input reaches an output.

    Examples
    --------
    >>> import netgraph as ng
    >>> graph = ng.from_biadjacency([[[1], [1]], [[1, 0]]])
    >>> sparsity(graph), effective_sparsity(graph)
    (0.25, 0.5)
    """
    return removed(*_effective(graph))


def effective_compression_ratio(graph: NetGraph) -> float:
    """Return all / consistent elements of the edge parameters: at least 1, inf if none is consistent.

    Parameters
    ----------
    graph : NetGraph

    Returns
    -------
    float

    Examples
    --------
    >>> import netgraph as ng
    >>> effective_compression_ratio(ng.from_biadjacency([[[1], [1]], [[1, 0]]]))
    2.0
    """
    return times(*_effective(graph))


def _direct(graph: NetGraph) -> tuple[int, int]:
    """Return all and kept elements of the edge parameters; needs no sweep."""
    counts = ElementCounts(graph)
    names = [name for name, uses in counts.uses.items() if uses or graph.parameters[name].role == "edge"]
    return sum(graph.parameters[name].size for name in names), sum(counts.kept(counts.uses[name]) for name in names)


def _effective(graph: NetGraph) -> tuple[int, int]:
    """Return all and consistent elements of the edge parameters."""
    rows = parameter_sizes(graph)
    return sum(row.size for row in rows), sum(row.consistent for row in rows)
