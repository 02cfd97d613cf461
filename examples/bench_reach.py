"""Accessible and co-accessible units and the consistent count of ResNet-50 and ViT-B, against one reading of memory.

    python examples/bench_reach.py [--quick] [--rounds N] [--json FILE]

One thread, 90 and 99 % of the weights removed at random. Everything is timed in one run, round by round in turn, and
every peer must give the same answer. The floor is one streaming read of the float32 weights.
"""

import benchmark  # first: it sets numpy to one thread

# isort: split

import numpy as np

import graphs
import netgraph as ng
import reach_peers as peers
from netgraph import native

LIMITS = {"ResNet-50": 0.1, "ViT-B": 0.12}
"""The most that a pass over bits may take, in readings of the float32 weights."""


NUMPY_TARGETS = {"ResNet-50": 5}
"""From float32. ViT-B is told only: its numpy pass takes 4 to 5 readings of memory, and every pass takes at least 1."""


PASSES = {
    "float32": "reach and count from float32",
    "bfloat16": "reach and count from bfloat16",
    "bool": "reach and count from bool",
    "bits": "reach and count from bits",
    "trim": "trim, from bits to bits",
}
PEERS = {
    "read": "one streaming read of the float32 weights",
    "numpy": "numpy from float32",
    "scipy": "scipy csgraph with building",
    "networkx": "networkx, graph ready",
}


class Net:
    """A network under random masks, and the ways to its answer."""

    def __init__(self, name: str, graph: ng.NetGraph, sparsity: float) -> None:
        self.name, self.label = name, f"{name} {sparsity:.0%}"
        self.weights = graphs.random_weights(graph, sparsity, seed=1)
        self.graph = ng.with_weights(graph, self.weights)
        self.halves = {name: (w.view(np.uint32) >> 16).astype(np.uint16) for name, w in self.weights.items()}
        self.bytes = {name: w != 0 for name, w in self.weights.items()}
        self.edges = peers.edges_of(graph, self.weights)
        self.digraph = peers.networkx_graph(self.edges) if self.edges.source.size < 4_000_000 else None

    def cases(self) -> list[benchmark.Case]:
        graph, case = self.graph, benchmark.Case
        cases = [
            case("read", self.read),
            case("float32", lambda: ng.sweep_weights(graph, self.weights)),
            case("bfloat16", lambda: ng.sweep_weights(graph, self.halves, dtype="bfloat16")),
            case("bool", lambda: ng.sweep_weights(graph, self.bytes)),
            case("bits", lambda: ng.sweep(graph)),
            case("trim", lambda: ng.trim(graph)),
            case("numpy", lambda: peers.by_numpy(graph, self.weights), every=4),
            case("scipy", lambda: peers.by_scipy(graph, peers.edges_of(graph, self.weights)), every=8),
        ]
        if self.digraph is not None:
            cases.append(case("networkx", lambda: peers.by_networkx(graph, self.digraph, self.edges), every=8))
        return cases

    def read(self) -> None:
        for weight in self.weights.values():
            native.kernels.stream(weight)

    def check(self) -> None:
        """Raise if any peer gives another answer."""
        found = ng.sweep(self.graph)
        ours = peers.Answer(found.accessible, found.co_accessible, int(found.consistent.sum()))
        theirs = {
            "numpy": peers.by_numpy(self.graph, self.weights),
            "scipy": peers.by_scipy(self.graph, self.edges),
        }
        if self.digraph is not None:
            theirs["networkx"] = peers.by_networkx(self.graph, self.digraph, self.edges)
        for name, answer in theirs.items():
            if not ours.equals(answer):
                raise SystemExit(f"{self.label}: {name} gives another answer")

    def rows(self, times: dict[str, float], limit: float | None) -> list[benchmark.Row]:
        """Return every pass beside its peers; `limit` is the share of a read that a pass over bits may take."""
        judged = limit is not None

        def row(ours: str, peer: str, target: float | None = None) -> benchmark.Row:
            values = (1000 * times[ours], "ms", PEERS.get(peer, peer), 1000 * times[peer])
            return benchmark.Row(f"{self.label}: {PASSES[ours]}", *values, target if judged else None)

        rows = [
            row("float32", "read", 1 / 1.3),
            row("bfloat16", "read"),
            row("bool", "read"),
            row("bits", "read", 1 / limit if limit else None),
            row("trim", "read"),
            row("bits", "numpy", 20),
            row("float32", "numpy", NUMPY_TARGETS.get(self.name)),
            row("float32", "scipy", 1),
        ]
        return [*rows, row("bits", "networkx", 100)] if "networkx" in times else rows


def change_seconds(reach: ng.IncrementalReach, name: str, batch: np.ndarray, rounds: int) -> float:
    """Return the mean time of deleting `batch` and of inserting it again."""

    def both() -> None:
        reach.delete(name, batch)
        reach.insert(name, batch)

    return benchmark.measure([benchmark.Case("both", both)], rounds)["both"] / 2


def incremental_rows(net: Net, rounds: int, sweep_seconds: float, judged: bool) -> list[benchmark.Row]:
    """Time deleting and inserting again kept elements drawn from the whole largest parameter."""
    name = max(net.weights, key=lambda n: net.weights[n].size)
    kept = np.flatnonzero(net.weights[name])
    elements = np.random.default_rng(2).choice(kept, size=min(10_000, kept.size // 10), replace=False)
    reach = ng.IncrementalReach(net.graph, mode="count")
    forms = {"random": elements, "sorted": np.sort(elements)}
    rows = []
    for form, batch in forms.items():
        seconds = change_seconds(reach, name, batch, rounds) / batch.size
        if reach.n_consistent != ng.sweep(net.graph).consistent.sum():
            raise SystemExit(f"{net.label}: counting went astray")
        target = 50 if judged and form == "random" else None
        rows.append(benchmark.Row(f"{net.label}: a counted change, {form}", seconds * 1e9, "ns", target=target))
    small = np.random.default_rng(3).choice(kept, size=min(100, kept.size // 10), replace=False)
    seconds = change_seconds(reach, name, small, 4 * rounds)
    case = f"{net.label}: {small.size} counted changes in one call"
    return [*rows, benchmark.Row(case, 1000 * seconds, "ms", "a sweep over the bits", 1000 * sweep_seconds)]


def main() -> None:
    options = benchmark.arguments(__doc__.splitlines()[0])
    if native.kernels is None:
        raise SystemExit("bench_reach measures the compiled kernels, and netgraph._native is missing")
    options.rounds = options.rounds or (2 if options.quick else 25)
    chosen = {"LeNet": graphs.lenet} if options.quick else {"ResNet-50": graphs.resnet50, "ViT-B": graphs.vit_b}
    rows: list[benchmark.Row] = []
    for name, build in chosen.items():
        for sparsity in (0.9, 0.99):
            net = Net(name, build(), sparsity)
            net.check()
            found = benchmark.measure(net.cases(), options.rounds)
            rows += net.rows(found, LIMITS.get(name))
            rows += incremental_rows(net, options.rounds, found["bits"], judged=name in LIMITS)
    used = benchmark.versions("numpy", "scipy", "networkx") | {"kernels": native.kernels.isa()}
    notes = ["All peers gave the same answer. Above 4 M edges networkx is left out: its graph takes 2 GB and more."]
    benchmark.report("bench_reach", options, rows, used, notes)


if __name__ == "__main__":
    main()
