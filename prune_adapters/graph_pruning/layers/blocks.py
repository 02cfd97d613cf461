"""Layers taken together as blocks: the modules that end in a sum, and all of their type."""

from collections.abc import Iterable

from torch import nn

import netgraph as ng
from prune_adapters.graph_pruning.layers.producers import Joined, Pair

__all__ = ["block_of", "in_blocks"]


def in_blocks(joined: Joined, graph: ng.NetGraph, model: nn.Module) -> Joined:
    """Return the graph whose nodes are blocks, each named by its last layer; layers outside blocks stay nodes.

    Parameters
    ----------
    joined : Joined
        Of the layers.
    graph : NetGraph
    model : Module

    Returns
    -------
    Joined
    """
    blocks = _blocks(graph, model)
    last: dict[str, str] = {}
    for path in joined.nodes:
        last[block_of(path, blocks) or path] = path
    nodes = tuple(path for path in joined.nodes if last[block_of(path, blocks) or path] == path)
    numbers = [nodes.index(last[block_of(path, blocks) or path]) for path in joined.nodes]

    def merged(pairs: Iterable[Pair]) -> frozenset[Pair]:
        return frozenset((min(a, b), max(a, b)) for a, b in ((numbers[i], numbers[j]) for i, j in pairs) if a != b)

    owners = {path: numbers[joined.nodes.index(path)] for path in joined.nodes if path not in nodes}
    for path, node in joined.owners.items():
        own = last.get(block_of(path, blocks) or "")
        owners[path] = numbers[node] if own is None else nodes.index(own)
    return Joined(nodes, merged(joined.edges), merged(joined.shortcuts), owners)


def block_of(path: str, blocks: Iterable[str]) -> str | None:
    """Return the innermost block that a layer lies in, None if there is none.

    Examples
    --------
    >>> block_of("stage.1.conv", ["stage", "stage.1"]), block_of("head", ["stage"])
    ('stage.1', None)
    """
    return max((block for block in blocks if path.startswith(f"{block}.")), key=len, default=None)


def _blocks(graph: ng.NetGraph, model: nn.Module) -> list[str]:
    """Return the paths of the modules that compute a sum, and of all others of their types."""
    modules = dict(model.named_modules())
    targets: dict[str, int] = {}
    for wiring in graph.wiring:
        targets[wiring.target] = targets.get(wiring.target, 0) + 1
    sums = {name.rpartition(".")[0] for name, n in targets.items() if n > 1 and name not in graph.products}
    kinds = {type(modules[path]) for path in sums if path in modules and path}
    return [path for path, module in modules.items() if path and type(module) in kinds]
