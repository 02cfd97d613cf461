"""Path lengths of ResNet-50 and ViT-B between all units, and the networkx backend, against other libraries.

    python examples/bench_paths.py [--quick] [--rounds N] [--sources N] [--json FILE]

One thread, 99 % of the weights removed at random. Ours is timed from a NetGraph, building included, for all units;
libraries get their graph ready made, search from `--sources` units spread over the network, and their time is scaled up
to all. For them a layer that mixes is a node of its own, not all its pairs. Every peer must count the same hops from
these units. igraph and networkit take part where they are installed.
"""

import benchmark  # first: it sets numpy to one thread

# isort: split

from collections.abc import Callable, Iterator
from importlib import import_module, util

import networkx as nx
import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import dijkstra

import graphs
import netgraph as ng
from netgraph import backend, native
from netgraph.convert.explode import connection_edges

NETWORKS = {"LeNet": graphs.lenet, "ResNet-50": graphs.resnet50, "ViT-B": graphs.vit_b}
TARGETS = {"ResNet-50": 40.0, "ViT-B": 400.0}
"""Milliseconds for the path length between all units."""

TIMES_FASTER = 300.0
"""The least ratio to a library."""

FREE = 1e-6
"""Cost of wiring, so small that it never adds up to a hop; scipy knows no edge of cost 0."""


def costs(graph: ng.NetGraph) -> csr_array:
    """Return the cost of every edge from unit to unit, 1 or nearly 0, with a node more for each block that mixes."""
    parts: list[tuple[np.ndarray, np.ndarray, float]] = []
    n_nodes = graph.n_units
    for position in range(len(graph.weighted)):
        sources, targets, _ = connection_edges(graph, position)
        parts.append((sources, targets, 1.0))
    for c in graph.connections:
        if not isinstance(c, ng.Wiring):
            continue
        first, last = graph.slices[c.source].start + c.source_start, graph.slices[c.target].start + c.target_start
        if c.pairs is not None or min(c.fan_in, c.fan_out) == 1:
            sources, targets = c.edges()
            parts.append((sources + graph.slices[c.source].start, targets + graph.slices[c.target].start, FREE))
            continue
        hubs = np.arange(n_nodes, n_nodes + c.groups)
        n_nodes += c.groups
        parts.append((first + np.arange(c.groups * c.fan_in), np.repeat(hubs, c.fan_in), FREE))
        parts.append((np.repeat(hubs, c.fan_out), last + np.arange(c.groups * c.fan_out), FREE))
    sources, targets = (np.concatenate([part[side] for part in parts]) for side in (0, 1))
    cost = np.concatenate([np.full(len(part[0]), part[2]) for part in parts])
    order = np.argsort(-cost, kind="stable")  # of an edge and wiring between the same units the last is taken
    least = {(s, t): c for s, t, c in zip(sources[order].tolist(), targets[order].tolist(), cost[order], strict=True)}
    rows, columns = np.array(list(least)).T
    return csr_array((list(least.values()), (rows, columns)), shape=(n_nodes, n_nodes))


def searches(matrix: csr_array) -> Iterator[tuple[str, Callable[[np.ndarray], object]]]:
    """Yield libraries and what returns the costs from some nodes to all, ndarray or lists."""
    yield "scipy", lambda sources: dijkstra(matrix, indices=sources)
    ends, weights = np.stack(matrix.tocoo().coords, axis=1), matrix.data.tolist()
    if util.find_spec("igraph"):
        graph = import_module("igraph").Graph(n=matrix.shape[0], edges=ends, directed=True)
        yield "igraph", lambda sources: graph.distances(sources.tolist(), weights=weights)
    if util.find_spec("networkit"):
        networkit = import_module("networkit")
        networkit.setNumberOfThreads(1)
        sides = tuple(side.astype(np.uint64) for side in ends.T)
        weighted = networkit.GraphFromCoo((matrix.data, sides), n=matrix.shape[0], weighted=True, directed=True)
        yield "networkit", lambda sources: networkit.distance.SPSP(weighted, sources.tolist()).run().getDistances()


def counted(lengths: object, sources: np.ndarray, n_units: int) -> np.ndarray:
    """Return how many units are k hops from a source other than themselves, for each k."""
    hops = np.asarray(lengths, dtype=float)[:, :n_units]
    hops[np.arange(len(sources)), sources] = np.inf
    return np.bincount((hops[hops < n_units] + 0.1).astype(int))  # networkit has a large number where no path leads


def network_rows(name: str, rounds: int, n_sources: int) -> Iterator[benchmark.Row]:
    """Time the path lengths of a network, and those of libraries from some of its units."""
    empty = NETWORKS[name]()
    graph = ng.with_weights(empty, graphs.random_weights(empty, 0.99, seed=1))
    cases = [
        benchmark.Case("between all units", lambda: ng.unit_path_length(graph)),
        benchmark.Case("from inputs to outputs", lambda: ng.input_output_path_length(graph)),
    ]
    sources = np.linspace(0, graph.n_units - 1, n_sources).astype(np.int64)
    expected = ng.unit_distance_histogram(graph, sources=sources)
    libraries = dict(searches(costs(graph)))
    for library, search in libraries.items():
        if not np.array_equal(counted(search(sources), sources, graph.n_units), expected):
            raise SystemExit(f"{name}: {library} counts other hops")
        cases.append(benchmark.Case(library, lambda search=search: search(sources), every=max(1, rounds // 2)))
    found = benchmark.measure(cases, rounds)
    for case in cases[:2]:
        target = TARGETS.get(name) if case.name == "between all units" else None
        yield benchmark.Row(f"{name} 99%: path length {case.name}", 1000 * found[case.name], "ms", target=target)
    label, ours = f"{name} 99%: path length between all units", 1000 * found["between all units"]
    for library in libraries:
        theirs = 1000 * found[library] * graph.n_units / len(sources)
        target = TIMES_FASTER if name in TARGETS else None
        yield benchmark.Row(label, ours, "ms", f"{library}, scaled from {len(sources)} sources", theirs, target)


def backend_rows(n_nodes: int, degree: int, rounds: int) -> Iterator[benchmark.Row]:
    """Time the functions of the networkx backend on a graph that is converted already, and its conversion."""
    G = nx.random_regular_graph(degree, n_nodes, seed=1)
    D = nx.gnm_random_graph(n_nodes, degree * n_nodes, seed=1, directed=True)
    calls: dict[str, tuple[nx.Graph, Callable[[object, object], object]]] = {
        "all_pairs_shortest_path_length": (G, lambda at, graph: dict(at.all_pairs_shortest_path_length(graph))),
        "average_shortest_path_length": (G, lambda at, graph: at.average_shortest_path_length(graph)),
        "diameter": (G, lambda at, graph: at.diameter(graph)),
        "single_source_shortest_path_length": (G, lambda at, graph: at.single_source_shortest_path_length(graph, 0)),
        "descendants": (D, lambda at, graph: at.descendants(graph, 0)),
        "ancestors": (D, lambda at, graph: at.ancestors(graph, 0)),
    }
    converted = {id(graph): backend.convert_from_nx(graph) for graph in (G, D)}
    cases = [benchmark.Case("conversion", lambda: backend.convert_from_nx(G))]
    for name, (graph, call) in calls.items():
        ours = converted[id(graph)]
        if call(backend, ours) != call(nx, graph):
            raise SystemExit(f"{name}: networkx has another answer")
        cases.append(benchmark.Case(name, lambda call=call, ours=ours: call(backend, ours)))
        slow = benchmark.Case(f"{name}, networkx", lambda call=call, graph=graph: call(nx, graph), every=2)
        cases.append(slow)
    found = benchmark.measure(cases, rounds)
    label = f"backend ({n_nodes}, {degree})"
    yield benchmark.Row(f"{label}: conversion from networkx", 1000 * found["conversion"], "ms")
    for name in calls:
        yield benchmark.Row(f"{label}: {name}", 1000 * found[name], "ms", "networkx", 1000 * found[f"{name}, networkx"])


def main() -> None:
    options = benchmark.arguments(__doc__.splitlines()[0], sources=("units from which libraries search", 24))
    options.rounds = options.rounds or (2 if options.quick else 9)
    rows = []
    for name in ("LeNet",) if options.quick else ("ResNet-50", "ViT-B"):
        rows += network_rows(name, options.rounds, options.sources)
    rows += backend_rows(*((64, 4) if options.quick else (1024, 8)), options.rounds)
    kernels = "none" if native.kernels is None else native.kernels.isa()
    peers = ["numpy", "scipy", "networkx", *filter(util.find_spec, ("igraph", "networkit"))]
    used = benchmark.versions(*peers) | {"kernels": kernels}
    notes = ["Every peer gave the same answer. Libraries search by Dijkstra's algorithm: wiring costs nothing."]
    benchmark.report("bench_paths", options, rows, used, notes)


if __name__ == "__main__":
    main()
