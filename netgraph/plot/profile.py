"""Bars by layer: what became of the units and of the weights."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from netgraph.describe import some_names
from netgraph.graph import NetGraph
from netgraph.plot.style import BLUE, DARK, GREY, ORANGE, SMALL, VERMILION, axes_of_size, bare, legend_above, shortened
from netgraph.reach import sweep
from netgraph.size import layer_sizes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_profile", "plot_unit_classes", "plot_weights"]


def plot_unit_classes(graph: NetGraph, ax: "Axes | None" = None, *, layers: Sequence[str] | None = None) -> "Axes":
    """Draw the shares of live, constant and dead units of each layer as one bar a layer.

    Parameters
    ----------
    graph : NetGraph
    ax : matplotlib.axes.Axes, optional
        A new figure is made if not given.
    layers : sequence of str, optional
        Names, from top to bottom; the layers that weights enter if not given.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    KeyError
        A layer is unknown.

    Examples
    --------
    >>> import matplotlib, netgraph as ng
    >>> matplotlib.use("Agg")
    >>> graph = ng.from_biadjacency([[[1, 0], [0, 0], [1, 0]], [[1, 1, 0]]])
    >>> ax = plot_unit_classes(graph)
    >>> [tick.get_text() for tick in ax.get_yticklabels()]
    ['layer1', 'layer2']
    """
    names = _chosen(graph, layers)
    ax = axes_of_size(ax, 4.0, _height(names))
    counts = _unit_counts(graph, names)
    total = counts.sum(axis=1)
    looks = [("live", BLUE, None), ("constant", ORANGE, ".."), ("dead", GREY, "////")]
    _stack(ax, 100 * counts / np.maximum(total, 1)[:, None], [(f"{k} units", c, h) for k, c, h in looks])
    _label(ax, names, [str(n) for n in total.tolist()], at=np.full(len(names), 100.0))
    ax.set_xlim(0, 100)
    ax.set_xlabel("units of the layer, % (number at the bar: all units)", fontsize=SMALL)
    return ax


def plot_weights(graph: NetGraph, ax: "Axes | None" = None, *, layers: Sequence[str] | None = None) -> "Axes":
    """Draw the density of each layer as one bar a layer, split into consistent and inconsistent weights.

    Parameters
    ----------
    graph : NetGraph
    ax : matplotlib.axes.Axes, optional
        A new figure is made if not given.
    layers : sequence of str, optional
        Names, from top to bottom; the layers that weights enter if not given.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    KeyError
        A layer is unknown.

    Examples
    --------
    >>> import matplotlib, netgraph as ng
    >>> matplotlib.use("Agg")
    >>> graph = ng.from_biadjacency([[[1, 0], [0, 0], [1, 0]], [[1, 1, 0]]])
    >>> ax = plot_weights(graph)
    >>> [round(float(bar.get_width()), 1) for bar in ax.containers[0]]
    [16.7, 33.3]
    """
    names = _chosen(graph, layers)
    ax = axes_of_size(ax, 4.0, _height(names))
    rows = {row.name: row for row in layer_sizes(graph)}
    kept = np.array([[rows[n].consistent, rows[n].kept - rows[n].consistent] for n in names]).reshape(-1, 2)
    size = np.array([max(rows[name].size, 1) for name in names])
    share = 100 * kept / size[:, None]
    _stack(ax, share, [("consistent weights", BLUE, None), ("inconsistent weights", VERMILION, "////")])
    _label(ax, names, [_of(rows[name].kept, rows[name].size) for name in names], at=share.sum(axis=1))
    ax.set_xlim(0, min(max(share.sum(axis=1).max(initial=0.0), 1e-3), 100))
    ax.set_xlabel("kept weights, % of all that enter the layer", fontsize=SMALL)
    return ax


def plot_profile(
    graph: NetGraph, axes: "Sequence[Axes] | None" = None, *, layers: Sequence[str] | None = None
) -> "tuple[Axes, Axes]":
    """Draw `plot_unit_classes` and `plot_weights` side by side.

    Parameters
    ----------
    graph : NetGraph
    axes : two matplotlib.axes.Axes, optional
        A new figure is made if not given.
    layers : sequence of str, optional
        Names, from top to bottom; the layers that weights enter if not given.

    Returns
    -------
    tuple of two matplotlib.axes.Axes

    Raises
    ------
    KeyError
        A layer is unknown.

    Examples
    --------
    >>> import matplotlib, netgraph as ng
    >>> matplotlib.use("Agg")
    >>> units, weights = plot_profile(ng.from_biadjacency([[[1, 0], [0, 0], [1, 0]], [[1, 1, 0]]]))
    >>> weights.figure.savefig("profile.png")  # doctest: +SKIP
    """
    if axes is None:
        import matplotlib.pyplot as plt

        size = (7.2, _height(_chosen(graph, layers)))
        axes = plt.subplots(ncols=2, figsize=size, layout="constrained")[1]
    left = plot_unit_classes(graph, axes[0], layers=layers)
    right = plot_weights(graph, axes[1], layers=layers)
    right.tick_params(labelleft=False)
    return left, right


def _chosen(graph: NetGraph, layers: Sequence[str] | None) -> list[str]:
    if layers is None:
        entered = {c.target for c in graph.weighted}
        return [name for name in graph.layers if name in entered]
    for name in layers:
        if name not in graph.layers:
            raise KeyError(f"no layer {name!r}; the graph has {some_names(graph.layers)}")
    return list(layers)


def _height(names: list[str]) -> float:
    return 0.9 + 0.2 * max(len(names), 2)


def _unit_counts(graph: NetGraph, names: list[str]) -> np.ndarray:
    """Return live, constant and dead units of each layer: ndarray of int64, shape (n_names, 3)."""
    found = sweep(graph)
    dead = ~found.co_accessible
    flags = np.stack([found.accessible & ~dead, ~found.accessible & ~dead, dead])
    return np.array([flags[:, graph.slices[name]].sum(axis=1) for name in names], dtype=np.int64).reshape(-1, 3)


def _stack(ax: "Axes", parts: np.ndarray, looks: list[tuple[str, str, str | None]]) -> None:
    """Draw one horizontal bar a row of `parts`, its columns one after the other; the first row is on top."""
    left = np.zeros(len(parts))
    for column, (label, colour, hatch) in zip(parts.T, looks, strict=True):
        ax.barh(
            np.arange(len(parts)),
            column,
            left=left,
            height=0.72,
            label=label,
            color=colour,
            hatch=hatch,
            edgecolor="white" if hatch != "////" or colour != GREY else DARK,
            linewidth=0.0,
        )
        left = left + column
    ax.set_ylim(max(len(parts), 1) - 0.5, -0.5)
    legend_above(ax, ax.get_legend_handles_labels()[0])


def _label(ax: "Axes", names: list[str], texts: list[str], at: np.ndarray) -> None:
    ax.set_yticks(np.arange(len(names)), [shortened(name, 28) for name in names])
    for row, text in enumerate(texts):
        ax.annotate(
            text, (at[row], row), (3, 0), textcoords="offset points", va="center", fontsize=SMALL - 1, color=DARK
        )
    ax.tick_params(axis="y", length=0)
    bare(ax, "top", "right", "left")


def _of(kept: int, size: int) -> str:
    return f"{kept:,} of {size:,}" if size else "no weights"
