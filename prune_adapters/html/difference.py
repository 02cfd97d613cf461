"""How two graphs of the same network differ, layer by layer: what each keeps, and how much of it is the same."""

from collections.abc import Mapping

import numpy as np

import netgraph as ng
from prune_adapters.html.facts import Record

__all__ = ["check_same_network", "difference"]


def difference(first: ng.NetGraph, second: ng.NetGraph) -> Record:
    """Return the overlap of the kept weights of two graphs, in all and for each layer that weights enter.

    The Jaccard index of two sets of kept weights is the size of what both keep by the size of what any keeps; 1 for the
    same, 0 for nothing in common. Beside it stands what two random masks of those sizes would have.

    Parameters
    ----------
    first, second : NetGraph
        Of the same network.

    Returns
    -------
    dict
        ``total`` and ``layers``; a weight that is used twice counts twice.

    Raises
    ------
    ValueError
        The graphs have different layers or connections.

    Examples
    --------
    >>> graphs = [ng.from_biadjacency([[[1, 1, 0, 0]]]), ng.from_biadjacency([[[1, 0, 1, 1]]])]
    >>> found = difference(*graphs)
    >>> found["total"]["both"], found["total"]["either"], found["total"]["jaccard"], found["total"]["by_chance"]
    (1, 4, 0.25, 0.4286)
    """
    check_same_network(first, second)
    rows: dict[str, np.ndarray] = {}
    for position, c in enumerate(first.weighted):
        words = first.words(position), second.words(position)
        bits = (words[0] & words[1], words[0] | words[1], *words)
        counts = np.array([c.size, *(int(np.bitwise_count(word).sum()) for word in bits)])
        rows[c.target] = rows.get(c.target, 0) + counts
    total = sum(rows.values(), np.zeros(5, dtype=np.int64))
    return {"total": _record("total", total), "layers": [_record(name, counts) for name, counts in rows.items()]}


def check_same_network(first: ng.NetGraph, second: ng.NetGraph) -> None:
    """Raise ValueError unless two graphs have the same layers and the same weights between them.

    Parameters
    ----------
    first, second : NetGraph

    Examples
    --------
    >>> check_same_network(ng.from_biadjacency([[[1, 0]]]), ng.from_biadjacency([[[0, 1]]]))
    """
    if dict(first.layers) != dict(second.layers) or list(first.layers) != list(second.layers):
        where = _first_other(first.layers, second.layers)
        raise ValueError(f"compare: expected a graph of the same network, {where}; trace the same model twice")
    shapes = [[(c.parameter, c.source, c.target, c.rows, c.width) for c in g.weighted] for g in (first, second)]
    if shapes[0] != shapes[1]:
        raise ValueError(
            f"compare: expected the same {len(shapes[0])} weighted connections, "
            f"found {len(shapes[1])} with other parameters or sizes; trace the same model twice"
        )


def _first_other(first: Mapping[str, int], second: Mapping[str, int]) -> str:
    for one, other in zip(first.items(), second.items(), strict=False):
        if one != other:
            return f"with layer {one[0]!r} of {one[1]} units, found {other[0]!r} of {other[1]}"
    return f"with {len(first)} layers, found {len(second)}"


def _record(name: str, counts: np.ndarray) -> Record:
    size, both, either, *kept = counts.tolist()
    a, b = (number / size if size else 0.0 for number in kept)
    return {
        "name": name,
        "weights": size,
        "first": kept[0],
        "second": kept[1],
        "both": both,
        "either": either,
        "jaccard": round(both / either, 4) if either else None,
        "by_chance": round(a * b / (a + b - a * b), 4) if a + b else None,
    }
