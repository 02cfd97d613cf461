"""`report`: the table that people read, and the same numbers for programs."""

import csv
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import netgraph as ng
from netgraph.notebook import bar, html_table
from netgraph.storage import replacing
from prune_adapters.report.rows import LayerRow, ParameterRow, layer_rows, parameter_rows, total_row
from prune_adapters.report.text import (
    LAYER_HEAD,
    PARAMETER_HEAD,
    aligned,
    layer_cells,
    parameter_cells,
    role_line,
    summary,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

__all__ = ["Report", "report"]


@dataclass(frozen=True, eq=False, repr=False)
class Report:
    """What `report` found out; print it, or read its rows.

    ``print(report)`` shows plain text, ``rich.print(report)`` the same in colour, a notebook a table.

    Parameters
    ----------
    graph : NetGraph
    summary : str
        The result in a sentence or two.
    total : LayerRow
        All layers together; a weight counts once however often it is used.
    layers : tuple of LayerRow
    parameters : tuple of ParameterRow
    fold : bool
        True if tables leave out the layers that no weights enter.

    Examples
    --------
    >>> import netgraph as ng
    >>> found = report(ng.from_biadjacency([[[1], [1]], [[1, 0]]]))
    >>> found.total.dead, found.total.effective_sparsity
    (1, 0.5)
    """

    graph: ng.NetGraph
    summary: str
    total: LayerRow
    layers: tuple[LayerRow, ...]
    parameters: tuple[ParameterRow, ...]
    fold: bool = False

    def to_dict(self) -> dict[str, object]:
        """Return everything as plain dicts, lists, strings and numbers; what json writes."""
        return {
            "summary": self.summary,
            "total": self.total.to_dict(),
            "layers": [row.to_dict() for row in self.layers],
            "parameters": [row.to_dict() for row in self.parameters],
            "notes": list(self.graph.notes),
        }

    def to_json(self, path: str | os.PathLike[str]) -> None:
        """Write `to_dict` to a file, which is replaced only once the new one is complete."""
        with replacing(path, "w") as file:
            json.dump(self.to_dict(), file, indent=2)
            file.write("\n")

    def to_csv(self, path: str | os.PathLike[str]) -> None:
        """Write one line a layer under a line of names; the file is replaced only once the new one is complete."""
        with replacing(path, "w") as file:
            writer = csv.DictWriter(file, list(self.total.to_dict()), lineterminator="\n")
            writer.writeheader()
            writer.writerows(row.to_dict() for row in self.layers)

    def plot(
        self, path: str | os.PathLike[str] | None = None, *, axes: "Sequence[Axes] | None" = None
    ) -> "tuple[Axes, Axes]":
        """Draw `netgraph.plot_profile`; with `path`, write it in the format that the ending names (png, pdf, svg)."""
        drawn = ng.plot_profile(self.graph, axes)
        if path is not None:
            figure = drawn[0].figure.canvas.figure
            with replacing(path, "wb") as file:
                figure.savefig(file, format=Path(path).suffix[1:] or "png", dpi=200)
            if axes is None:
                _close(figure)
        return drawn

    def parameter_text(self) -> str:
        """Return a plain text table with the role of every parameter."""
        return aligned([PARAMETER_HEAD, *map(parameter_cells, self.parameters)], left=2)

    def parameter_table(self) -> "Table":
        """Return the role of every parameter as a rich table."""
        from rich.text import Text

        table = _table(PARAMETER_HEAD, left=2)
        for row in self.parameters:
            table.add_row(*map(Text, parameter_cells(row)), style=None if row.role == "edge" else "dim")
        return table

    def __str__(self) -> str:
        table = aligned([LAYER_HEAD, *map(layer_cells, self._shown()), layer_cells(self.total)])
        return "\n".join([self.summary, "", table, "", *self._below()])

    __repr__ = __str__

    def __rich__(self) -> "Group":
        from rich.console import Group
        from rich.text import Text

        table = _table(LAYER_HEAD, left=1)
        for row in self._shown():
            table.add_row(*_coloured(row), style=None if row.weights else "dim")
        table.add_section()
        table.add_row(*_coloured(self.total), style="bold")
        warned = "bold red" if "WARNING" in self.summary else "bold"
        return Group(Text(f"{self.summary}\n", style=warned), table, Text("\n".join(["", *self._below()]), style="dim"))

    def _repr_html_(self) -> str:
        rows = ((*layer_cells(row), bar(row.live / row.units if row.units else None)) for row in self._shown())
        total = (*layer_cells(self.total), "")
        return html_table(
            self.summary, (*LAYER_HEAD, "live units"), rows, left=("layer",), total=total, below=self._below()
        )

    def _shown(self) -> Iterator[LayerRow]:
        return (row for row in self.layers if row.weights or not self.fold)

    def _below(self) -> list[str]:
        hidden = len(self.layers) - len(list(self._shown()))
        which = "1 layer without weights is" if hidden == 1 else f"{hidden} layers without weights are"
        folded = [f"{which} not shown."] if hidden else []
        return [*folded, role_line(self.parameters), *(f"Note: {note}" for note in self.graph.notes)]


def report(graph: ng.NetGraph, *, fold: bool = False) -> Report:
    """Return how many units and weights of each layer still matter.

    A live unit changes with the input and changes an output. A constant unit changes an output but not with the
    input: its value folds into the next bias. A dead unit changes no output. A kept weight is consistent if it leads
    from a unit that changes with the input to one that changes an output; effective sparsity counts only those.

    Parameters
    ----------
    graph : NetGraph
        From `to_graph`. With masks given there, the report is about the pruned network.
    fold : bool
        True to leave the layers that no weights enter (inputs, residual adds, products) out of the tables. They stay in
        the totals and in the files.

    Returns
    -------
    Report

    Examples
    --------
    >>> import netgraph as ng
    >>> print(report(ng.from_biadjacency([[[1], [1]], [[1, 0]]])))
    At 25.0 % sparsity (3 of 4 weights kept) 1 of 4 units is dead and 0 constant; 2 of the kept weights are ...
    <BLANKLINE>
    layer   units  live  const  dead  weights  kept  consistent  sparsity  effective
    layer0      1     1      0     0        -     -           -         -          -
    layer1      2     1      0     1        2     2           1     0.0 %     50.0 %
    layer2      1     1      0     0        2     1           1    50.0 %     50.0 %
    total       4     3      0     1        4     3           2    25.0 %     50.0 %
    <BLANKLINE>
    Parameters: 2 edge, 0 gate, 0 constant, 0 unused
    """
    found = ng.sweep(graph)
    layers, parameters = layer_rows(graph, found), parameter_rows(graph, found)
    total = total_row(layers, parameters)
    return Report(graph, summary(total, graph, found), total, layers, parameters, fold)


def _close(figure: "Figure") -> None:
    import matplotlib.pyplot as plt

    plt.close(figure)


def _table(head: tuple[str, ...], *, left: int) -> "Table":
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=0)
    for name in head[:left]:
        table.add_column(name, min_width=8, overflow="ellipsis")
    for name in head[left:]:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _coloured(row: LayerRow) -> "list[Text]":
    """Return the cells of a layer for rich, with dead and constant units marked where there are any."""
    from rich.text import Text

    styles = {3: "yellow" if row.constant else "", 4: "red" if row.dead else ""}
    return [Text(cell, style=styles.get(number, "")) for number, cell in enumerate(layer_cells(row))]
