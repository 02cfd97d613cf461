"""Where each layer stands in the drawing: its rank along the network, and its lane beside others of that rank."""

import netgraph as ng

__all__ = ["lanes", "ranks"]


def ranks(graph: ng.NetGraph) -> dict[str, int]:
    """Return the number of connections on the longest way to each layer; feedback does not count.

    Parameters
    ----------
    graph : NetGraph

    Returns
    -------
    dict of str to int

    Examples
    --------
    >>> ranks(ng.from_biadjacency([[[1]], [[1]]]))
    {'layer0': 0, 'layer1': 1, 'layer2': 2}
    """
    found = dict.fromkeys(graph.layers, 0)
    before = _sources(graph)
    for name in graph.layers:
        found[name] = max((found[source] + 1 for source in before[name]), default=0)
    return found


def lanes(graph: ng.NetGraph) -> dict[str, int]:
    """Return a lane for each layer, different for layers of one rank; a layer stays in that of its first source.

    Parameters
    ----------
    graph : NetGraph

    Returns
    -------
    dict of str to int

    Examples
    --------
    Two layers follow the first:

    >>> import numpy as np
    >>> weights = [ng.Connection("w", "x", "a", 1, 1), ng.Connection("v", "x", "b", 1, 1)]
    >>> lanes(ng.NetGraph({"x": 1, "a": 1, "b": 1}, weights, np.array([1, 1]), [0], [1, 2]))
    {'x': 0, 'a': 0, 'b': 1}
    """
    rank, before = ranks(graph), _sources(graph)
    found: dict[str, int] = {}
    taken: set[tuple[int, int]] = set()
    for name in graph.layers:
        lane = min((found[source] for source in before[name]), default=0)
        while (rank[name], lane) in taken:
            lane += 1
        found[name] = lane
        taken.add((rank[name], lane))
    return found


def _sources(graph: ng.NetGraph) -> dict[str, list[str]]:
    before: dict[str, list[str]] = {name: [] for name in graph.layers}
    for c in graph.connections:
        if not c.feedback:
            before[c.target].append(c.source)
    return before
