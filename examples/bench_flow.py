"""Path counts, path norms, betweenness and cuts of LeNet-300-100, ResNet-50 and ViT-B, against other libraries.

    python examples/bench_flow.py [--quick] [--rounds N] [--json FILE]

One thread, 90 or 99 % of the weights removed at random. Ours is timed from a NetGraph, building included; libraries get
their graph ready made. Every peer must give the same answer. networkit takes part where it is installed.

Sums over paths stand beside their floor: the time to read the bits or the weights once and, for shares, to write as
many bytes, measured in the same rounds. New memory is cleared by the system, which alone takes longer than the target
for shares; that was measured into arrays at hand, and so it is judged.
"""

import benchmark  # first: it sets numpy to one thread

# isort: split

from collections.abc import Callable
from importlib import import_module, util

import networkx as nx
import numpy as np
from scipy.sparse import csr_array

import graphs
import netgraph as ng
from netgraph import flow, native

TARGETS = {
    "ViT-B 99%: path counts": 15,
    "ResNet-50 99%: sums and shares into arrays at hand": 11,
    "ResNet-50 99%: betweenness of all pairs": 1000,
}
"""Milliseconds."""


class Net:
    """A network under a random mask, and the forms in which others want it."""

    def __init__(self, name: str, sparsity: float) -> None:
        build = {"LeNet": graphs.lenet, "ResNet-50": graphs.resnet50, "ViT-B": graphs.vit_b}[name]
        graph = build()
        self.label = f"{name} {sparsity:.0%}"
        self.weights = graphs.random_weights(graph, sparsity, seed=1)
        self.graph = ng.with_weights(graph, self.weights)
        self.last = list(graph.layers)[-1]

    def edges(self) -> np.ndarray:
        """Return the weighted edges; only a network without wiring is all there in them."""
        return np.stack(self.graph.edges(), axis=1)

    def by_numpy(self, run: Callable[[], object]) -> object:
        """Run a function of ours without its kernels."""
        kernels, native.kernels = native.kernels, None
        try:
            return run()
        finally:
            native.kernels = kernels

    def sums(self, out: dict[str, np.ndarray] | None = None) -> dict[str, np.ndarray]:
        return flow.weight_shares(self.graph, self.weights, flow.path_sums(self.graph, self.weights), out=out)

    def floors(self, at_hand: dict[str, np.ndarray]) -> dict[str, Callable[[], object]]:
        """Return what takes the least time that each case could take."""
        size = sum(weight.nbytes for weight in self.weights.values())

        def read_weights() -> None:
            for weight in self.weights.values():
                native.kernels.stream(weight)

        def clear() -> None:
            for shares in at_hand.values():
                shares.fill(0)

        return {
            "path counts": lambda: native.kernels.stream(self.graph.bits),
            "path sums": read_weights,
            "sums and shares of weights": lambda: (read_weights(), np.empty(size, dtype=np.uint8).fill(0)),
            "sums and shares into arrays at hand": lambda: (read_weights(), clear()),
        }


def same(label: str, found: np.ndarray, expected: np.ndarray) -> None:
    if not np.allclose(found, expected, rtol=1e-6):
        raise SystemExit(f"{label}: a peer gives another answer")


def counted(square: csr_array, inputs: np.ndarray, n_layers: int) -> np.ndarray:
    """Return the number of paths to each unit, one product of a sparse matrix and a vector a layer."""
    step = np.zeros(square.shape[0])
    step[inputs] = 1
    total = step.copy()
    for _ in range(n_layers):
        step = square.T @ step
        total += step
    return total


def row(case: str, ours: float, peer: str | None = None, value: float | None = None) -> benchmark.Row:
    if peer is not None and value is not None:
        return benchmark.Row(case, 1000 * ours, "ms", peer, 1000 * value)
    return benchmark.Row(case, 1000 * ours, "ms", target=TARGETS.get(case))


def path_rows(net: Net, rounds: int) -> list[benchmark.Row]:
    """Path counts, sums over paths and shares of weights, beside their floor and the same without kernels."""
    at_hand = net.sums()
    ours = {
        "path counts": lambda: flow.path_counts(net.graph),
        "path sums": lambda: flow.path_sums(net.graph, net.weights),
        "sums and shares of weights": net.sums,
        "sums and shares into arrays at hand": lambda: net.sums(at_hand),
    }
    floors = {} if native.kernels is None else net.floors(at_hand)
    slow = list(ours)[:3]
    cases = [benchmark.Case(name, run) for name, run in ours.items()]
    cases += [benchmark.Case(f"floor {name}", run) for name, run in floors.items()]
    cases += [benchmark.Case(f"numpy {name}", lambda run=ours[name]: net.by_numpy(run), every=8) for name in slow]
    times = benchmark.measure(cases, rounds)
    rows = [row(f"{net.label}: {name}", times[name]) for name in ours]
    rows += [row(f"{net.label}: {name}", times[name], "floor", times[f"floor {name}"]) for name in floors]
    return rows + [row(f"{net.label}: {name}", times[name], "ours in numpy", times[f"numpy {name}"]) for name in slow]


def library_rows(net: Net, rounds: int) -> list[benchmark.Row]:
    """Counts, betweenness and flow of a network without wiring, beside scipy, igraph, networkx and networkit."""
    edges, n_units = net.edges(), net.graph.n_units
    square = csr_array((np.ones(len(edges)), tuple(edges.T)), shape=(n_units, n_units))
    whole, n_layers = flow.edge_betweenness(net.graph), len(net.graph.layers)
    counts = flow.path_counts(net.graph)
    counted_here = np.ldexp(counts.forward, counts.forward_exponents)
    same(f"{net.label}: scipy", counted(square, net.graph.inputs, n_layers), counted_here)
    digraph = nx.DiGraph(edges.tolist())
    peers = {
        "path counts": {"scipy, graph ready": lambda: counted(square, net.graph.inputs, n_layers)},
        "betweenness of all pairs": {
            "networkx, graph ready": lambda: nx.edge_betweenness_centrality(digraph, normalized=False)
        },
        "maximum flow": {},
    }
    found = nx.edge_betweenness_centrality(digraph, normalized=False)
    same(f"{net.label}: networkx", whole, np.array([found[edge] for edge in map(tuple, edges.tolist())]))
    add_igraph(peers, net, edges, whole)
    add_networkit(peers, net, edges, whole)
    ours = {
        "path counts": lambda: flow.path_counts(net.graph),
        "betweenness of all pairs": lambda: flow.edge_betweenness(net.graph),
        "maximum flow": lambda: flow.max_flow(net.graph),
    }
    cases = [benchmark.Case(name, run) for name, run in ours.items()]
    slow = {f"{peer}: {name}": run for name, some in peers.items() for peer, run in some.items()}
    cases += [benchmark.Case(name, run, every=8) for name, run in slow.items()]
    times = benchmark.measure(cases, rounds)
    return [
        row(f"{net.label}: {name}", times[name], peer, times[f"{peer}: {name}"])
        for name, some in peers.items()
        for peer in some
    ]


def add_igraph(peers: dict[str, dict[str, Callable]], net: Net, edges: np.ndarray, whole: np.ndarray) -> None:
    igraph = import_module("igraph")
    graph = igraph.Graph(n=net.graph.n_units, edges=edges, directed=True)
    same(f"{net.label}: igraph", np.array(graph.edge_betweenness()), whole)
    peers["betweenness of all pairs"]["igraph, graph ready"] = graph.edge_betweenness
    source, sink = net.graph.n_units, net.graph.n_units + 1
    joined = [(source, u) for u in net.graph.inputs.tolist()] + [(u, sink) for u in net.graph.outputs.tolist()]
    flowing = igraph.Graph(n=net.graph.n_units + 2, edges=[*edges.tolist(), *joined], directed=True)
    capacity = [1] * len(edges) + [len(edges)] * len(joined)
    if flowing.maxflow_value(source, sink, capacity) != flow.max_flow(net.graph):
        raise SystemExit(f"{net.label}: igraph finds another flow")
    peers["maximum flow"]["igraph, graph ready"] = lambda: flowing.maxflow_value(source, sink, capacity)


def add_networkit(peers: dict[str, dict[str, Callable]], net: Net, edges: np.ndarray, whole: np.ndarray) -> None:
    if util.find_spec("networkit") is None:
        return
    networkit = import_module("networkit")
    networkit.setNumberOfThreads(1)
    ends = tuple(side.astype(np.uint64) for side in edges.T)
    graph = networkit.GraphFromCoo(ends, n=net.graph.n_units, directed=True)
    graph.indexEdges()

    def run() -> list[float]:
        search = networkit.centrality.Betweenness(graph, normalized=False, computeEdgeCentrality=True)
        return search.run().edgeScores()

    if not np.isclose(sum(run()), whole.sum()):
        raise SystemExit(f"{net.label}: networkit gives another answer")
    peers["betweenness of all pairs"]["networkit, graph ready"] = run


def large_rows(net: Net, rounds: int) -> list[benchmark.Row]:
    """Betweenness and cuts of a large network, which libraries do not reach in reasonable time."""
    cases = [
        benchmark.Case("betweenness from inputs to outputs", lambda: _between(net)),
        benchmark.Case("maximum flow", lambda: flow.max_flow(net.graph), every=2),
        benchmark.Case("smallest unit cut", lambda: flow.min_unit_cut(net.graph), every=2),
        benchmark.Case("betweenness of all pairs", lambda: flow.edge_betweenness(net.graph), every=rounds),
    ]
    times = benchmark.measure(cases, rounds)
    return [row(f"{net.label}: {name}", seconds) for name, seconds in times.items()]


def _between(net: Net) -> np.ndarray:
    return flow.edge_betweenness(net.graph, sources="input", targets=net.last)


def main() -> None:
    options = benchmark.arguments(__doc__.splitlines()[0])
    options.rounds = options.rounds or (1 if options.quick else 16)
    small = Net("LeNet", 0.99 if options.quick else 0.9)
    rows = path_rows(small, options.rounds) + library_rows(small, options.rounds)
    if not options.quick:
        rows += path_rows(Net("ResNet-50", 0.9), options.rounds)
        sparse = Net("ResNet-50", 0.99)
        rows += path_rows(sparse, options.rounds) + large_rows(sparse, options.rounds)
        rows += path_rows(Net("ViT-B", 0.99), options.rounds)
    kernels = "none" if native.kernels is None else native.kernels.isa()
    peers = ["numpy", "scipy", "networkx", "igraph", *(["networkit"] if util.find_spec("networkit") else [])]
    used = benchmark.versions(*peers) | {"kernels": kernels}
    benchmark.report("bench_flow", options, rows, used, ["Every peer gave the same answer."])


if __name__ == "__main__":
    main()
