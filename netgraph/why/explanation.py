"""`explain`: why one unit is live, constant or dead."""

from dataclasses import dataclass

import numpy as np

from netgraph.describe import some_names
from netgraph.graph import NetGraph
from netgraph.reach import Sweep, sweep
from netgraph.walks import walk_to_input, walk_to_output
from netgraph.why.cut import Cut, cut_from_input, cut_to_output
from netgraph.why.words import headline, unit_name, way, way_in_ends, way_out_ends

__all__ = ["Explanation", "explain"]

VALUES = ("zero", "constant", "live")


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Explanation:
    """Why a unit is live, constant or dead; print it.

    Parameters
    ----------
    unit : int
    name : str
        ``layer[index]``.
    state : {"live", "constant", "dead"}
        As in `netgraph.reach`: dead if no output changes with the unit, else constant if it does not change with the
        input, else live.
    value : {"zero", "constant", "live"}
        What the unit emits; a dead unit too has a value.
    path_from_input : tuple of int or None
        Units of a way with the fewest edges from an input unit to this one, if its value is live. All of them are live.
    path_to_output : tuple of int or None
        Units of a way with the fewest edges from this one to an output unit, if it is not dead. None of them is dead.
    cut_from_input, cut_to_output : Cut or None
        What stands in the way where there is no path.
    text : str
        The same in words.

    Examples
    --------
    >>> import netgraph as ng
    >>> found = explain(ng.from_biadjacency([[[1], [1]], [[1, 0]]]), 1)
    >>> found.state, found.path_from_input, found.path_to_output
    ('live', (0, 1), (1, 3))
    """

    unit: int
    name: str
    state: str
    value: str
    path_from_input: tuple[int, ...] | None
    path_to_output: tuple[int, ...] | None
    cut_from_input: Cut | None
    cut_to_output: Cut | None
    text: str

    def __str__(self) -> str:
        return self.text

    __repr__ = __str__


def explain(graph: NetGraph, unit: int | str | tuple[str, int]) -> Explanation:
    """Return why a unit is live, constant or dead: shortest ways from the input and to an output, or what cuts them.

    Parameters
    ----------
    graph : NetGraph
    unit : int, str or tuple of str and int
        Its id, ``"layer[index]"`` or ``(layer, index)``.

    Returns
    -------
    Explanation

    Raises
    ------
    KeyError
        There is no such layer.
    IndexError
        The layer has no such unit, or the graph no such id.
    ValueError
        The name has another form.

    Notes
    -----
    One `sweep` and at most two walks, each of which reads the bits of the connections that it meets once.

    Examples
    --------
    >>> import netgraph as ng
    >>> graph = ng.from_biadjacency([[[1, 0], [0, 0], [1, 1]], [[1, 1, 0]]])
    >>> explain(graph, "layer2[0]")
    layer2[0] is live: it changes with the input, and an output changes with it.
      from the input: layer0[0] -> layer1[0] -> layer2[0]
      to an output: it is one
    >>> explain(graph, "layer1[1]")
    layer1[1] is constant: an output changes with it, but it does not change with the input; it is always 0.
      from the input: cut. None of the 2 weights into it is kept.
        Any one of 2 removed weights out of live units (weight1: 2) would make it live.
      to an output: layer1[1] -> layer2[0]
    >>> explain(graph, ("layer1", 2))
    layer1[2] is dead: no output changes with it; its own value changes with the input.
      from the input: layer0[0] -> layer1[2]
      to an output: cut. The 1 weight out of it is not kept.
        The 1 removed weight into units that an output depends on (weight2: 1) would make it matter.
    """
    number, found = _unit_id(graph, unit), sweep(graph)
    there, back = walk_to_output(graph, number, found.nonzero), walk_to_input(graph, number, found.nonzero)
    before = cut_from_input(graph, back, found) if back.path is None else None
    after = cut_to_output(graph, there, found) if there.path is None else None
    state, value = _state(found, number), VALUES[int(found.nonzero[number]) + int(found.accessible[number])]
    lines = [
        headline(graph, number, state, value),
        f"  from the input: {way_in_ends(graph, number, before, found) if before else way(graph, back.path or ())}",
        f"  to an output: {way_out_ends(graph, number, after) if after else way(graph, there.path or ())}",
    ]
    name = unit_name(graph, number)
    return Explanation(number, name, state, value, back.path, there.path, before, after, "\n".join(lines))


def _state(found: Sweep, unit: int) -> str:
    if not found.co_accessible[unit]:
        return "dead"
    return "live" if found.accessible[unit] else "constant"


def _unit_id(graph: NetGraph, unit: int | str | tuple[str, int]) -> int:
    if isinstance(unit, (int, np.integer)):
        graph.layer_of(int(unit))
        return int(unit)
    layer, index = _split(unit) if isinstance(unit, str) else unit
    if layer not in graph.layers:
        raise KeyError(f"unit {unit!r}: no layer {layer!r}; the graph has {some_names(graph.layers)}")
    if not 0 <= index < graph.layers[layer]:
        raise IndexError(f"unit {unit!r}: expected 0 <= index < {graph.layers[layer]}, got {index}")
    return graph.slices[layer].start + index


def _split(name: str) -> tuple[str, int]:
    layer, bracket, index = name.rpartition("[")
    if not bracket or not index.endswith("]") or not index[:-1].isdecimal():
        raise ValueError(f"unit {name!r}: expected an id, 'layer[index]' or (layer, index)")
    return layer, int(index[:-1])
