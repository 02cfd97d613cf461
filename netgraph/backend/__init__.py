"""A networkx backend: ``nx.average_shortest_path_length(G, backend="netgraph")`` and others of its functions run here.

networkx finds this package by the entry points in its metadata. Path lengths are hops; what needs weights, or another
method, is left to networkx. All pairs are followed many sources at once; that is where a conversion pays, so networkx
is told to convert by itself for these functions only.
"""

import inspect

from netgraph.backend import functions
from netgraph.backend.functions import (
    all_pairs_shortest_path_length,
    ancestors,
    average_shortest_path_length,
    descendants,
    diameter,
    single_source_shortest_path_length,
)
from netgraph.backend.graph import BackendGraph, convert_from_nx, convert_to_nx

__all__ = [
    "BackendGraph",
    "all_pairs_shortest_path_length",
    "ancestors",
    "average_shortest_path_length",
    "can_run",
    "convert_from_nx",
    "convert_to_nx",
    "descendants",
    "diameter",
    "get_info",
    "should_run",
    "single_source_shortest_path_length",
]

ALL_PAIRS = ("all_pairs_shortest_path_length", "average_shortest_path_length", "diameter")


def can_run(name: str, args: tuple, kwargs: dict) -> bool:
    """Tell networkx whether a function runs here with these arguments: no weights, no method but the unweighted.

    Parameters
    ----------
    name : str
        Name of the function.
    args, kwargs : tuple and dict
        Its arguments.

    Returns
    -------
    bool

    Examples
    --------
    >>> can_run("diameter", (None,), {}), can_run("diameter", (None,), {"weight": "length"})
    (True, False)
    """
    if name not in functions.__all__:
        return False
    given = inspect.signature(getattr(functions, name)).bind(*args, **kwargs).arguments
    plain = all(given.get(argument) is None for argument in ("weight", "e")) and not given.get("usebounds")
    return plain and given.get("method") in (None, "unweighted")


def should_run(name: str, args: tuple, kwargs: dict) -> bool | str:
    """Tell networkx whether it pays to convert a graph for this function.

    Parameters
    ----------
    name : str
    args, kwargs : tuple and dict

    Returns
    -------
    bool or str
        A string says why not.

    Examples
    --------
    >>> should_run("diameter", (), {}), should_run("descendants", (), {})
    (True, 'a search from one node takes less time than converting the graph')
    """
    return name in ALL_PAIRS or "a search from one node takes less time than converting the graph"


def get_info() -> dict[str, object]:
    """Return what networkx shows about this backend.

    Returns
    -------
    dict

    Examples
    --------
    >>> get_info()["backend_name"]
    'netgraph'
    """
    return {
        "backend_name": "netgraph",
        "project": "netgraph-pruning",
        "package": "netgraph",
        "short_summary": "Unweighted path lengths, many sources at once.",
        "functions": {name: {} for name in functions.__all__},
    }
