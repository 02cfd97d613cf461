"""`netgraph regular`: a regular graph with short paths, its measures beside their bounds, a picture, a file."""

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from prune_adapters.cli.console import Tell, answer, bar, free_path, note, table
from prune_adapters.cli.errors import CommandError
from prune_adapters.cli.options import Force, Json, Seed

if TYPE_CHECKING:
    import netgraph as ng

__all__ = ["draw_nodes", "measures_of", "regular", "save_nodes"]

PICTURES, FILES = (".pdf", ".png", ".svg"), (".npz", ".txt", ".edges")


def regular(
    nodes: Annotated[int, typer.Option("--nodes", "-n", help="Number of nodes.")],
    degree: Annotated[int, typer.Option("--degree", "-d", help="Edges of each node.")],
    steps: Annotated[int | None, typer.Option(help="Steps of the search; 0 for none (default: 100000).")] = None,
    seconds: Annotated[float | None, typer.Option(help="Time for the search, in place of --steps.")] = None,
    method: Annotated[str, typer.Option(help="Of the search: auto, swaps, pairs, symmetric, cayley, algebraic.")] = (
        "auto"
    ),
    seed: Seed = 0,
    draw: Annotated[Path | None, typer.Option(help="Draw it: .pdf, .png or .svg.")] = None,
    save: Annotated[Path | None, typer.Option(help="Write it: .npz, or one edge a line in .txt or .edges.")] = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Make a regular graph with short paths, and print its measures beside their bounds."""
    _check_endings(draw, save)
    if steps is not None and seconds is not None:
        raise CommandError("--steps and --seconds: expected one of them, got both")
    for path in (draw, save):
        free_path(path, force=force)
    import netgraph as ng

    start = ng.generators.best_known(nodes, degree, seed=seed)
    found = start if steps == 0 else _shortened(start, steps, seconds, method, seed)
    rows, before = measures_of(found), measures_of(start)
    if draw is not None:
        draw_nodes(found, draw)
    if save is not None:
        save_nodes(found, save)
    for path in filter(None, (draw, save)):
        note(f"wrote {path}")
    shown = table(
        ("measure", "start", "found", "bound"),
        [(name, _cell(before[name][0]), _cell(value), _cell(bound)) for name, (value, bound) in rows.items()],
        title=f"{found.n_nodes} nodes, {found.n_edges} edges, degree {degree}",
    )
    document: dict[str, object] = {name: value for name, (value, _) in rows.items()}
    document |= {f"{name}_bound": bound for name, (_, bound) in rows.items() if bound is not None}
    about = {"nodes": nodes, "degree": degree, "edges": found.n_edges, "seed": seed}
    answer(shown, {**about, **document}, as_json=json)


def measures_of(graph: "ng.NodeGraph") -> dict[str, tuple[float | int, float | int | None]]:
    """Return the measures of a graph with their bounds, None where there is none.

    Parameters
    ----------
    graph : NodeGraph

    Examples
    --------
    >>> import netgraph as ng
    >>> measures_of(ng.generators.circulant(5, degree=2))["diameter"]
    (2, 2)
    """
    import netgraph as ng

    n_nodes, degree = graph.n_nodes, int(graph.degrees.max())
    measures: dict[str, tuple[float | int, float | int | None]] = {
        "path_length": (ng.average_shortest_path_length(graph), _bound(ng.aspl_lower_bound, n_nodes, degree)),
        "diameter": (ng.diameter(graph), _bound(ng.diameter_lower_bound, n_nodes, degree)),
        "spectral_gap": (ng.spectrum.normalised_gap(graph), None),
        "clustering": (ng.spectrum.clustering(graph), None),
        "reachable_fraction": (ng.reachable_fraction(graph), 1.0),
    }
    return measures


def draw_nodes(graph: "ng.NodeGraph", path: Path) -> None:
    """Write a picture of a graph: its nodes on a circle, every edge a chord.

    Parameters
    ----------
    graph : NodeGraph
    path : Path
        Its ending names the format; vector for .pdf and .svg.
    """
    import numpy as np
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.collections import LineCollection
    from matplotlib.figure import Figure

    from netgraph.plot.style import BLUE, DARK
    from netgraph.storage import replacing

    angles = 2 * np.pi * np.arange(graph.n_nodes) / graph.n_nodes
    places = np.column_stack([np.sin(angles), np.cos(angles)])
    figure = Figure(figsize=(5, 5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot(aspect="equal")
    width = float(np.clip(60 / max(graph.n_edges, 1), 0.1, 1.0))
    axes.add_collection(LineCollection(list(places[graph.edges()]), colors=BLUE, linewidths=width))
    axes.plot(*places.T, "o", color=DARK, markersize=float(np.clip(200 / graph.n_nodes, 1, 7)))
    axes.set_axis_off()
    with replacing(path, "wb") as file:
        figure.savefig(file, format=path.suffix[1:], dpi=200)


def save_nodes(graph: "ng.NodeGraph", path: Path) -> None:
    """Write a graph: .npz with `n_nodes` and `edges`, else text with the two nodes of one edge on each line.

    Parameters
    ----------
    graph : NodeGraph
    path : Path
    """
    import numpy as np

    from netgraph.storage import replacing

    if path.suffix == ".npz":
        with replacing(path, "wb") as file:
            np.savez_compressed(file, n_nodes=graph.n_nodes, edges=graph.edges())
        return
    with replacing(path, "w") as file:
        file.writelines(f"{a} {b}\n" for a, b in graph.edges().tolist())


def _shortened(
    start: "ng.NodeGraph", steps: int | None, seconds: float | None, method: str, seed: int
) -> "ng.NodeGraph":
    import netgraph as ng

    budget: dict[str, int | float] = {"steps": 100_000 if steps is None else steps}
    if seconds is not None:
        budget = {"seconds": seconds}
    with bar("shortening paths") as tell:
        told = _told(tell)
        return ng.shorten(start, **budget, method=method, seed=seed, progress=told).graph  # type: ignore[arg-type]


def _told(tell: Tell) -> "Callable[[ng.SearchProgress], None]":
    return lambda progress: tell(int(1000 * progress.share), 1000)


def _bound(function: Callable[[int, int], float | int], n_nodes: int, degree: int) -> float | int | None:
    import netgraph as ng

    with contextlib.suppress(ng.InfeasibleDegreeError):  # degree 1 makes pairs, which have no bound
        return function(n_nodes, degree)
    return None


def _cell(value: float | int | None) -> str:
    if value is None:
        return "-"
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def _check_endings(draw: Path | None, save: Path | None) -> None:
    for option, path, known in (("--draw", draw, PICTURES), ("--save", save, FILES)):
        if path is not None and path.suffix not in known:
            raise CommandError(f"{option} {path}: expected a name that ends in {', '.join(known)}")
