"""Which layers of a traced network feed which, seen through everything between them."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise

import netgraph as ng
from netgraph.connection import Connection, Wiring

__all__ = ["Joined", "Pair", "followed"]

Pair = tuple[int, int]


@dataclass(frozen=True)
class Joined:
    """Layers, and pairs of them.

    Parameters
    ----------
    nodes : tuple of str
        Module paths, in the order of the computation.
    edges, shortcuts : frozenset of (int, int)
        Pairs i < j: i feeds j; a sum joins i and j.
    owners : mapping of str to int
        The node that each layer of a second sort follows and belongs to.
    """

    nodes: tuple[str, ...]
    edges: frozenset[Pair]
    shortcuts: frozenset[Pair]
    owners: Mapping[str, int]


def followed(graph: ng.NetGraph, wanted: Collection[str], owned: Collection[str] = ()) -> Joined:
    """Return how some layers of a network are joined.

    Parameters
    ----------
    graph : NetGraph
    wanted, owned : collection of str
        Module paths of the layers that are nodes, and of those that belong to the node before them. Everything but
        the nodes is passed through.

    Returns
    -------
    Joined
    """
    order = {name: place for place, name in enumerate(graph.layers)}
    entering: dict[str, list[Connection | Wiring]] = {name: [] for name in graph.layers}
    for connection in graph.connections:
        if not connection.feedback:
            entering[connection.target].append(connection)
    found = _Follower(graph, set(wanted), set(owned))
    for name in sorted(entering, key=order.__getitem__):
        found.enter(name, entering[name])
    return Joined(tuple(found.numbers), frozenset(found.edges), frozenset(found.shortcuts), found.owners)


class _Follower:
    """Goes through the layers of a graph in order and remembers who made what each of them holds."""

    def __init__(self, graph: ng.NetGraph, wanted: set[str], owned: set[str]) -> None:
        self.graph, self.wanted, self.owned = graph, wanted, owned
        self.numbers: dict[str, int] = {}
        self.edges: set[Pair] = set()
        self.shortcuts: set[Pair] = set()
        self.owners: dict[str, int] = {}
        self.producers: dict[str, frozenset[int]] = {}
        self.ancestors: dict[int, frozenset[int]] = {}

    def enter(self, name: str, connections: list[Connection | Wiring]) -> None:
        """Note who makes a layer, and what that joins."""
        terms = [self._term(connection) for connection in connections]
        makers = frozenset().union(*terms)
        if name not in self.graph.products and _is_sum(connections):
            self.shortcuts |= {_pair(a, b) for a, b in _across(terms)}
            makers = frozenset(a for a in makers if not any(a in self.ancestors[b] for b in makers))
        self.producers[name] = makers

    def _term(self, connection: Connection | Wiring) -> frozenset[int]:
        """Return who makes what one connection brings."""
        makers = self.producers[connection.source]
        if connection.parameter is None:
            return makers
        path = connection.parameter.rpartition(".")[0]
        if path not in self.wanted:
            if path in self.owned:
                self.owners.setdefault(path, max(makers, default=0))
            return makers
        node = self.numbers.setdefault(path, len(self.numbers))
        self.edges |= {_pair(maker, node) for maker in makers - {node}}
        above = frozenset().union(makers, *(self.ancestors[maker] for maker in makers))
        self.ancestors[node] = self.ancestors.get(node, frozenset()) | above
        return frozenset([node])


def _pair(a: int, b: int) -> Pair:
    return (a, b) if a < b else (b, a)


def _across(terms: list[frozenset[int]]) -> Iterator[Pair]:
    """Yield the pairs of makers of different terms."""
    for place, term in enumerate(terms):
        for other in terms[place + 1 :]:
            yield from ((a, b) for a in term for b in other if a != b)


def _is_sum(connections: list[Connection | Wiring]) -> bool:
    """Return whether several connections reach one unit; those of a concatenation lie side by side."""
    spans = sorted(map(_span, connections))
    return any(later[0] < earlier[1] for earlier, later in pairwise(spans))


def _span(connection: Connection | Wiring) -> tuple[int, int]:
    """Return the first unit of the target that a connection reaches, and the one behind the last."""
    start = connection.target_start
    if isinstance(connection, Connection):
        return start, start + connection.rows
    if connection.pairs is not None:
        return int(connection.pairs[1].min(initial=0)), int(connection.pairs[1].max(initial=-1)) + 1
    return start, start + connection.groups * connection.fan_out
