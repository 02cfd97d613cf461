"""The words of a `CollapseReport`."""

from collections.abc import Mapping

import numpy as np

import netgraph as ng
from netgraph.why.words import way
from prune_adapters.collapse.findings import CollapseReport, removed
from prune_adapters.report.text import aligned, are, percent

__all__ = ["in_words"]

HEAD = ("no weight on a path", "kept", "needs", "lost beyond")


def in_words(found: CollapseReport, graph: ng.NetGraph, shapes: Mapping[str, tuple[int, ...]]) -> str:
    """Return two sentences, on the limit and on the budget that was looked at, and a table of lost layers."""
    lines = [_limit(found, shapes), _now(graph, found, shapes)]
    needs = ["-" if lost.needed is None else f"{lost.needed:,}" for lost in found.lost]
    rows = [
        (lost.parameter, f"{lost.kept:,}", need, percent(lost.sparsity))
        for lost, need in zip(found.lost, needs, strict=True)
    ]
    return "\n".join([*lines, "", aligned([HEAD, *rows])] if rows else lines)


def _limit(found: CollapseReport, shapes: Mapping[str, tuple[int, ...]]) -> str:
    if found.needed is None:
        return "No input reaches an output, even with all scored weights kept; netgraph.explain tells where paths end."
    if found.last is None:
        return "An output depends on an input even without the scored weights."
    return (
        f"No input reaches an output beyond {percent(found.sparsity)} sparsity ({found.needed:,} of {found.total:,} "
        f"weights kept): {_element(*found.last, shapes)} cuts the last path."
    )


def _now(graph: ng.NetGraph, found: CollapseReport, shapes: Mapping[str, tuple[int, ...]]) -> str:
    at = f"At {percent(removed(found.kept, found.total))} sparsity ({found.kept:,} of {found.total:,} weights kept)"
    if not found.collapsed:
        number = len(found.lost)
        return f"{at} there is a path; {number} of {len(shapes)} parameters {are(number)} on none."
    if found.repair is None:
        return f"{at} the network has collapsed, and no weights alone would make a path."
    names = [_element(name, int(i), shapes) for name, flat in found.repair.elements.items() for i in flat]
    weights = "1 weight makes" if len(names) == 1 else f"{len(names)} weights makes"
    return (
        f"{at} the network has collapsed. Putting back {weights} a path:\n"
        f"  {way(graph, found.repair.path)} by {', '.join(names)}"
    )


def _element(name: str, flat: int, shapes: Mapping[str, tuple[int, ...]]) -> str:
    return f"{name}[{', '.join(str(i) for i in np.unravel_index(flat, shapes[name]))}]"
