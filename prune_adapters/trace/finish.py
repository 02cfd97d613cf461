"""From the layers that a trace collected to a `NetGraph`.

A layer that only passes on the units of one other layer (a batch norm after a convolution, a sigmoid after a linear
layer) is merged into it, so that a unit of the graph is what a reader expects: one channel of the convolution.
"""

from collections import Counter
from dataclasses import replace

import numpy as np

from netgraph import Connection, NetGraph, Wiring
from prune_adapters.trace.builder import GraphBuilder, LayerDraft
from prune_adapters.trace.values import PRESENT

__all__ = ["final_units", "finish"]


def finish(builder: GraphBuilder) -> NetGraph:
    """Return the graph of what was traced, every weight kept.

    Parameters
    ----------
    builder : GraphBuilder

    Returns
    -------
    NetGraph
    """
    kept, home = _places(builder, _unread(builder))
    names = {number: builder.layers[number].name for number in kept}
    layers = {names[number]: builder.layers[number].size for number in kept}
    connections = [
        replace(c, source=names[home[int(c.source)]], target=names[number])
        for number in kept
        for c in builder.layers[number].incoming
    ]
    return NetGraph(
        layers=layers,
        connections=tuple(connections),
        bits=np.zeros(sum(c.n_words for c in connections if isinstance(c, Connection)), dtype=np.uint64),
        inputs=_units_of(
            builder, [builder.layers[i].start + np.arange(builder.layers[i].size) for i in builder.inputs], home, kept
        ),
        outputs=_units_of(builder, [ids.reshape(-1).numpy() for ids in builder.outputs], home, kept),
        products=frozenset(names[number] for number in kept if builder.layers[number].product),
        unit_parameters=_unit_parameters(builder, home, names),
        parameters=builder.parameter_infos(),
        buffers=builder.buffers,
        notes=tuple(builder.notes),
    )


def _places(builder: GraphBuilder, unread: set[int]) -> tuple[list[int], dict[int, int]]:
    """Return the layers that stay, and for each layer the one that it becomes part of."""
    merged_into = _mergers(builder, unread)
    kept = [number for number in range(len(builder.layers)) if number not in merged_into and number not in unread]
    return kept, {number: _home(number, merged_into) for number in range(len(builder.layers))}


def _seen_outside(builder: GraphBuilder) -> set[int]:
    """Return the layers of inputs and outputs."""
    outputs = np.concatenate([np.zeros(0, np.int64), *(ids.reshape(-1).numpy() for ids in builder.outputs)])
    return {builder.layer_at(int(unit)) for unit in np.unique(outputs) if unit >= 0} | set(builder.inputs)


def _unread(builder: GraphBuilder) -> set[int]:
    """Return the layers without weights or parameters that nothing reads: results that a program threw away."""
    readers = Counter(int(c.source) for layer in builder.layers for c in layer.incoming)
    seen_outside, unread = _seen_outside(builder), set()
    for number in reversed(range(len(builder.layers))):
        layer = builder.layers[number]
        weights = [c for c in layer.incoming if isinstance(c, Connection)]
        parameters = [u for u in layer.unit_parameters if u.parameter]
        if not (weights or parameters or readers[number] or number in seen_outside):
            unread.add(number)
            readers.subtract(int(c.source) for c in layer.incoming)
    return unread


def _mergers(builder: GraphBuilder, unread: set[int]) -> dict[int, int]:
    """Return ``{layer: the layer that it only passes on}``."""
    layers = [layer for number, layer in enumerate(builder.layers) if number not in unread]
    readers = Counter(int(c.source) for layer in layers for c in layer.incoming)
    seen_outside = _seen_outside(builder)
    mergers = {}
    for number, layer in enumerate(builder.layers):
        if number in unread:
            continue
        source = _only_passes_on(layer, builder)
        if source is not None and readers[source] == 1 and source not in seen_outside:
            mergers[number] = source
    return mergers


def _only_passes_on(layer: LayerDraft, builder: GraphBuilder) -> int | None:
    if len(layer.incoming) != 1 or layer.product or not isinstance(layer.incoming[0], Wiring):
        return None
    wiring = layer.incoming[0]
    source = int(wiring.source)
    whole = wiring.groups == layer.size == builder.layers[source].size
    return source if wiring.kind == "identity" and whole and not wiring.feedback else None


def _home(number: int, merged_into: dict[int, int]) -> int:
    while number in merged_into:
        number = merged_into[number]
    return number


def final_units(builder: GraphBuilder, ids: np.ndarray) -> np.ndarray:
    """Return the ids that units have in the finished graph; those below 0 (constants) stay what they are.

    A unit that nothing reads is not in the graph; it is `PRESENT`, something of which nothing is known.

    Parameters
    ----------
    builder : GraphBuilder
    ids : ndarray of int64, any shape
        Ids as they are while tracing.
    """
    unread = _unread(builder)
    kept, home = _places(builder, unread)
    owner = np.searchsorted(builder.starts(), np.maximum(ids, 0), side="right") - 1
    known = np.where(np.isin(owner, list(unread)), PRESENT, ids)
    return np.where(known < 0, known, _renumbered(builder, np.maximum(known, 0), home, kept))


def _units_of(builder: GraphBuilder, ids: list[np.ndarray], home: dict[int, int], kept: list[int]) -> np.ndarray:
    """Return the final ids of units, sorted."""
    units = np.unique(np.concatenate([np.zeros(0, np.int64), *ids]))
    return np.unique(_renumbered(builder, units[units >= 0], home, kept))


def _renumbered(builder: GraphBuilder, units: np.ndarray, home: dict[int, int], kept: list[int]) -> np.ndarray:
    starts, new_starts = builder.starts(), {}
    position = 0
    for number in kept:
        new_starts[number] = position
        position += builder.layers[number].size
    owner = np.searchsorted(starts, units, side="right") - 1
    shift = np.array([new_starts.get(home[n], 0) for n in range(len(builder.layers))], dtype=np.int64)
    return units - starts[owner] + shift[owner]


def _unit_parameters(builder: GraphBuilder, home: dict[int, int], names: dict[int, str]) -> tuple:
    """Return gates and shifts, those of merged layers in the order in which they act."""
    return tuple(
        replace(action, layer=names[home[number]])
        for number, layer in enumerate(builder.layers)
        for action in layer.unit_parameters
        if home[number] in names
    )
