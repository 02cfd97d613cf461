"""A graph in words: the table that ``repr`` shows, and names for error messages."""

from collections.abc import Collection
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from netgraph.graph import NetGraph

__all__ = ["describe", "some_names"]


def some_names(names: Collection[str], most: int = 5) -> str:
    """Return the first few names, quoted, for error messages."""
    listed = ", ".join(repr(name) for name in list(names)[:most])
    return listed + (f" and {len(names) - most} more" if len(names) > most else "")


def describe(graph: "NetGraph") -> str:
    """Return the text table that ``repr(graph)`` shows: one row a layer."""
    size, kept = dict.fromkeys(graph.layers, 0), dict.fromkeys(graph.layers, 0)
    origin: dict[str, list[str]] = {name: [] for name in graph.layers}
    for position, use in enumerate(graph.weighted):
        size[use.target] += use.size
        kept[use.target] += int(np.bitwise_count(graph.words(position)).sum())
    for c in graph.connections:
        if c.source not in origin[c.target]:
            origin[c.target].append(c.source)
    for label, units in (("input", graph.inputs), ("output", graph.outputs)):
        for name, units_of in graph.slices.items():
            if ((units >= units_of.start) & (units < units_of.stop)).any():
                origin[name].append(label)
    rows = [("layer", "units", "weights", "kept", "from")]
    for name, n_units in graph.layers.items():
        mark = " (product)" if name in graph.products else ""
        count = (str(size[name]), str(kept[name])) if size[name] else ("-", "-")
        rows.append((name + mark, str(n_units), *count, ", ".join(origin[name])))
    if len(rows) > 41:
        rows = [*rows[:21], ("...", "", "", "", f"{len(rows) - 41} more layers"), *rows[-20:]]
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    total, all_kept = sum(size.values()), sum(kept.values())
    head = f"NetGraph: {len(graph.layers)} layers, {graph.n_units} units, {all_kept} of {total} weights kept"
    body = [
        "  " + "  ".join([row[0].ljust(widths[0]), *(row[i].rjust(widths[i]) for i in (1, 2, 3)), row[4]])
        for row in rows
    ]
    return "\n".join([head, *(line.rstrip() for line in body), *(f"  note: {note}" for note in graph.notes)])
