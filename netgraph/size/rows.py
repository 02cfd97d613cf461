"""Element counts of single layers and parameters."""

from dataclasses import dataclass
from math import inf

from netgraph.graph import NetGraph
from netgraph.reach import Sweep
from netgraph.size.distinct import ElementCounts

__all__ = ["SizeRow", "layer_sizes", "parameter_sizes", "removed", "share", "times"]


@dataclass(frozen=True, slots=True)
class SizeRow:
    """Element counts of one layer or one parameter.

    Parameters
    ----------
    name : str
    size, kept, consistent : int
        All elements, those that are kept, and those that are consistent; each at most the one before.

    Examples
    --------
    >>> row = SizeRow("fc1", size=10, kept=4, consistent=1)
    >>> row.density, row.sparsity, row.effective_sparsity
    (0.4, 0.6, 0.9)
    """

    name: str
    size: int
    kept: int
    consistent: int

    @property
    def density(self) -> float:
        """Kept / all elements, in [0, 1]; 1.0 where there are none."""
        return share(self.size, self.kept)

    @property
    def sparsity(self) -> float:
        """Removed / all elements, in [0, 1]; 0.0 where there are none."""
        return removed(self.size, self.kept)

    @property
    def compression_ratio(self) -> float:
        """All / kept elements, at least 1; inf if none is kept."""
        return times(self.size, self.kept)

    @property
    def effective_density(self) -> float:
        """Consistent / all elements, in [0, 1]; 1.0 where there are none."""
        return share(self.size, self.consistent)

    @property
    def effective_sparsity(self) -> float:
        """Elements that are not consistent / all elements, in [0, 1]; 0.0 where there are none."""
        return removed(self.size, self.consistent)

    @property
    def effective_compression_ratio(self) -> float:
        """All / consistent elements, at least 1; inf if none is consistent."""
        return times(self.size, self.consistent)


def layer_sizes(graph: NetGraph, *, found: Sweep | None = None) -> tuple[SizeRow, ...]:
    """Return the counts of the weights that enter each layer, one row a layer in the order of ``graph.layers``.

    An element that enters two layers counts in both rows, so rows of a graph with shared weights may add up to more
    than the whole. Layers without weights have a row of zeros.

    Parameters
    ----------
    graph : NetGraph
    found : Sweep, optional
        ``sweep(graph)``, if it is at hand.

    Returns
    -------
    tuple of SizeRow

    Examples
    --------
    >>> import netgraph as ng
    >>> for row in layer_sizes(ng.from_biadjacency([[[1], [1]], [[1, 0]]])):
    ...     print(row)
    SizeRow(name='layer0', size=0, kept=0, consistent=0)
    SizeRow(name='layer1', size=2, kept=2, consistent=1)
    SizeRow(name='layer2', size=2, kept=1, consistent=1)
    """
    counts = ElementCounts(graph, found)
    return tuple(
        SizeRow(name, *(sum(map(count, uses)) for count in (counts.all, counts.kept, counts.consistent)))
        for name, uses in counts.entering.items()
    )


def parameter_sizes(graph: NetGraph, *, found: Sweep | None = None) -> tuple[SizeRow, ...]:
    """Return the counts of each edge parameter, one row a parameter in the order of ``graph.parameters``.

    The size is that of the whole parameter; elements that the network never uses count as removed.

    Parameters
    ----------
    graph : NetGraph
    found : Sweep, optional
        ``sweep(graph)``, if it is at hand.

    Returns
    -------
    tuple of SizeRow

    Examples
    --------
    >>> import netgraph as ng
    >>> for row in parameter_sizes(ng.from_biadjacency([[[1], [1]], [[1, 0]]])):
    ...     print(row)
    SizeRow(name='weight1', size=2, kept=2, consistent=1)
    SizeRow(name='weight2', size=2, kept=1, consistent=1)
    """
    counts = ElementCounts(graph, found)
    return tuple(
        SizeRow(name, graph.parameters[name].size, counts.kept(uses), counts.consistent(uses))
        for name, uses in counts.uses.items()
        if uses or graph.parameters[name].role == "edge"
    )


def share(size: int, part: int) -> float:
    """Return part / size, 1.0 for a size of 0."""
    return part / size if size else 1.0


def removed(size: int, part: int) -> float:
    """Return (size - part) / size, 0.0 for a size of 0."""
    return (size - part) / size if size else 0.0


def times(size: int, part: int) -> float:
    """Return size / part, inf if only the part is 0, and 1.0 if both are."""
    if part:
        return size / part
    return inf if size else 1.0
