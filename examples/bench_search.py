"""Mean path lengths a second, and how short graphs get in a given time, against other libraries and records.

    python examples/bench_search.py [--quick] [--rounds N] [--seconds S] [--seeds N] [--json FILE]
    python examples/bench_search.py --records --seconds 600 --seeds 1 [--json FILE]

One thread; seconds are CPU time of that thread. Every peer must give the same mean. Rows that say "quoted" compare with
figures of another program that were taken on another, faster machine.

`--records` does nothing but search, `--seconds` with each seed in chains of half a minute, for graphs of sizes of which
the best known is public. It judges the shortest of the seeds: met if it is as short as the best known. Each size is
told at once; run it under `nice`, for it takes seeds x sizes x seconds.
"""

import benchmark  # first: it sets numpy to one thread

# isort: split

import statistics
import time
from collections.abc import Iterator
from importlib.util import find_spec

import numpy as np

import netgraph as ng
import search_peers as peers
from netgraph import native
from netgraph.search import schedule, tables

SIZES = [(64, 4), (64, 8), (256, 16), (1024, 8), (1024, 11), (4096, 60)]
EVALUATIONS = {(64, 8): 2.5e6, (1024, 8): 25e3, (4096, 60): 450.0}
"""The least evaluations a second."""

PAIR_SWAPS = {(256, 16): 1.5e6, (4096, 60): 100e3}
"""The least swaps a second while pairs within two hops are counted."""

TURNS = {(1024, 8, 64): 1.5e6, (4096, 60, 64): None}
"""The least evaluations a second with a symmetry of that order."""

CHAIN_SECONDS = 30.0
"""What a chain of a long search takes: several short ones find more than one that stays where it is."""

LENGTHS = {
    (64, 4): 2.889,
    (64, 6): 2.33334,
    (64, 8): 1.958,
    (64, 12): 1.80953,
    (256, 16): 1.995,
    (1024, 8): 3.525,
    (1024, 11): 3.07,
    (1024, 32): 1.9981,
    (4096, 60): 2.12,
}
"""The mean path length to be reached in ten seconds."""

SLOW_PEER = 300_000
"""Above so many edges times nodes a peer is timed in few rounds; above hundred times as many it is left out."""


def regular_graph(n_nodes: int, degree: int) -> ng.NodeGraph:
    """Return a ring lattice whose edges are swapped until it is random."""
    hops = np.arange(1, degree // 2 + 1)
    ends = [(v, (v + hop) % n_nodes) for v in range(n_nodes) for hop in hops.tolist()]
    if degree % 2:
        ends += [(v, v + n_nodes // 2) for v in range(n_nodes // 2)]
    graph = ng.NodeGraph.from_edges(n_nodes, ends)
    for seed in range(100):
        swapped = ng.swap_edges(graph, nswap=10 * graph.n_edges, seed=seed)
        if ng.reachable_fraction(swapped) == 1:
            return swapped
    raise SystemExit(f"{n_nodes} nodes of degree {degree}: no connected graph")


def evaluation_rows(n_nodes: int, degree: int, rounds: int) -> list[benchmark.Row]:
    """Time the mean path length of one graph, by the evaluator of the search and by every peer."""
    graph = regular_graph(n_nodes, degree)
    annealer = native.kernels.Swaps(tables.table_of(graph), 0, 1)
    times = max(1, 20_000_000 // (n_nodes**2 * degree))
    work, truth = graph.n_edges * n_nodes, ng.average_shortest_path_length(graph)
    cases = [
        benchmark.Case("search", lambda: annealer.evaluate(times)),
        benchmark.Case("public", lambda: ng.average_shortest_path_length(graph)),
    ]
    for name in peers.PACKAGES:
        run = peers.mean_length_by(name, graph) if work < 100 * SLOW_PEER else None
        if run is None:
            continue
        if abs(run() - truth) > 1e-9:
            raise SystemExit(f"({n_nodes}, {degree}): {name} gives another mean path length")
        cases.append(benchmark.Case(name, run, every=1 if work < SLOW_PEER else rounds))
    found = benchmark.measure(cases, rounds)
    label, ours = f"({n_nodes}, {degree}): one mean path length", found["search"] / times
    rows = [benchmark.Row(label, 1 / ours, "/s", target=EVALUATIONS.get((n_nodes, degree)), better="high")]
    rows += [
        benchmark.Row(label, 1e6 * ours, "us", name, 1e6 * found[name]) for name in peers.PACKAGES if name in found
    ]
    rows.append(benchmark.Row(f"{label}, public function", 1e6 * found["public"], "us"))
    quoted = peers.QUOTED_EVALUATIONS[n_nodes, degree]
    return [*rows, benchmark.Row(label, 1 / ours, "/s", "mnakao/ODP MATRIX, quoted", quoted, better="high")]


def step_rows(rounds: int, quick: bool) -> list[benchmark.Row]:
    """Time the steps of the annealers at temperature 0, where nearly all moves are taken back."""
    rows = []
    for (n_nodes, degree), target in list(PAIR_SWAPS.items())[: 1 if quick else None]:
        annealer = native.kernels.TwoHops(tables.table_of(regular_graph(n_nodes, degree)), 0, 1)
        rate = steps_a_second(annealer, 200_000 if n_nodes < 1000 else 20_000, rounds)
        rows.append(
            benchmark.Row(f"({n_nodes}, {degree}): swaps, pairs counted", rate, "/s", None, None, target, "high")
        )
    for (n_nodes, degree, group), target in list(TURNS.items())[: 1 if quick else None]:
        arcs = tables.random_arcs(n_nodes, degree, group, np.random.default_rng(1))
        rate = steps_a_second(native.kernels.Lifts(arcs, group, 1), 2_000_000 // n_nodes, rounds)
        label = f"({n_nodes}, {degree}): moves with a symmetry of order {group}"
        rows.append(benchmark.Row(label, rate, "/s", None, None, target, "high"))
    return rows


def steps_a_second(annealer: tables.Annealer, steps: int, rounds: int) -> float:
    """Return the median of the rates of some runs, after one that warms up."""
    annealer.run(steps, 0.0, 0)
    seconds = benchmark.measure([benchmark.Case("run", lambda: annealer.run(steps, 0.0, 0))], rounds)["run"]
    return steps / seconds


def swap_rows(rounds: int, quick: bool) -> list[benchmark.Row]:
    """Time random swaps alone."""
    n_nodes, degree = (64, 8) if quick else (1024, 8)
    graph, count = regular_graph(n_nodes, degree), 1000 if quick else 4000
    cases = [benchmark.Case("ours", lambda: ng.swap_edges(graph, nswap=count, seed=1))]
    for name in ("networkx", "igraph"):
        run = peers.swaps_by(name, graph, count)
        if run is not None:
            cases.append(benchmark.Case(name, run))
    found = benchmark.measure(cases, rounds)
    label = f"({n_nodes}, {degree}): {count} random double edge swaps"
    others = [name for name in found if name != "ours"]
    return [benchmark.Row(label, 1e3 * found["ours"], "ms", name, 1e3 * found[name]) for name in others]


def length_rows(sizes: list[tuple[int, int]], seconds: float, seeds: int, judged: bool) -> list[benchmark.Row]:
    """Search with several seeds and return the median of the mean path lengths beside bounds and quoted figures."""
    rows = []
    for n_nodes, degree in sizes:
        graph = regular_graph(n_nodes, degree)
        found = [ng.shorten(graph, seconds=seconds, seed=seed, threads=1) for seed in range(seeds)]
        lengths = sorted(result.path_length for result in found)
        spread = f"{seeds} seeds {lengths[0]:.4f} to {lengths[-1]:.4f}, diameter {found[0].diameter}"
        label, middle = f"({n_nodes}, {degree}): mean path length, {seconds:g} s, {spread}", statistics.median(lengths)
        target = LENGTHS[n_nodes, degree] if judged else None
        rows.append(benchmark.Row(label, middle, "hops", target=target))
        rows.append(benchmark.Row(f"({n_nodes}, {degree})", middle, "hops", "lower bound", found[0].bound))
        if (n_nodes, degree) in peers.QUOTED_LENGTHS:
            quoted = peers.QUOTED_LENGTHS[n_nodes, degree]
            rows.append(benchmark.Row(f"({n_nodes}, {degree})", middle, "hops", "mnakao/ODP, quoted", quoted))
    return rows


def record_rows(seconds: float, seeds: int, quick: bool) -> Iterator[benchmark.Row]:
    """Search for long and yield the shortest mean path length of some seeds beside the best known."""
    for n_nodes, degree in list(peers.QUOTED_GAPS)[: 1 if quick else None]:
        graph = regular_graph(n_nodes, degree)
        chains = max(1, round(seconds / CHAIN_SECONDS))
        results = (ng.shorten(graph, seconds=seconds, chains=chains, seed=s, threads=1) for s in range(seeds))
        found = min(results, key=lambda result: result.path_length)
        known = found.bound * (1 + (peers.QUOTED_GAPS[n_nodes, degree] + 0.0005) / 100)  # as it was before rounding
        label = f"({n_nodes}, {degree}): best of {seeds} seeds, {seconds:g} s each, diameter {found.diameter}"
        row = benchmark.Row(label, found.path_length, "hops", "best known, quoted", known, None if quick else 1.0)
        print(f"{row.case}: {row.ours:.5f} hops, best known {known:.5f}", flush=True)
        yield row


def main() -> None:
    options = benchmark.arguments(
        __doc__.splitlines()[0],
        records=("search for sizes of which the best known graph is published, and nothing else", False),
        seconds=("CPU seconds of each search", 10.0),
        seeds=("seeds of each search", 5),
    )
    if native.kernels is None:
        raise SystemExit("bench_search measures the compiled kernels, and netgraph._native is missing")
    schedule.clock = time.thread_time  # seconds that other programs take do not count
    options.rounds = options.rounds or (2 if options.quick else 7)
    used = benchmark.versions("numpy", *filter(find_spec, peers.PACKAGES)) | {"kernels": native.kernels.isa()}
    if options.records:
        rows = list(record_rows(0.1 if options.quick else options.seconds, options.seeds, options.quick))
        benchmark.report("bench_search", options, rows, used, ["Best known: Graph Golf 2016."])
        return
    sizes = SIZES[:2] if options.quick else SIZES
    rows = [row for n_nodes, degree in sizes for row in evaluation_rows(n_nodes, degree, options.rounds)]
    rows += step_rows(options.rounds, options.quick) + swap_rows(options.rounds, options.quick)
    if options.quick:
        rows += length_rows([(64, 4), (64, 8)], 0.1, 2, judged=False)
    else:
        rows += length_rows(list(LENGTHS), options.seconds, options.seeds, judged=options.seconds >= 10)
    notes = ["Targets were set on a Zen 5 core at 3.85 GHz. Peers get a graph that is built; ours is the search's own."]
    benchmark.report("bench_search", options, rows, used, notes)


if __name__ == "__main__":
    main()
