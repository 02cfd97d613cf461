"""What the page knows of one graph: totals, one record a layer, one a pair of joined layers; never one a unit."""

from collections.abc import Callable

import numpy as np

import netgraph as ng
from prune_adapters.html.layout import lanes, ranks
from prune_adapters.html.reasons import examples, reasons
from prune_adapters.report import LayerRow, report

__all__ = ["Record", "degree_bins", "graph_facts"]

Record = dict[str, object]
"""Plain strings, numbers, lists and dicts, as JSON writes them."""

COUNTS = ("weights", "kept", "consistent", "edges", "pairs", "wires")
"""Of two layers: elements in all, kept and consistent ones; pairs of units with a kept one and in all; fixed edges."""


def graph_facts(graph: ng.NetGraph, name: str) -> Record:
    """Return everything that the page shows of a graph.

    Parameters
    ----------
    graph : NetGraph
    name : str

    Returns
    -------
    dict

    Examples
    --------
    >>> facts = graph_facts(ng.from_biadjacency([[[1], [1]], [[1, 0]]]), "pruned")
    >>> [layer["name"] for layer in facts["layers"]], [edge["kept"] for edge in facts["connections"]]
    (['layer0', 'layer1', 'layer2'], [2, 1])
    """
    found, rows = ng.sweep(graph), report(graph)
    return {
        "name": name,
        "total": rows.total.to_dict(),
        "layers": _layers(graph, found, rows.layers),
        "connections": _connections(graph, found),
        "notes": list(graph.notes),
    }


def degree_bins(degrees: np.ndarray) -> list[int]:
    """Return how many degrees are 0, 1, 2, 3 to 4, 5 to 8, and so on in powers of two.

    Parameters
    ----------
    degrees : ndarray of int64

    Returns
    -------
    list of int

    Examples
    --------
    >>> degree_bins(np.array([0, 0, 1, 3, 4, 5]))
    [2, 1, 0, 2, 1]
    """
    number = np.where(degrees > 0, np.frexp(degrees - 1.0)[1] + 1, 0)
    return np.bincount(number).tolist()


def _layers(graph: ng.NetGraph, found: ng.Sweep, rows: tuple[LayerRow, ...]) -> list[Record]:
    rank, lane = ranks(graph), lanes(graph)
    why, shown = reasons(graph, found), examples(graph, found)
    degrees = _degrees(graph)
    return [
        {
            **row.to_dict(),
            "name": row.layer,
            "rank": rank[row.layer],
            "lane": lane[row.layer],
            "roles": _roles(graph, row.layer),
            "why": why.get(row.layer, []),
            "examples": shown.get(row.layer, []),
            **{side: of_layer(row.layer) for side, of_layer in degrees.items()},
        }
        for row in rows
    ]


def _roles(graph: ng.NetGraph, name: str) -> list[str]:
    own = graph.slices[name]
    ends = (("input", graph.inputs), ("output", graph.outputs))
    roles = [role for role, units in ends if ((units >= own.start) & (units < own.stop)).any()]
    return roles + (["product"] if name in graph.products else [])


def _degrees(graph: ng.NetGraph) -> dict[str, Callable[[str], Record | None]]:
    """Return, for each side, a function from a layer to its degrees: None where no weight enters (or leaves)."""
    sides = (("in", ng.in_degrees(graph), "target"), ("out", ng.out_degrees(graph), "source"))

    def of(degrees: np.ndarray, joined: set[str]) -> Callable[[str], Record | None]:
        return lambda name: _spread(degrees[graph.slices[name]]) if name in joined else None

    return {side: of(degrees, {getattr(c, end) for c in graph.weighted}) for side, degrees, end in sides}


def _spread(degrees: np.ndarray) -> Record | None:
    if not degrees.size:
        return None
    mean = round(float(degrees.mean()), 2)
    return {"min": int(degrees.min()), "mean": mean, "max": int(degrees.max()), "bins": degree_bins(degrees)}


def _connections(graph: ng.NetGraph, found: ng.Sweep) -> list[Record]:
    """Return one record for each two joined layers, however many connections join them."""
    number = {name: place for place, name in enumerate(graph.layers)}
    counts: dict[tuple[int, int, bool], np.ndarray] = {}
    names: dict[tuple[int, int, bool], dict[str, None]] = {}
    position = 0
    for c in graph.connections:
        key = number[c.source], number[c.target], c.feedback
        counts[key] = counts.get(key, np.zeros(len(COUNTS), np.int64))
        names.setdefault(key, {})
        if isinstance(c, ng.Connection):
            counts[key] += _weights(graph, found, position)
            names[key][c.parameter] = None
            position += 1
        else:
            counts[key][-1] += c.n_edges
    return [
        {
            **dict(zip(("source", "target", "feedback"), key, strict=True)),
            "parameters": list(names[key]),
            **dict(zip(COUNTS, counts[key].tolist(), strict=True)),
        }
        for key in counts
    ]


def _weights(graph: ng.NetGraph, found: ng.Sweep, position: int) -> np.ndarray:
    c, kept = graph.weighted[position], int(np.bitwise_count(graph.words(position)).sum())
    edges = kept if c.taps == 1 else int(graph.kept(position).any(axis=2).sum())
    return np.array([c.size, kept, int(found.consistent[position]), edges, c.rows * c.columns, 0])
