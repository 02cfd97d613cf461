"""A picture of accuracy against path length, or against the spectral gap; matplotlib is imported to draw one."""

from typing import TYPE_CHECKING

import numpy as np

from netgraph.plot.style import BLUE, DARK, VERMILION, axes_of_size, bare
from prune_adapters.path_length.report import PathLengthReport

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_path_length"]

LABELS = {
    "path length": "mean path length of the graph, hops",
    "spectral gap": "normalised spectral gap of the graph",
}


def plot_path_length(report: PathLengthReport, ax: "Axes | None" = None, *, against: str = "path length") -> "Axes":
    """Draw the accuracies of all graphs against a measure: seeds are dots, standard deviations bars.

    The title gives the rank correlation, with path length the slope too; the ends are marked.

    Parameters
    ----------
    report : PathLengthReport
    ax : matplotlib.axes.Axes, optional
        A new figure is made if not given.
    against : {"path length", "spectral gap"}

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        The measure is unknown.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("Agg")
    >>> report = PathLengthReport([4.0, 3.0], [0.1, 0.3], [[0.8, 0.7], [0.9, 0.8]])
    >>> print(plot_path_length(report).get_title())
    Spearman -1.00 [-1.00, -1.00]
    slope -10.00 [-10.00, -10.00] points a hop
    """
    if against not in LABELS:
        raise ValueError(f"against: expected one of {', '.join(LABELS)}, got {against!r}")
    ax, over_length = axes_of_size(ax, 6.0, 4.2), against == "path length"
    x = report.lengths if over_length else report.gaps
    ax.plot(x[:, None], 100 * report.accuracies, ".", color=DARK, alpha=0.4, markersize=5, zorder=1)
    ax.errorbar(x, 100 * report.means, 100 * report.spreads, fmt="o", color=BLUE, capsize=3, zorder=2)
    _mark_ends(ax, x, report)
    log = bool(x.min() > 0)  # a bipartite graph has a gap of 0
    if log:
        _scale(ax, x)
    ax.margins(y=0.12)
    ax.grid(alpha=0.3)
    bare(ax, "top", "right")
    title = f"Spearman {report.correlation if over_length else report.gap_correlation}"
    ax.set_title(title + f"\nslope {report.slope} points a hop" * over_length, fontsize=10)
    ax.set_xlabel(LABELS[against] + " (log scale)" * log)
    ax.set_ylabel("accuracy, %\n(dots: seeds; bars: standard deviation)")
    return ax


def _mark_ends(ax: "Axes", x: np.ndarray, report: PathLengthReport) -> None:
    for place, text in ((report.lengths.argmax(), "longest paths"), (report.lengths.argmin(), "shortest paths")):
        ax.plot(x[place], 100 * report.means[place], "s", color=VERMILION, markersize=8, zorder=3)
        side = "right" if x[place] == x.max() else "left"
        ax.annotate(text, (x[place], 0.02), xycoords=("data", "axes fraction"), color=VERMILION, ha=side)


def _scale(ax: "Axes", x: np.ndarray) -> None:
    ticks = [float(f"{value:.2g}") for value in np.geomspace(x.min(), x.max(), 5)]
    ax.set_xscale("log")
    ax.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    ax.minorticks_off()
