"""Why units of a layer are dead or constant: counted by reason, and one of each explained in full."""

import numpy as np

import netgraph as ng
from netgraph.reference import unit_slices
from netgraph.walks import joined
from prune_adapters.report.text import are

__all__ = ["examples", "reasons"]

WORK, EACH = 800_000_000, 70_000
"""Bits that may be read to explain single units, a few seconds; a connection takes the time of so many bits more."""


def reasons(graph: ng.NetGraph, found: ng.Sweep) -> dict[str, list[str]]:
    """Return sentences on the dead and constant units of each layer that has some.

    Parameters
    ----------
    graph : NetGraph
    found : Sweep

    Returns
    -------
    dict of str to list of str

    Examples
    --------
    >>> graph = ng.from_biadjacency([[[1, 0], [0, 0], [1, 1]], [[1, 1, 0]]])
    >>> reasons(graph, ng.sweep(graph))["layer1"]
    ['1 of 3 units is dead: no weight out of it is kept.', '1 of 3 units is constant: it emits 0.']
    """
    dead, constant = _dead_reasons(graph, found), _constant_reasons(found)
    sentences: dict[str, list[str]] = {}
    for name, units in graph.slices.items():
        for state, causes in (("dead", dead), ("constant", constant)):
            counts = {text: int(np.count_nonzero(flags[units])) for text, flags in causes.items()}
            if text := _sentence(state, graph.layers[name], counts):
                sentences.setdefault(name, []).append(text)
    return sentences


def examples(graph: ng.NetGraph, found: ng.Sweep) -> dict[str, list[str]]:
    """Return what `netgraph.explain` says of the first dead and the first constant unit of each layer.

    In a large graph only the first layers get an example, of dead units before constant ones; `netgraph.explain`
    answers for the others.

    Parameters
    ----------
    graph : NetGraph
    found : Sweep

    Returns
    -------
    dict of str to list of str

    Examples
    --------
    >>> graph = ng.from_biadjacency([[[1, 0], [0, 0], [1, 1]], [[1, 1, 0]]])
    >>> [text.partition(":")[0] for text in examples(graph, ng.sweep(graph))["layer1"]]
    ['layer1[2] is dead', 'layer1[1] is constant']
    """
    classes = (~found.co_accessible, found.co_accessible & ~found.accessible)
    firsts = [
        (name, units.start + int(flags[units].argmax()))
        for flags in classes
        for name, units in graph.slices.items()
        if flags[units].any()
    ]
    most = WORK // (sum(c.size for c in graph.weighted) + EACH * (len(graph.connections) + 1))
    texts: dict[str, list[str]] = {}
    for name, unit in firsts[:most]:
        texts.setdefault(name, []).append(ng.explain(graph, unit).text)
    return texts


def _dead_reasons(graph: ng.NetGraph, found: ng.Sweep) -> dict[str, np.ndarray]:
    """Return, for each reason, the units that are dead for it: ndarray of bool, shape (n_units,)."""
    dead = ~found.co_accessible
    units = np.flatnonzero(dead)
    on, on_open = (joined(graph, units, targets) for targets in (np.ones_like(dead), graph.gate))
    weighted = _with_weights(graph)
    return {
        "no weight out of {them} is kept": dead & ~on & weighted,
        "nothing follows {them}": dead & ~on & ~weighted,
        "all that follows {them} has a masked scale": dead & on & ~on_open,
        "no output depends on what follows {them}": dead & on_open,
    }


def _constant_reasons(found: ng.Sweep) -> dict[str, np.ndarray]:
    constant = found.co_accessible & ~found.accessible
    return {
        "{they} 0": constant & ~found.nonzero,
        "{they} a constant that biases make": constant & found.nonzero,
    }


def _with_weights(graph: ng.NetGraph) -> np.ndarray:
    flags = np.zeros(graph.n_units, dtype=bool)
    for c in graph.weighted:
        flags[unit_slices(graph, c)[0]] |= c.size > 0
    return flags


def _sentence(state: str, units: int, counts: dict[str, int]) -> str:
    causes = {text: number for text, number in counts.items() if number}
    total = sum(causes.values())
    if not total:
        return ""
    listed = "; ".join(_cause(text, number, alone=len(causes) == 1) for text, number in causes.items())
    return f"{total:,} of {units:,} units {are(total)} {state}: {listed}."


def _cause(text: str, number: int, *, alone: bool) -> str:
    one = number == 1
    filled = text.format(them="it" if one else "them", they="it emits" if one else "they emit")
    return filled if alone else f"{number:,} because {filled}"
