"""networkx: a DiGraph with one node a unit, for its algorithms and for oracles; slow beyond some 1e5 edges."""

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from netgraph.convert.explode import exploded
from netgraph.convert.layered import Layering, layered_graph
from netgraph.errors import GraphStructureError
from netgraph.graph import NetGraph

if TYPE_CHECKING:
    import networkx as nx

__all__ = ["from_networkx", "node_order", "to_networkx"]


def to_networkx(graph: NetGraph, *, labels: Sequence[Hashable] | None = None) -> "nx.DiGraph":
    """Return the units and edges of a graph as a networkx DiGraph.

    Nodes have the attributes ``layer``, ``index`` (place in the layer), ``input``, ``output``, ``product``, ``gate``
    and ``shift``. Edges have ``weight`` (length in hops: 1, or 0 for a fixed edge), ``fixed``, ``kept`` (number of kept
    elements) and ``parameters`` (names, empty for a fixed edge). Where several connections join two units there is
    one edge: the shortest weight, all elements, all names; it is fixed if one of them is.

    Parameters
    ----------
    graph : NetGraph
    labels : sequence, optional
        A node for each unit; the unit ids if not given.

    Returns
    -------
    networkx.DiGraph

    Raises
    ------
    ValueError
        `labels` are not as many as the units, or not all different.

    Examples
    --------
    >>> import netgraph as ng
    >>> G = to_networkx(ng.from_biadjacency([[[1, 0], [1, 1]]]))
    >>> list(G.edges), G.nodes[3]["layer"], G.edges[0, 3]["parameters"]
    ([(0, 2), (0, 3), (1, 3)], 'layer1', ('weight1',))
    """
    import networkx as nx

    nodes = list(range(graph.n_units)) if labels is None else list(labels)
    if len(nodes) != graph.n_units or len(set(nodes)) != len(nodes):
        raise ValueError(f"labels: expected {graph.n_units} different ones, got {len(set(nodes))} of {len(nodes)}")
    made = nx.DiGraph()
    _add_nodes(made, graph, nodes)
    for c, sources, targets, kept in exploded(graph):
        fixed, names = c.parameter is None, () if c.parameter is None else (c.parameter,)
        for source, target, count in zip(sources.tolist(), targets.tolist(), kept.tolist(), strict=True):
            old = made.get_edge_data(nodes[source], nodes[target])
            new = {"weight": int(not fixed), "fixed": fixed, "kept": count, "parameters": names}
            made.add_edge(nodes[source], nodes[target], **(_joined(old, new) if old else new))
    return made


def from_networkx(
    G: "nx.DiGraph", *, inputs: Iterable[Hashable] | None = None, outputs: Iterable[Hashable] | None = None
) -> NetGraph:
    """Return the graph of a networkx DiGraph: every edge is a kept weight, or fixed if it has ``fixed=True``.

    Layers come from the longest path to each node, as in `from_edge_array`; layers that `to_networkx` noted on the
    nodes are not read, ``gate`` and ``shift`` are. ``to_networkx(graph, labels=node_order(G))`` has the nodes and edges
    of `G` again. `G` is not changed.

    Parameters
    ----------
    G : networkx.DiGraph
        Cycles become feedback connections.
    inputs, outputs : iterable of nodes, optional
        Those without a predecessor and without a successor if not given.

    Returns
    -------
    NetGraph
        Layers "layer0", "layer1", ...

    Raises
    ------
    GraphStructureError
        `G` is undirected, has parallel edges or product nodes, or an input or output is not a node or not found.

    Examples
    --------
    >>> import networkx as nx
    >>> G = nx.DiGraph([("x", "h"), ("h", "y"), ("x", "y")])
    >>> from_networkx(G)
    NetGraph: 3 layers, 3 units, 3 of 3 weights kept
      layer   units  weights  kept  from
      layer0      1        -     -  input
      layer1      1        1     1  layer0
      layer2      1        2     2  layer0, layer1, output
    >>> node_order(G)
    ['x', 'h', 'y']
    """
    number = {node: position for position, node in enumerate(G)}
    edges, fixed = _edges(G, number)
    ends = {"inputs": _numbers("inputs", inputs, number), "outputs": _numbers("outputs", outputs, number)}
    graph, layering = layered_graph(edges, len(number), fixed=fixed, **ends)
    flags = {
        name: np.array([G.nodes[node].get(name, usual) for node in G], dtype=bool)[layering.order]
        for name, usual in (("gate", True), ("shift", False))
    }
    return replace(graph, **flags)


def node_order(G: "nx.DiGraph") -> list[Hashable]:
    """Return the node of `G` that became each unit of ``from_networkx(G)``: by layer, then in the order of `G`.

    Parameters
    ----------
    G : networkx.DiGraph

    Returns
    -------
    list
        One node for each unit.

    Examples
    --------
    >>> import networkx as nx
    >>> node_order(nx.DiGraph([("b", "c"), ("a", "b")]))
    ['a', 'b', 'c']
    """
    nodes = list(G)
    edges, _ = _edges(G, {node: position for position, node in enumerate(nodes)})
    return [nodes[position] for position in Layering.of(edges, len(nodes)).order]


def _add_nodes(made: "nx.DiGraph", graph: NetGraph, nodes: Sequence[Hashable]) -> None:
    inputs, outputs = set(graph.inputs.tolist()), set(graph.outputs.tolist())
    gate, shift = np.asarray(graph.gate).tolist(), np.asarray(graph.shift).tolist()
    for layer, units in graph.slices.items():
        for unit in range(units.start, units.stop):
            made.add_node(
                nodes[unit],
                layer=layer,
                index=unit - units.start,
                input=unit in inputs,
                output=unit in outputs,
                product=layer in graph.products,
                gate=gate[unit],
                shift=shift[unit],
            )


def _joined(old: dict, new: dict) -> dict:
    return {
        "weight": min(old["weight"], new["weight"]),
        "fixed": old["fixed"] or new["fixed"],
        "kept": old["kept"] + new["kept"],
        "parameters": tuple(dict.fromkeys(old["parameters"] + new["parameters"])),
    }


def _edges(G: "nx.DiGraph", number: dict[Hashable, int]) -> tuple[np.ndarray, np.ndarray]:
    """Return the edges as numbers, shape (n_edges, 2), and which are fixed."""
    if not G.is_directed() or G.is_multigraph():
        raise GraphStructureError(f"expected a networkx.DiGraph, got {type(G).__name__}; convert with nx.DiGraph(G)")
    products = [node for node, product in G.nodes(data="product", default=False) if product]
    if products:
        raise GraphStructureError(f"node {products[0]!r} is a product; from_networkx builds layers that add only")
    edges = [(number[source], number[target]) for source, target in G.edges]
    fixed = [bool(is_fixed) for *_, is_fixed in G.edges(data="fixed", default=False)]
    return np.array(edges, dtype=np.int64).reshape(-1, 2), np.array(fixed, dtype=bool)


def _numbers(label: str, nodes: Iterable[Hashable] | None, number: dict[Hashable, int]) -> list[int] | None:
    if nodes is None:
        return None
    chosen = list(nodes)
    for node in chosen:
        if node not in number:
            raise GraphStructureError(f"{label}: {node!r} is not a node of the graph")
    return [number[node] for node in chosen]
