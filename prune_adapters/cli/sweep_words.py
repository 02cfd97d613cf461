"""What the results of a sweep say, as a table, in words and as a picture."""

from pathlib import Path

import numpy as np

from prune_adapters.cli.console import table
from prune_adapters.cli.sweep_store import Entry
from prune_adapters.path_length import PathLengthReport, plot_path_length

__all__ = ["draw", "report_of", "rows_of", "said", "status_table"]


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


def report_of(entries: list[Entry]) -> PathLengthReport | None:
    """Return what the results say of path length, or None where there are too few.

    While a sweep is unfinished some graphs have more seeds than others: only those that all have are compared. Graphs
    without any result are left out.

    Parameters
    ----------
    entries : list of Entry

    Examples
    --------
    >>> first, second = Entry(0, 3.0, 0.1, {0: 0.5, 1: 0.6}), Entry(1, 2.0, 0.2, {0: 0.7})
    >>> report_of([first, second, Entry(2, 1.5, 0.3, {})]).accuracies.tolist()
    [[0.5], [0.7]]
    """
    there = [entry for entry in entries if entry.accuracies]
    seeds = sorted(set.intersection(*(set(entry.accuracies) for entry in there))) if there else []
    if len(there) < 2 or not seeds:
        return None
    lengths, gaps = np.array([(entry.path_length, entry.spectral_gap) for entry in there]).T
    return PathLengthReport(lengths, gaps, np.array([[entry.accuracies[seed] for seed in seeds] for entry in there]))


def said(report: PathLengthReport | None) -> str:
    """Return in words what the results say.

    Parameters
    ----------
    report : PathLengthReport or None
    """
    return report.words if report else "Not enough results yet to compare graphs."


def draw(report: PathLengthReport, title: str, path: Path) -> None:
    """Write a picture of accuracy against path length, and against the spectral gap.

    Parameters
    ----------
    report : PathLengthReport
    title : str
    path : Path
        Its ending names the format.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from netgraph.storage import replacing

    figure = Figure(figsize=(9.5, 4.4), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(ncols=2, sharey=True)
    plot_path_length(report, left)
    plot_path_length(report, right, against="spectral gap").set_ylabel("")
    figure.suptitle(title, fontsize=11)
    with replacing(path, "wb") as file:
        figure.savefig(file, format=path.suffix[1:], dpi=150)


def _mean(entry: Entry) -> float | None:
    return float(np.mean(list(entry.accuracies.values()))) if entry.accuracies else None


def _spread(entry: Entry) -> float | None:
    return float(np.std(list(entry.accuracies.values()), ddof=1)) if len(entry.accuracies) > 1 else None


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.2f}"
