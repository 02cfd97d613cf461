"""One connection as a matrix: rows are target units, columns are source units."""

from typing import TYPE_CHECKING

import numpy as np

from netgraph.convert import to_biadjacency
from netgraph.graph import NetGraph
from netgraph.plot.style import BLUE, SMALL, VERMILION, axes_of_size, bare, legend_above, shortened
from netgraph.reach import sweep

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_connection"]


def plot_connection(graph: NetGraph, source: str, target: str, ax: "Axes | None" = None) -> "Axes":
    """Draw which units of two layers are joined; an edge is consistent if its source is live and its target matters.

    Parameters
    ----------
    graph : NetGraph
    source, target : str
        Names of two layers.
    ax : matplotlib.axes.Axes, optional
        A new figure is made if not given.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    KeyError
        A layer is unknown.
    ValueError
        No connection leads from `source` to `target`.

    Examples
    --------
    >>> import matplotlib, netgraph as ng
    >>> matplotlib.use("Agg")
    >>> graph = ng.from_biadjacency([[[1, 0], [0, 0], [1, 0]], [[1, 1, 0]]])
    >>> ax = plot_connection(graph, "layer0", "layer1")
    >>> [text.get_text() for text in ax.get_legend().get_texts()]
    ['consistent edges (1)', 'inconsistent edges (1)']
    """
    kinds = _kinds(graph, source, target)
    rows, columns = kinds.shape
    ax = axes_of_size(ax, 4.2, float(np.clip(4.2 * rows / max(columns, 1), 1.2, 6.0)) + 0.9)
    inside = ax.get_window_extent().transformed(ax.figure.dpi_scale_trans.inverted())
    # A mark may be larger than its cell, so that a single edge of a large matrix can be seen.
    size = max(0.9 * 72 * min(inside.width / max(columns, 1), inside.height / max(rows, 1)), 1.6)
    for kind, label, colour in ((1, "inconsistent", VERMILION), (2, "consistent", BLUE)):
        y, x = np.nonzero(kinds == kind)
        label = f"{label} edges ({len(x)})"
        ax.plot(x, y, "s", markersize=size, markeredgewidth=0, color=colour, label=label, rasterized=len(x) > 5000)
    ax.set_xlim(-0.5, max(columns, 1) - 0.5)
    ax.set_ylim(max(rows, 1) - 0.5, -0.5)
    ax.set_xlabel(f"units of {shortened(source, 40)} ({columns})", fontsize=SMALL)
    ax.set_ylabel(f"units of {shortened(target, 28)} ({rows})", fontsize=SMALL)
    legend_above(ax, ax.get_legend_handles_labels()[0][::-1], marker_points=7)
    bare(ax)
    return ax


def _kinds(graph: NetGraph, source: str, target: str) -> np.ndarray:
    """Return 0 where there is no edge, 1 for an inconsistent and 2 for a consistent one: uint8, (targets, sources)."""
    joined = to_biadjacency(graph, source, target)
    found = sweep(graph)
    live = found.accessible[graph.slices[source]]
    wanted = (found.co_accessible & graph.gate)[graph.slices[target]]
    return joined.astype(np.uint8) + (joined & wanted[:, None] & live)
