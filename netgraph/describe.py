"""A graph in words: the tables that ``repr`` and a notebook show, and names for error messages."""

from collections.abc import Collection
from typing import TYPE_CHECKING

import numpy as np

from netgraph.notebook import bar, html_table

if TYPE_CHECKING:
    from netgraph.graph import NetGraph

__all__ = ["describe", "describe_html", "some_names"]

HEAD = ("layer", "units", "weights", "kept", "from")


def some_names(names: Collection[str], most: int = 5) -> str:
    """Return the first few names, quoted, for error messages."""
    listed = ", ".join(repr(name) for name in list(names)[:most])
    return listed + (f" and {len(names) - most} more" if len(names) > most else "")


def describe(graph: "NetGraph") -> str:
    """Return the text table that ``repr(graph)`` shows: one row a layer."""
    rows = [HEAD, *((*row[:4], row[5]) for row in _rows(graph))]
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    body = [
        "  " + "  ".join([row[0].ljust(widths[0]), *(row[i].rjust(widths[i]) for i in (1, 2, 3)), row[4]])
        for row in rows
    ]
    return "\n".join(
        [_headline(graph), *(line.rstrip() for line in body), *(f"  note: {note}" for note in graph.notes)]
    )


def describe_html(graph: "NetGraph") -> str:
    """Return the table that a notebook shows: one row a layer, with the share of its weights that is kept as a bar."""
    rows = ((*row[:4], bar(row[4]), row[5]) for row in _rows(graph))
    head = (*HEAD[:4], "share kept", "from")
    notes = (f"Note: {note}" for note in graph.notes)
    return html_table(_headline(graph), head, rows, left=("layer", "from"), below=notes)


def _rows(graph: "NetGraph") -> list[tuple[str, str, str, str, float | None, str]]:
    """Return name, units, weights, kept weights, their share and the sources of each layer; of many only some."""
    size, kept = dict.fromkeys(graph.layers, 0), dict.fromkeys(graph.layers, 0)
    for position, use in enumerate(graph.weighted):
        size[use.target] += use.size
        kept[use.target] += int(np.bitwise_count(graph.words(position)).sum())
    origin = _origins(graph)
    rows: list[tuple[str, str, str, str, float | None, str]] = []
    for name, n_units in graph.layers.items():
        mark = " (product)" if name in graph.products else ""
        count = (str(size[name]), str(kept[name])) if size[name] else ("-", "-")
        share = kept[name] / size[name] if size[name] else None
        rows.append((name + mark, str(n_units), *count, share, ", ".join(origin[name])))
    if len(rows) > 40:
        rows = [*rows[:20], ("...", "", "", "", None, f"{len(rows) - 40} more layers"), *rows[-20:]]
    return rows


def _origins(graph: "NetGraph") -> dict[str, list[str]]:
    """Return what leads to each layer, and whether it is an input or an output."""
    origin: dict[str, list[str]] = {name: [] for name in graph.layers}
    for c in graph.connections:
        if c.source not in origin[c.target]:
            origin[c.target].append(c.source)
    for label, units in (("input", graph.inputs), ("output", graph.outputs)):
        for name, units_of in graph.slices.items():
            if ((units >= units_of.start) & (units < units_of.stop)).any():
                origin[name].append(label)
    return origin


def _headline(graph: "NetGraph") -> str:
    total = sum(use.size for use in graph.weighted)
    kept = sum(int(np.bitwise_count(graph.words(position)).sum()) for position in range(len(graph.weighted)))
    return f"NetGraph: {len(graph.layers)} layers, {graph.n_units} units, {kept} of {total} weights kept"
