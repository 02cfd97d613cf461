"""The words of an explanation."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from netgraph.graph import NetGraph
from netgraph.reach import Sweep
from netgraph.reference import unit_slices
from netgraph.walks import neighbours
from netgraph.why.cut import Cut

__all__ = ["headline", "unit_name", "way", "way_in_ends", "way_out_ends"]

REASONS_IN = {
    "masked scale": "their scale is masked",
    "zero factor": "they multiply, and more than one factor is zero",
    "no kept weight": "no weight into them is kept",
    "nothing": "nothing leads to them",
}
REASONS_OUT = {
    "masked scale": "all that follows has a masked scale",
    "zero factor": "all that follows is multiplied by zero",
    "no kept weight": "no weight out of them is kept",
    "nothing": "nothing follows them",
}


def unit_name(graph: NetGraph, unit: int) -> str:
    """Return ``layer[index]``."""
    layer = graph.layer_of(unit)
    return f"{layer}[{unit - graph.slices[layer].start}]"


def headline(graph: NetGraph, unit: int, state: str, value: str) -> str:
    """Return the state and the value of a unit in a sentence."""
    name = unit_name(graph, unit)
    if state == "live":
        return f"{name} is live: it changes with the input, and an output changes with it."
    own = {
        "zero": "it is always 0",
        "constant": f"it emits a constant ({_origin(graph, unit) or 'of the units before it'})",
        "live": "its own value changes with the input",
    }[value]
    if state == "dead":
        return f"{name} is dead: no output changes with it; {own}."
    return f"{name} is constant: an output changes with it, but it does not change with the input; {own}."


def way(graph: NetGraph, path: Sequence[int], most: int = 12) -> str:
    """Return the units of a path, those in the middle left out if there are many."""
    if len(path) == 1:
        return "it is one"
    names = [unit_name(graph, unit) for unit in path]
    if len(names) > most:
        names[most // 2 : -(most // 2)] = [f"({len(names) - most} more)"]
    return " -> ".join(names)


def way_in_ends(graph: NetGraph, unit: int, cut: Cut, found: Sweep) -> str:
    """Return why no input reaches a unit, what else is cut off, and which weights would help."""
    lines = [f"cut. {_why_not_in(graph, unit, found)}", *_behind(graph, cut, REASONS_IN)]
    return "\n    ".join([*lines, _helpful(cut, "out of live units", "make it live", "a live unit")])


def way_out_ends(graph: NetGraph, unit: int, cut: Cut) -> str:
    """Return why no output depends on a unit, what else is cut off, and which weights would help."""
    lines = [f"cut. {_why_not_out(graph, unit)}", *_behind(graph, cut, REASONS_OUT)]
    return "\n    ".join(
        [
            *lines,
            _helpful(cut, "into units that an output depends on", "make it matter", "a unit that an output depends on"),
        ]
    )


def _why_not_in(graph: NetGraph, unit: int, found: Sweep) -> str:
    if not graph.gate[unit]:
        return f"Its scale is masked ({_names(graph, unit, 'gate') or 'by hand'})."
    before = neighbours(graph, unit, backward=True)
    if graph.layer_of(unit) in graph.products:
        zero = before[~found.nonzero[before]]
        if zero.size:
            return f"It multiplies, and of its factors {_listed(graph, zero)} {_is(zero.size)} zero."
    if not before.size:
        return _none_kept(_possible(graph, unit, 1), "into it", "Nothing leads to it.")
    labels = [f"{unit_name(graph, s)} ({_class(graph, s, found)})" for s in before[:3].tolist()]
    more = f" and {before.size - 3} more" if before.size > 3 else ""
    if before.size == 1:
        return f"The only edge into it comes from {labels[0]}, which is not live."
    return f"All {before.size} edges into it come from units that are not live: {', '.join(labels)}{more}."


def _why_not_out(graph: NetGraph, unit: int) -> str:
    after = neighbours(graph, unit, backward=False)
    if not after.size:
        return _none_kept(_possible(graph, unit, 0), "out of it", "Nothing follows it.")
    closed = ~graph.gate[after]
    if closed.all():
        return f"All that follows it has a masked scale: {_listed(graph, after)}."
    if all(graph.layer_of(t) in graph.products for t in after[~closed].tolist()):
        return f"All that follows it is multiplied by zero, or no output depends on it: {_listed(graph, after)}."
    return f"No output depends on what follows it: {_listed(graph, after)}."


def _none_kept(possible: int, where: str, otherwise: str) -> str:
    if not possible:
        return otherwise
    return (
        f"None of the {possible:,} weights {where} is kept." if possible > 1 else f"The 1 weight {where} is not kept."
    )


def _possible(graph: NetGraph, unit: int, side: int) -> int:
    """Return the number of weights, kept or not, out of (side 0) or into (side 1) a unit."""
    return sum(
        (c.width if side else c.rows // c.groups * c.taps)
        for c in graph.weighted
        if (span := unit_slices(graph, c)[side]).start <= unit < span.stop
    )


def _behind(graph: NetGraph, cut: Cut, reasons: dict[str, str], most: int = 4) -> list[str]:
    """Return a sentence on the other units of a cut and where it ends."""
    if len(cut.units) == 1:
        return []
    groups = Counter((graph.layer_of(unit), why) for unit, why in cut.ends.items())
    ends = [f"{n} of {graph.layers[layer]} in {layer} ({reasons[why]})" for (layer, why), n in groups.items()]
    text = f"Cut off with it: {len(cut.units) - 1:,} more unit{'s' if len(cut.units) > 2 else ''}."
    if ends:
        more = f", and in {len(ends) - most} more places" if len(ends) > most else ""
        text += f" The ways end at {', '.join(ends[:most])}{more}."
    return [text]


def _helpful(cut: Cut, which: str, effect: str, wanted: str) -> str:
    total, names = sum(cut.weights.values()), list(cut.weights)
    if not total:
        return f"No removed weight joins {'it' if len(cut.units) == 1 else 'any of them'} to {wanted}."
    listed = ", ".join(f"{name}: {cut.weights[name]:,}" for name in names[:4])
    more = f" and {len(names) - 4} more" if len(names) > 4 else ""
    start = f"Any one of {total:,} removed weights" if total > 1 else "The 1 removed weight"
    return f"{start} {which} ({listed}{more}) would {effect}."


def _class(graph: NetGraph, unit: int, found: Sweep) -> str:
    if not found.nonzero[unit]:
        return "zero"
    origin = _origin(graph, unit)
    return f"constant: {origin}" if origin else "constant"


def _origin(graph: NetGraph, unit: int) -> str:
    """Return what makes a unit a constant by itself: its bias, or a function that is not 0 at 0."""
    if not graph.shift[unit]:
        return ""
    return _names(graph, unit, "shift") or "a function that is not 0 at 0"


def _names(graph: NetGraph, unit: int, role: str) -> str:
    layer = graph.layer_of(unit)
    local = unit - graph.slices[layer].start
    acting = (u for u in graph.unit_parameters if u.layer == layer and u.role == role and u.parameter)
    return ", ".join(u.parameter or "" for u in acting if u.index is None or (u.index[local] >= 0).any())


def _listed(graph: NetGraph, units: np.ndarray, most: int = 3) -> str:
    names = ", ".join(unit_name(graph, unit) for unit in units[:most].tolist())
    return names + (f" and {units.size - most} more" if units.size > most else "")


def _is(count: int) -> str:
    return "is" if count == 1 else "are"
