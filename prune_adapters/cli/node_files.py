"""Node graphs as files and as pictures."""

from pathlib import Path
from typing import TYPE_CHECKING

from prune_adapters.cli.errors import CommandError, in_words

if TYPE_CHECKING:
    import netgraph as ng

__all__ = ["FILES", "PICTURES", "draw_nodes", "read_nodes", "save_nodes"]

PICTURES, FILES = (".pdf", ".png", ".svg"), (".npz", ".txt", ".edges")


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


def read_nodes(path: Path) -> "ng.NodeGraph":
    """Return the graph in a file that `save_nodes` wrote, or in any text with the two nodes of one edge on each line.

    Parameters
    ----------
    path : Path

    Raises
    ------
    CommandError
        The file is none of these.
    """
    import numpy as np

    import netgraph as ng

    try:
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as stored:
                return ng.NodeGraph.from_edges(int(stored["n_nodes"]), stored["edges"])
        edges = np.array([line.split() for line in path.read_text(encoding="utf-8").splitlines()], dtype=np.int64)
        return ng.NodeGraph.from_edges(int(edges.max()) + 1, edges)
    except OSError:
        raise
    except Exception as error:
        raise CommandError(f"{path}: no graph, expected two numbers a line, or .npz: {in_words(error)}") from error
