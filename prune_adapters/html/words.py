"""The summary of a graph in sentences: what was pruned, what still works, where it is narrow, what is cut."""

from typing import NamedTuple

import numpy as np

import netgraph as ng
from netgraph.why.words import unit_name
from prune_adapters.report import LayerRow, report
from prune_adapters.report.text import are, percent

__all__ = ["Sentence", "first_names", "in_words"]

MOST_EDGES = 3_000_000
"""Edges up to which the smallest cut is computed; above it takes more than a few seconds."""


class Sentence(NamedTuple):
    """A sentence or two under a heading.

    Parameters
    ----------
    heading, text : str
    warning : bool
        True if the network does not do its work.

    Examples
    --------
    >>> Sentence("Reach", "The input reaches all 10 outputs.").warning
    False
    """

    heading: str
    text: str
    warning: bool = False


def in_words(graph: ng.NetGraph) -> list[Sentence]:
    """Return the summary of a graph.

    Parameters
    ----------
    graph : NetGraph

    Returns
    -------
    list of Sentence

    Examples
    --------
    >>> for heading, text, _ in in_words(ng.from_biadjacency([[[1], [1]], [[1, 0]]])):
    ...     print(f"{heading}: {text}")
    Pruned: 3 of 4 weights are kept: 25.0 % sparsity.
    Effective: 2 of the kept weights lead from the input to an output: 50.0 % effective sparsity. 1 carries ...
    Units: Of 4 units 3 are live, 0 constant and 1 dead.
    Reach: The input reaches the output.
    Bottleneck: Every path passes 1 unit: 1 of 2 in layer1.
    """
    found, rows = ng.sweep(graph), report(graph)
    sentences = [*_weights(rows.total), _units(rows.total), _reach(graph, found)]
    if found.accessible[graph.outputs].any():
        narrow = _bottleneck(graph, found)
        return [*sentences, *([narrow] if narrow else []), *_silent(rows.layers)]
    return [*sentences, _repair(graph), *_silent(rows.layers)]


def first_names(names: list[str], most: int = 4) -> str:
    """Return the first few names and how many more there are.

    Examples
    --------
    >>> first_names(["a", "b", "c"], most=2)
    'a, b and 1 more'
    """
    return ", ".join(names[:most]) + (f" and {len(names) - most:,} more" if len(names) > most else "")


def _weights(total: LayerRow) -> list[Sentence]:
    if not total.weights:
        return [Sentence("Pruned", "The network has no weights.")]
    pruned = f"{total.kept:,} of {total.weights:,} weights {are(total.kept)} kept: {percent(total.sparsity)} sparsity."
    idle = total.kept - total.consistent
    lead = "leads" if total.consistent == 1 else "lead"
    text = (
        f"{total.consistent:,} of the kept weights {lead} from the input to an output: "
        f"{percent(total.effective_sparsity)} effective sparsity."
    )
    if idle:
        text += f" {idle:,} carr{'ies' if idle == 1 else 'y'} nothing of the input to an output."
    return [Sentence("Pruned", pruned), Sentence("Effective", text)]


def _units(total: LayerRow) -> Sentence:
    live = f"{total.live:,} {are(total.live)} live"
    return Sentence("Units", f"Of {total.units:,} units {live}, {total.constant:,} constant and {total.dead:,} dead.")


def _reach(graph: ng.NetGraph, found: ng.Sweep) -> Sentence:
    outputs, reached = len(graph.outputs), int(found.accessible[graph.outputs].sum())
    if not reached:
        return Sentence("Reach", "No input reaches an output: the network computes a constant.", warning=True)
    if reached < outputs:
        others = "the other does" if outputs - reached == 1 else "the others do"
        text = f"The input reaches {reached:,} of {outputs:,} outputs; {others} not depend on it."
        return Sentence("Reach", text, warning=True)
    idle = len(graph.inputs) - int(found.co_accessible[graph.inputs].sum())
    text = f"The input reaches {'the output' if outputs == 1 else f'all {outputs:,} outputs'}."
    unused = f" {idle:,} of {len(graph.inputs):,} input units {are(idle)} not used." if idle else ""
    return Sentence("Reach", text + unused)


def _bottleneck(graph: ng.NetGraph, found: ng.Sweep) -> Sentence | None:
    try:
        if sum(int(np.bitwise_count(graph.words(i)).sum()) for i in range(len(graph.weighted))) > MOST_EDGES:
            return _narrowest(graph, found)
        cut = ng.flow.min_unit_cut(graph)
    except ValueError:
        return Sentence("Bottleneck", "None: an edge leads straight from an input to an output.")
    places = [f"{count:,} of {graph.layers[name]:,} in {name}" for name, count in cut.layers.items()]
    units = f"{cut.size:,} unit{'' if cut.size == 1 else 's'}"
    return Sentence(
        "Bottleneck", f"Every path passes {'' if cut.size == 1 else 'one of '}{units}: {first_names(places)}."
    )


def _narrowest(graph: ng.NetGraph, found: ng.Sweep) -> Sentence | None:
    """Return the layer between inputs and outputs with the fewest working units, for graphs too large for a cut."""
    works = found.accessible & found.co_accessible
    ends = np.zeros(graph.n_units, dtype=bool)
    ends[graph.inputs] = ends[graph.outputs] = True
    live = {n: int(works[own].sum()) for n, own in graph.slices.items() if works[own].any() and not ends[own].any()}
    if not live:
        return None
    name = min(live, key=lambda layer: live[layer])
    return Sentence("Narrowest layer", f"{name} has {live[name]:,} live of {graph.layers[name]:,} units.")


def _repair(graph: ng.NetGraph) -> Sentence:
    found = ng.least_repair(graph)
    if found is None:
        return Sentence(
            "Repair", "No removed weights would make a path: a masked scale or a zero factor is in the way."
        )
    elements = [
        f"{name}[{', '.join(map(str, np.unravel_index(flat, graph.parameters[name].shape)))}]"
        for name, flats in found.elements.items()
        for flat in flats.tolist()
    ]
    weights = f"{found.size:,} weight{'' if found.size == 1 else 's'}"
    ends = f"{unit_name(graph, found.path[0])} to {unit_name(graph, found.path[-1])}"
    text = f"Putting back {weights} makes a path from {ends}, and no fewer do: {first_names(elements, 6)}."
    return Sentence("Least repair", text)


def _silent(layers: tuple[LayerRow, ...]) -> list[Sentence]:
    """Return which layers have weights, but not one on a path."""
    names = [row.layer for row in layers if row.weights and not row.consistent]
    if not names:
        return []
    which = "1 layer has" if len(names) == 1 else f"{len(names):,} layers have"
    return [Sentence("Cut", f"{which} no weight on a path: {first_names(names)}.", warning=True)]
