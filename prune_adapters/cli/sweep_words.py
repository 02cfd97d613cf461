"""What the results of a sweep say, as a table, in words and as a picture."""

from pathlib import Path

import numpy as np

from prune_adapters.cli.console import table
from prune_adapters.cli.sweep_store import Entry

__all__ = ["correlation", "draw_entries", "rows_of", "said", "status_table"]

FEW = 5
"""Graphs and seeds below which nothing is concluded."""


def rows_of(entries: list[Entry]) -> list[dict[str, object]]:
    """Return one dictionary for each graph.

    Parameters
    ----------
    entries : list of Entry
    """
    return [
        {
            "graph": entry.place,
            "path_length": entry.path_length,
            "spectral_gap": entry.spectral_gap,
            "runs": len(entry.accuracies),
            "accuracy": _mean(entry),
            "spread": _spread(entry),
            "accuracies": entry.accuracies,
        }
        for entry in entries
    ]


def status_table(entries: list[Entry], wanted: int) -> object:
    """Return the same as a table.

    Parameters
    ----------
    entries : list of Entry
    wanted : int
        Runs in all.
    """
    done = sum(len(entry.accuracies) for entry in entries)
    rows = [
        (
            entry.place,
            f"{entry.path_length:.3f}",
            f"{entry.spectral_gap:.3f}",
            len(entry.accuracies),
            _percent(_mean(entry)),
            _percent(_spread(entry)),
        )
        for entry in entries
    ]
    head = ("graph", "path length", "spectral gap", "runs", "accuracy, %", "spread")
    return table(head, rows, title=f"{done} of {wanted} runs")


def correlation(entries: list[Entry]) -> float | None:
    """Return Spearman's correlation of path length with mean accuracy, in [-1, 1]; None where there is none.

    Parameters
    ----------
    entries : list of Entry

    Examples
    --------
    >>> correlation([Entry(place, 3.0 - place, 0.1, {0: 0.5 + place / 10}) for place in range(3)])
    -1.0
    """
    from scipy.stats import rankdata

    there = [entry for entry in entries if entry.accuracies]
    x, y = (rankdata(own) for own in ([e.path_length for e in there], [_mean(e) for e in there]))
    if len(there) < 2 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return None
    return round(float(np.corrcoef(x, y)[0, 1]), 12)


def said(entries: list[Entry]) -> str:
    """Return in words what the results say.

    Parameters
    ----------
    entries : list of Entry
    """
    found, runs = correlation(entries), min((len(entry.accuracies) for entry in entries), default=0)
    if found is None:
        return "Not enough results yet to compare graphs."
    text = f"Spearman of path length with mean accuracy: {found:+.2f}"
    if min(len(entries), runs) < FEW:
        return f"{text}; with fewer than {FEW} graphs or seeds that says nothing yet."
    return f"{text}, over {len(entries)} graphs and {runs} seeds or more; negative: shorter paths did better."


def draw_entries(entries: list[Entry], title: str, path: Path) -> None:
    """Write a picture of accuracy against path length.

    Parameters
    ----------
    entries : list of Entry
    title : str
    path : Path
        Its ending names the format.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from netgraph.plot.style import BLUE, DARK
    from netgraph.storage import replacing

    there = [entry for entry in entries if entry.accuracies]
    figure = Figure(figsize=(6, 4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for entry in there:
        own = [100 * accuracy for accuracy in entry.accuracies.values()]
        axes.plot([entry.path_length] * len(own), own, ".", color=DARK, alpha=0.4)
    means, spreads = ([100 * (function(e) or 0.0) for e in there] for function in (_mean, _spread))
    axes.errorbar([e.path_length for e in there], means, spreads, fmt="o", color=BLUE, capsize=3)
    axes.set_xlabel("mean path length of the graph, hops")
    axes.set_ylabel("accuracy, % (bars: standard deviation)")
    axes.set_title(title, fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    with replacing(path, "wb") as file:
        figure.savefig(file, format=path.suffix[1:], dpi=150)


def _mean(entry: Entry) -> float | None:
    return float(np.mean(list(entry.accuracies.values()))) if entry.accuracies else None


def _spread(entry: Entry) -> float | None:
    return float(np.std(list(entry.accuracies.values()), ddof=1)) if len(entry.accuracies) > 1 else None


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.2f}"
