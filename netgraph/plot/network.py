"""A small network as a drawing: one column of nodes a layer, edges between them, what does not matter marked."""

from typing import TYPE_CHECKING

import numpy as np

from netgraph.connection import Connection
from netgraph.convert.explode import exploded
from netgraph.graph import NetGraph
from netgraph.plot.style import BLUE, DARK, ORANGE, VERMILION, axes_of_size, bare, legend_above, shortened
from netgraph.reach import Sweep, sweep

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

__all__ = ["plot_network"]

NODES = {"live": ("o", BLUE, BLUE), "constant": ("s", ORANGE, DARK), "dead": ("X", "white", DARK)}
"""Marker, face and edge colour of each kind of unit."""

EDGES = {"fixed": ("#8C8C8C", ":"), "inconsistent": (VERMILION, "--"), "consistent": (DARK, "-")}
"""Colour and line style of each kind of edge, in the order of drawing."""


def plot_network(graph: NetGraph, ax: "Axes | None" = None, *, max_units: int = 300) -> "Axes":
    """Draw every unit and edge of a small network, layer after layer from left to right.

    Live units are filled discs, constant units squares, dead units crosses. An edge with kept weights is solid if it is
    consistent and dashed if not; fixed wiring is dotted. An edge that passes by a layer is drawn as an arc above the
    layers, a feedback edge as an arc below.

    Parameters
    ----------
    graph : NetGraph
    ax : matplotlib.axes.Axes, optional
        A new figure is made if not given.
    max_units : int
        Largest network that is drawn.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        The graph has no units, or more than `max_units`.

    Examples
    --------
    >>> import matplotlib, netgraph as ng
    >>> matplotlib.use("Agg")
    >>> ax = plot_network(ng.from_biadjacency([[[1, 0], [0, 0], [1, 0]], [[1, 1, 0]]]))
    >>> [text.get_text() for text in ax.get_legend().get_texts() if text.get_text()]
    ['live units (3)', 'inconsistent edges (2)', 'constant units (1)', 'consistent edges (2)', 'dead units (2)']
    """
    if not 1 <= graph.n_units <= max_units:
        raise ValueError(
            f"expected 1 to {max_units} units, got {graph.n_units}; plot_profile shows a large network by layer"
        )
    tallest = max(graph.layers.values())
    ax = axes_of_size(ax, max(5.2, 1.2 + 1.25 * len(graph.layers)), float(np.clip(0.24 * tallest, 1.6, 5.6)) + 0.9)
    found, places = sweep(graph), _places(graph)
    edges = _draw_edges(ax, graph, found, places)
    _legend(ax, _draw_nodes(ax, graph, found, places), edges)
    _name_layers(ax, graph)
    ax.margins(x=0.08, y=0.03)
    return ax


def _places(graph: NetGraph) -> np.ndarray:
    """Return x and y of each unit: ndarray of float64, shape (n_units, 2); layers of few units are spread out."""
    tallest, places = max(graph.layers.values()), np.zeros((graph.n_units, 2))
    for column, (name, units) in enumerate(graph.slices.items()):
        size = graph.layers[name]
        spacing = (tallest / max(size, 1)) ** 0.6
        places[units, 0] = column
        places[units, 1] = ((size - 1) / 2 - np.arange(size)) * spacing
    return places


def _draw_nodes(ax: "Axes", graph: NetGraph, found: Sweep, places: np.ndarray) -> "list[Artist]":
    dead = ~found.co_accessible
    kinds = {"live": found.accessible & ~dead, "constant": ~found.accessible & ~dead, "dead": dead}
    points = ax.get_window_extent().transformed(ax.figure.dpi_scale_trans.inverted()).height * 72
    size = float(np.clip(0.5 * points / max(graph.layers.values()), 3.5, 9.0))
    handles: list[Artist] = []
    for kind, (marker, face, edge) in NODES.items():
        units = kinds[kind]
        if units.any():
            label = f"{kind} units ({np.count_nonzero(units)})"
            x, y = places[units].T
            drawn = ax.plot(x, y, marker, color=face, markersize=size, label=label, zorder=3)
            drawn[0].set(markeredgecolor=edge, markeredgewidth=size / 9)
            handles.extend(drawn)
    return handles


def _draw_edges(ax: "Axes", graph: NetGraph, found: Sweep, places: np.ndarray) -> "list[Artist]":
    from matplotlib.collections import LineCollection

    curves = _curves(graph, found, places)
    width = float(np.clip(1.1 * (60 / max(sum(map(len, curves.values())), 1)) ** 0.25, 0.5, 1.1))
    handles: list[Artist] = []
    for order, (kind, (colour, style)) in enumerate(EDGES.items()):
        lines = curves[kind]
        if lines:
            look = LineCollection(lines, colors=colour, linestyles=style, linewidths=width, zorder=1 + order / 10)
            ax.add_collection(look)
            label = f"{kind} edges ({len(lines)})"
            handles.extend(ax.plot([], [], style, color=colour, linewidth=1.1, label=label))
    return handles


def _curves(graph: NetGraph, found: Sweep, places: np.ndarray) -> dict[str, list[np.ndarray]]:
    """Return the points of every edge, by kind."""
    curves: dict[str, list[np.ndarray]] = {kind: [] for kind in EDGES}
    wanted = found.co_accessible & graph.gate
    for c, sources, targets, _ in exploded(graph):
        for source, target in zip(sources.tolist(), targets.tolist(), strict=True):
            consistent = found.accessible[source] and wanted[target]
            kind = ("consistent" if consistent else "inconsistent") if isinstance(c, Connection) else "fixed"
            curves[kind].append(_curve(places, source, target, below=c.feedback))
    return curves


def _legend(ax: "Axes", nodes: "list[Artist]", edges: "list[Artist]") -> None:
    """Put the kinds of units in the first row and those of edges in the second (a legend fills by column)."""
    from matplotlib.lines import Line2D

    columns = max(len(nodes), len(edges))
    blank = [Line2D([], [], linestyle="none", label="") for _ in range(columns)]
    rows = zip((nodes + blank)[:columns], (edges + blank)[:columns], strict=True)
    legend_above(ax, [handle for column in rows for handle in column], columns=columns)


def _curve(places: np.ndarray, source: int, target: int, *, below: bool) -> np.ndarray:
    """Return the points of an edge: a straight line to the next layer, an arc past the layers between."""
    first, last = places[source], places[target]
    if last[0] - first[0] == 1:
        return np.stack([first, last])
    low, high = sorted((first[0], last[0]))
    passed = places[(places[:, 0] >= low) & (places[:, 0] <= high), 1]
    mean = (first[1] + last[1]) / 2
    # Arcs between higher units pass higher, so that parallel ones do not run together.
    peak = (
        passed.min() - 0.8 - 0.15 * (passed.max() - mean)
        if below
        else passed.max() + 0.8 + 0.15 * (mean - passed.min())
    )
    middle = np.array([(low + high) / 2 + 0.5 * (low == high), 2 * peak - mean])
    t = np.linspace(0, 1, 25)[:, None]
    return (1 - t) ** 2 * first + 2 * t * (1 - t) * middle + t**2 * last


def _name_layers(ax: "Axes", graph: NetGraph) -> None:
    texts = []
    for name, size in graph.layers.items():
        product = "product, " if name in graph.products else ""
        texts.append(f"{shortened(name, 18)}\n{product}{size} unit{'s' if size != 1 else ''}")
    ax.set_xticks(np.arange(len(texts)), texts)
    ax.set_yticks([])
    ax.tick_params(length=0)
    bare(ax, "top", "right", "bottom", "left")
