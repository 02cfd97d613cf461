"""The numbers of a report: one row a layer, one row a parameter, and the whole."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass

import numpy as np

import netgraph as ng

__all__ = ["LayerRow", "ParameterRow", "layer_rows", "parameter_rows", "total_row"]


@dataclass(frozen=True, slots=True)
class LayerRow:
    """Units and weights of one layer.

    Parameters
    ----------
    layer : str
    units, live, constant, dead : int
        All units, and how many of them are live and matter, are constant and matter, or do not matter to any output;
        the last three add up to the first.
    weights, kept, consistent : int
        Weights that enter the layer, those that are kept, and those that lie on a way from an input to an output.

    Examples
    --------
    >>> row = LayerRow("fc1", 4, live=2, constant=1, dead=1, weights=8, kept=4, consistent=2)
    >>> row.sparsity, row.effective_sparsity
    (0.5, 0.75)
    """

    layer: str
    units: int
    live: int
    constant: int
    dead: int
    weights: int
    kept: int
    consistent: int

    @property
    def sparsity(self) -> float | None:
        """Removed / all weights, in [0, 1]; None where no weight enters."""
        return (self.weights - self.kept) / self.weights if self.weights else None

    @property
    def effective_sparsity(self) -> float | None:
        """Weights that are not consistent / all weights, in [0, 1]; None where no weight enters."""
        return (self.weights - self.consistent) / self.weights if self.weights else None

    def to_dict(self) -> dict[str, str | int | float | None]:
        """Return the fields and both sparsities by name."""
        return asdict(self) | {"sparsity": self.sparsity, "effective_sparsity": self.effective_sparsity}


@dataclass(frozen=True, slots=True)
class ParameterRow:
    """Role and size of one parameter.

    Parameters
    ----------
    parameter : str
    role : {"edge", "gate", "constant", "unused"}
        Prunable weights, scale of single units, constant source (bias, table), or no effect on an output.
    shape : tuple of int
    kept, consistent : int or None
        Elements, each counted once; None unless the role is "edge".

    Examples
    --------
    >>> ParameterRow("fc1.bias", "constant", (300,), None, None).size
    300
    """

    parameter: str
    role: str
    shape: tuple[int, ...]
    kept: int | None
    consistent: int | None

    @property
    def size(self) -> int:
        """Number of elements."""
        return int(np.prod(self.shape, dtype=np.int64))

    def to_dict(self) -> dict[str, str | int | list[int] | None]:
        """Return the fields and the size by name; the shape is a list."""
        return asdict(self) | {"shape": list(self.shape), "size": self.size}


def layer_rows(graph: ng.NetGraph, found: ng.Sweep) -> tuple[LayerRow, ...]:
    """Return one row for each layer of the graph, in order."""
    classes = (found.accessible & found.co_accessible, ~found.accessible & found.co_accessible, ~found.co_accessible)
    rows = []
    for row in ng.layer_sizes(graph, found=found):
        live, constant, dead = (int(np.count_nonzero(flags[graph.slices[row.name]])) for flags in classes)
        units = live + constant + dead
        rows.append(LayerRow(row.name, units, live, constant, dead, row.size, row.kept, row.consistent))
    return tuple(rows)


def parameter_rows(graph: ng.NetGraph, found: ng.Sweep) -> tuple[ParameterRow, ...]:
    """Return one row for each parameter that the graph knows, in order."""
    edges = {row.name: (row.kept, row.consistent) for row in ng.parameter_sizes(graph, found=found)}
    return tuple(
        ParameterRow(name, info.role, info.shape, *edges.get(name, (None, None)))
        for name, info in graph.parameters.items()
    )


def total_row(layers: Iterable[LayerRow], parameters: Iterable[ParameterRow]) -> LayerRow:
    """Return the whole: units of all layers, elements of all edge parameters (each once, however often it is used)."""
    units, edges = list(layers), [row for row in parameters if row.kept is not None]
    return LayerRow(
        "total",
        units=sum(row.units for row in units),
        live=sum(row.live for row in units),
        constant=sum(row.constant for row in units),
        dead=sum(row.dead for row in units),
        weights=sum(row.size for row in edges),
        kept=sum(row.kept or 0 for row in edges),
        consistent=sum(row.consistent or 0 for row in edges),
    )
