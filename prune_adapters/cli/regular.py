"""`netgraph regular`: a regular graph with short paths, its measures beside their bounds, a picture, a file."""

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from prune_adapters.cli.console import Tell, answer, bar, free_path, note, table
from prune_adapters.cli.errors import CommandError
from prune_adapters.cli.node_files import FILES, PICTURES, draw_nodes, read_nodes, save_nodes
from prune_adapters.cli.options import Force, Json, Seed

if TYPE_CHECKING:
    import netgraph as ng

__all__ = ["measures_of", "regular"]


def regular(
    nodes: Annotated[int | None, typer.Option("--nodes", "-n", help="Number of nodes.")] = None,
    degree: Annotated[int | None, typer.Option("--degree", "-d", help="Edges of each node.")] = None,
    start: Annotated[Path | None, typer.Option(help="Shorten this graph, in a file as --save writes it.")] = None,
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
    first = _start(nodes, degree, start, seed)
    found = first if steps == 0 else _shortened(first, steps, seconds, method, seed)
    rows, before = measures_of(found), measures_of(first)
    if draw is not None:
        draw_nodes(found, draw)
    if save is not None:
        save_nodes(found, save)
    for path in filter(None, (draw, save)):
        note(f"wrote {path}")
    shown = table(
        ("measure", "start", "found", "bound"),
        [(name, _cell(before[name][0]), _cell(value), _cell(bound)) for name, (value, bound) in rows.items()],
        title=f"{found.n_nodes} nodes, {found.n_edges} edges, degree {_degree(found)}",
    )
    document: dict[str, object] = {name: value for name, (value, _) in rows.items()}
    document |= {f"{name}_bound": bound for name, (_, bound) in rows.items() if bound is not None}
    about = {"nodes": found.n_nodes, "degree": _degree(found), "edges": found.n_edges, "seed": seed}
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


def _start(nodes: int | None, degree: int | None, start: Path | None, seed: int) -> "ng.NodeGraph":
    if start is not None and nodes is None and degree is None:
        return read_nodes(start)
    if start is not None or nodes is None or degree is None:
        raise CommandError("expected --nodes and --degree, or --start FILE alone")
    import netgraph as ng

    return ng.generators.best_known(nodes, degree, seed=seed)


def _degree(graph: "ng.NodeGraph") -> int | list[int]:
    """Return the degree, or the smallest and the largest."""
    low, high = int(graph.degrees.min()), int(graph.degrees.max())
    return low if low == high else [low, high]


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
