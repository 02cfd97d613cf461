"""The words of a report: the sentence on top, and cells as text."""

from collections import Counter
from collections.abc import Iterable, Sequence

import netgraph as ng
from netgraph.plot.style import shortened
from prune_adapters.report.rows import LayerRow, ParameterRow

__all__ = [
    "LAYER_HEAD",
    "PARAMETER_HEAD",
    "aligned",
    "are",
    "layer_cells",
    "parameter_cells",
    "percent",
    "role_line",
    "summary",
]

LAYER_HEAD = (
    *("layer", "units", "live", "const", "dead"),
    *("weights", "kept", "consistent", "sparsity", "effective"),
)
PARAMETER_HEAD = ("parameter", "role", "shape", "elements", "kept", "consistent")

NAME_WIDTH = 36


def percent(share: float | None) -> str:
    """Return a share as text, with as many digits as keep it apart from 0 % and 100 %; "-" for None.

    Examples
    --------
    >>> percent(0.95), percent(0.99996), percent(1.0), percent(None)
    ('95.0 %', '99.996 %', '100.0 %', '-')
    """
    if share is None:
        return "-"
    for digits in range(1, 7):
        text = f"{100 * share:.{digits}f}"
        if share in (0, 1) or 0 < float(text) < 100:
            break
    return f"{text} %"


def are(number: int) -> str:
    """Return the verb that goes with a number.

    Examples
    --------
    >>> are(1), are(0)
    ('is', 'are')
    """
    return "is" if number == 1 else "are"


def summary(total: LayerRow, graph: ng.NetGraph, found: ng.Sweep) -> str:
    """Return what happened in a sentence or two, with a warning where an output does not depend on the input."""
    if total.weights:
        text = (
            f"At {percent(total.sparsity)} sparsity ({total.kept:,} of {total.weights:,} weights kept) "
            f"{_units(total)}; {total.consistent:,} of the kept weights {are(total.consistent)} consistent, "
            f"effective sparsity {percent(total.effective_sparsity)}."
        )
    else:
        text = f"No weights; {_units(total)}."
    reached = int(found.accessible[graph.outputs].sum())
    if reached == 0:
        remedy = "netgraph.explain tells where the paths end, netgraph.least_repair which weights would make one."
        return f"WARNING: no input reaches an output, so the network computes a constant. {text} {remedy}"
    if reached < len(graph.outputs):
        cut = len(graph.outputs) - reached
        number = f"{cut} of {len(graph.outputs)} outputs do{'es' if cut == 1 else ''}"
        text += f" WARNING: {number} not depend on the input; netgraph.explain tells why."
    return text


def role_line(parameters: Iterable[ParameterRow]) -> str:
    """Return how many parameters have each role, and the names of the first unused ones."""
    rows = list(parameters)
    counts = Counter(row.role for row in rows)
    text = "Parameters: " + ", ".join(f"{counts[role]} {role}" for role in ("edge", "gate", "constant", "unused"))
    unused = {row.parameter: row for row in rows if row.role == "unused"}
    return text + (f" ({_some(list(unused))})" if unused else "")


def layer_cells(row: LayerRow) -> tuple[str, ...]:
    """Return the cells of a layer under `LAYER_HEAD`; "-" stands for weights where none enter."""
    units = [f"{number:,}" for number in (row.units, row.live, row.constant, row.dead)]
    weights = [f"{number:,}" if row.weights else "-" for number in (row.weights, row.kept, row.consistent)]
    return (
        *(shortened(row.layer, NAME_WIDTH), *units),
        *(*weights, percent(row.sparsity), percent(row.effective_sparsity)),
    )


def parameter_cells(row: ParameterRow) -> tuple[str, ...]:
    """Return the cells of a parameter under `PARAMETER_HEAD`."""
    counts = ["-" if number is None else f"{number:,}" for number in (row.kept, row.consistent)]
    shape = "x".join(map(str, row.shape)) or "scalar"
    return (shortened(row.parameter, NAME_WIDTH), row.role, shape, f"{row.size:,}", *counts)


def aligned(rows: Sequence[Sequence[str]], *, left: int = 1) -> str:
    """Return rows of cells as lines: the first `left` columns to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (
        "  ".join(
            cell.ljust(width) if column < left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    )
    return "\n".join(line.rstrip() for line in lines)


def _units(total: LayerRow) -> str:
    return f"{total.dead:,} of {total.units:,} units {are(total.dead)} dead and {total.constant:,} constant"


def _some(names: list[str], most: int = 5) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
