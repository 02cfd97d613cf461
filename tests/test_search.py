"""netgraph.search: results that are known, invariants of every search, interrupts, and the kernels against Python."""

import pickle
import threading
from dataclasses import replace
from pathlib import Path

import networkx as nx
import numpy as np
import pytest
from numpy.testing import assert_array_equal

import netgraph as ng
from netgraph import native
from netgraph.search import algebraic, cayley_starts, plan, reference, schedule, score, tables

ROOT = Path(__file__).parents[1]
needs_kernels = pytest.mark.skipif(native.kernels is None, reason="the compiled kernels are missing")


def regular(n, d, seed=0):
    return ng.NodeGraph.from_networkx(nx.random_regular_graph(d, n, seed=seed))


def irregular(n, seed=0):
    return ng.NodeGraph.from_networkx(nx.connected_watts_strogatz_graph(n, 4, 0.5, seed=seed))


def mean_length(graph):
    return nx.average_shortest_path_length(graph.to_networkx())


# The annealers: every instruction set makes the steps of the Python version


def state_of(annealer, cells):
    now, best = np.empty_like(cells), np.empty_like(cells)
    annealer.cells(now)
    annealer.best_cells(best)
    numbers = (annealer.energy, annealer.best, annealer.accepted, annealer.at_best, annealer.random)
    return now, best, numbers


def assert_same_walk(native_one, python_one, cells, hot):
    assert native_one.energy == python_one.energy == native_one.evaluate(2) == python_one.evaluate(1)
    assert native_one.rise(15) == python_one.rise(15)
    for temperature in (hot, hot / 8, hot / 64, 0.0):
        assert native_one.run(20, temperature, 0) == python_one.run(20, temperature, 0)
        for a, b in zip(state_of(native_one, cells), state_of(python_one, cells), strict=True):
            assert_array_equal(a, b)


SIZES = [(10, 3), (64, 5), (65, 4), (256, 6), (300, 3), (513, 4), (1030, 3)]
WALKS = [("Swaps", 0, n, d) for n, d in SIZES] + [("TwoHops", cycles, n, d) for n, d in SIZES[:5] for cycles in (0, 1)]


@pytest.mark.parametrize(("kind", "option", "n", "d"), WALKS)
def test_kernels_walk_as_python_does(kernels, kind, option, n, d):
    cells = tables.table_of(regular(n, d, seed=n))
    pair = (getattr(module, kind)(cells, option, 77) for module in (kernels, reference))

    assert_same_walk(*pair, cells, hot=50.0)


@pytest.mark.parametrize("kind", ["Swaps", "TwoHops"])
def test_kernels_walk_as_python_does_where_degrees_differ(kernels, kind):
    cells = tables.table_of(irregular(90))
    pair = (getattr(module, kind)(cells, 0, 5) for module in (kernels, reference))

    assert_same_walk(*pair, cells, hot=50.0)


@pytest.mark.parametrize(
    ("n", "d", "group"),
    [
        (24, 3, 4),
        (48, 5, 8),
        (64, 8, 4),
        (64, 8, 8),
        (48, 4, 16),
        (256, 5, 16),
        (320, 3, 32),
        (256, 4, 64),
        (1600, 4, 64),
    ],
)
def test_kernels_walk_as_python_does_with_a_symmetry(kernels, n, d, group):
    arcs = tables.random_arcs(n, d, group, np.random.default_rng(3))
    pair = (module.Lifts(arcs, group, 5) for module in (kernels, reference))

    assert_same_walk(*pair, arcs, hot=500.0)


@pytest.mark.parametrize(
    ("n", "d"), [(24, 3), (64, 8), (65, 4), (130, 5), (253, 8), (256, 6), (506, 4), (1024, 11), (1020, 3)]
)
@pytest.mark.parametrize("seed", range(3))
def test_kernels_walk_as_python_does_over_cayley_graphs(kernels, n, d, seed):
    stages = (plan.Stage("Cayley", "random"),)
    start = schedule.ChainState(seed, regular(n, d), (0, 0, 0))
    cells = schedule._start(stages[0], start, np.random.default_rng(seed))
    pair = (module.Cayley(cells, 0, 5) for module in (kernels, reference))

    assert_same_walk(*pair, cells, hot=20.0)


@pytest.mark.parametrize("sizes", [(7, 3), (64, 16), (128, 2), (130, 1), (1, 90), (46, 11)])
def test_cayley_graphs_look_the_same_from_every_node(kernels, sizes):
    s, t = sizes
    power = max((r for r in range(1, max(2, s)) if pow(r, t, s) == 1 % s), default=1)
    drawn = cayley_starts._draw(sizes, power, 4, np.random.default_rng(0))
    cells = np.array([[s, t, power, *(a * t + b for a, b in drawn)]], dtype=np.uint32)
    annealer = kernels.Cayley(cells, 0, 3)
    annealer.run(300, 5.0, 0)
    annealer.cells(cells)
    graph = cayley_starts.graph_of_generators(cells)

    assert graph.degrees.tolist() == s * t * [4]
    if annealer.energy < 2**62:
        assert_array_equal(ng.shortest_path_lengths(graph).sum(axis=1), annealer.energy)


@pytest.mark.parametrize(("n", "d"), [(128, 3), (253, 8), (512, 8), (66, 5), (20, 4)])
def test_random_generators_are_those_of_a_group_of_that_order_or_a_little_less(n, d):
    orders = set()
    for seed in range(30):
        cells = cayley_starts.random_generators(n, d, np.random.default_rng(seed))
        graph = cayley_starts.graph_of_generators(cells)
        orders.add(graph.n_nodes)
        larger = cayley_starts.grown(graph, n, np.random.default_rng(seed))

        assert cells.shape == (1, 3 + d)
        assert graph.degrees.tolist() == graph.n_nodes * [d]
        assert larger.degrees.tolist() == n * [d]

    assert n in orders
    assert min(orders) >= n - n // 32


def test_kernels_swap_as_python_does(kernels):
    cells = tables.table_of(irregular(50))
    ours, theirs = cells.copy(), cells.copy()

    assert kernels.swap_edges(ours, 40, 60, 9) == reference.swap_edges(theirs, 40, 60, 9)
    assert_array_equal(ours, theirs)


@pytest.mark.parametrize(("n", "d"), [(40, 3), (100, 4), (300, 5), (1200, 3)])
def test_energies_are_what_matrices_count(kernels, n, d):
    graph = regular(n, d)
    cells, lengths = tables.table_of(graph), ng.shortest_path_lengths(graph)
    joined = graph.adjacency().astype(np.float32)
    common = np.triu(joined @ joined, 1).astype(int)
    cycles = int((common * (common - 1)).sum()) // 4

    assert kernels.Swaps(cells, 0, 1).energy == lengths.sum()
    assert kernels.TwoHops(cells, 0, 1).energy == (lengths > 2).sum() // 2
    assert kernels.TwoHops(cells, 1, 1).energy == cycles == ng.spectrum.four_cycles(graph)


def test_the_counts_of_pairs_stay_true_over_many_swaps(kernels):
    cells = tables.table_of(regular(60, 7))
    annealer = kernels.TwoHops(cells, 0, 3)
    annealer.run(20_000, 30.0, 0)
    annealer.cells(cells)

    assert annealer.energy == kernels.TwoHops(cells, 0, 0).energy
    assert tables.graph_of_table(cells).is_regular


def test_a_graph_with_a_symmetry_keeps_it(kernels):
    arcs = tables.random_arcs(192, 5, 32, np.random.default_rng(0))
    annealer = kernels.Lifts(arcs, 32, 3)
    annealer.run(20_000, 200.0, 0)
    annealer.cells(arcs)
    graph = tables.graph_of_arcs(arcs, 32)
    turned = np.arange(192) // 32 * 32 + (np.arange(192) % 32 + 1) % 32

    assert graph.is_regular
    assert graph == ng.NodeGraph.from_edges(192, turned[graph.edges()])
    assert annealer.energy * 32 == round(ng.average_shortest_path_length(graph) * 192 * 191)


def cayley(module, *cells):
    return module.Cayley(np.array([cells], dtype=np.uint32), 0, 1)


@needs_kernels
@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda k: k.Swaps(np.full((3, 2), 3, np.uint16), 0, 1), "cells: a neighbour is no node"),
        (lambda k: k.TwoHops(np.zeros((200, 128), np.uint16), 0, 1), "expected a degree of at most 127"),
        (lambda k: k.Lifts(np.zeros((2, 2), np.uint32), 12, 1), "group: expected 4, 8, 16, 32 or 64"),
        (lambda k: k.Lifts(np.full((2, 2), 2 << 8, np.uint32), 16, 1), "an arc leads to no node"),
        (lambda k: k.Lifts(np.full((2, 2), 1 << 8 | 3, np.uint32), 16, 1), "arcs: one has no reverse"),
        (lambda k: cayley(k, 0, 3, 1, 1, 2), "expected 1 to 65536 nodes"),
        (lambda k: cayley(k, 70000, 1, 1, 1, 69999), "expected 1 to 65536 nodes"),
        (lambda k: k.Cayley(np.ones((1, 2), np.uint32), 0, 1), "expected 1 to 65536 nodes"),
        (lambda k: cayley(k, 7, 3, 3, 3, 1), r"expected r\^t = 1 modulo s"),
        (lambda k: cayley(k, 7, 1, 1, 1, 5), "expected generators, each with its inverse"),
        (lambda k: cayley(k, 7, 1, 1, 1), "expected generators, each with its inverse"),
        (lambda k: cayley(k, 7, 1, 1, 0, 0), "expected generators, each with its inverse"),
        (lambda k: cayley(k, 7, 1, 1, 8, 6), "expected generators, each with its inverse"),
        (
            lambda k: k.Swaps(np.zeros((3, 2), np.uint16), 0, 1).cells(np.zeros((2, 2), np.uint16)),
            "out: expected the shape",
        ),
    ],
)
def test_cells_are_checked(call, message):
    with pytest.raises(ValueError, match=message):
        call(native.kernels)


# Starts


@pytest.mark.parametrize(("n", "d", "length"), [(64, 8, 1.968254), (256, 16, 1.992157), (1024, 32, 1.998045)])
def test_affine_polarity_graphs(n, d, length):
    graph = algebraic.algebraic_seed(n, d, np.random.default_rng(0))

    assert (graph.n_nodes, graph.is_regular, graph.degrees[0]) == (n, True, d)
    assert ng.average_shortest_path_length(graph) == pytest.approx(length, abs=5e-7)


@pytest.mark.parametrize(("n", "d", "length"), [(256, 12, 2.43), (256, 10, 2.62), (1024, 24, 2.44)])
def test_affine_polarity_graphs_of_fewer_classes(n, d, length):
    graph = algebraic.algebraic_seed(n, d, np.random.default_rng(0))

    assert graph.is_regular
    assert ng.average_shortest_path_length(graph) < length


@pytest.mark.parametrize(
    ("n", "d", "method", "kinds"),
    [
        (64, 4, "auto", ["Lifts", "Swaps"]),
        (64, 8, "auto", ["Lifts", "TwoHops", "TwoHops"]),
        (256, 16, "auto", ["TwoHops", "TwoHops"]),
        (512, 5, "auto", ["Cayley", "Lifts", "Swaps"]),
        (256, 8, "auto", ["Cayley", "Lifts", "Swaps"]),
        (130, 3, "auto", ["Cayley", "Swaps"]),
        (130, 8, "auto", ["TwoHops", "Swaps"]),
        (130, 3, "cayley", ["Cayley", "Swaps"]),
        (30, 3, "auto", ["Swaps"]),
        (70, 8, "auto", ["TwoHops", "Swaps"]),
        (64, 40, "auto", ["TwoHops", "Swaps", "TwoHops"]),
        (256, 5, "swaps", ["Swaps"]),
    ],
)
def test_the_search_suits_the_graph(n, d, method, kinds):
    stages = plan.stages_of(regular(n, d), method=method, objective="path_length", group=None)

    assert [stage.kind for stage in stages] == kinds


# What every search keeps


SEARCHES = [
    (regular(30, 3), "swaps"),
    (regular(64, 6), "pairs"),
    (regular(96, 4), "symmetric"),
    (regular(64, 8), "algebraic"),
    (regular(66, 5), "cayley"),
    (irregular(40), "swaps"),
    (irregular(40), "auto"),
]


@pytest.mark.parametrize(("graph", "method"), SEARCHES)
def test_degrees_stay_and_paths_never_grow(graph, method):
    found = ng.shorten(graph, steps=400, method=method, seed=1)

    assert sorted(found.graph.degrees) == sorted(graph.degrees)
    assert found.path_length <= ng.average_shortest_path_length(graph)
    assert found.path_length == pytest.approx(mean_length(found.graph), abs=1e-12)
    assert found.diameter == nx.diameter(found.graph.to_networkx())
    assert found.bound <= found.path_length
    assert found.finished


@pytest.mark.parametrize(("graph", "method"), SEARCHES)
def test_the_same_seed_gives_the_same_result(graph, method):
    first, second, other = (ng.shorten(graph, steps=400, method=method, seed=seed) for seed in (1, 1, 2))

    assert first.graph == second.graph
    assert_array_equal(first.trace, second.trace)
    assert first.accepted == second.accepted
    assert first.graph != other.graph or method == "algebraic"


@needs_kernels
@pytest.mark.parametrize(("graph", "method"), SEARCHES[:5])
def test_without_kernels_the_result_is_the_same(graph, method, monkeypatch):
    compiled = ng.shorten(graph, steps=300, method=method, seed=4)
    monkeypatch.setattr(native, "kernels", None)

    assert ng.shorten(graph, steps=300, method=method, seed=4).graph == compiled.graph


def test_chains_give_the_same_result_in_any_number_of_threads():
    graph = regular(40, 4)
    results = [ng.shorten(graph, steps=500, chains=3, threads=threads, seed=3) for threads in (1, 2, 3)]

    assert len({result.graph for result in results}) == 1
    assert results[0].steps == 1500
    assert results[0].path_length <= ng.shorten(graph, steps=500, seed=3).path_length


@pytest.mark.parametrize("backend", ["threading", "sequential", "loky", "dask"])
def test_chains_give_the_same_result_through_joblib(backend, monkeypatch):
    joblib = pytest.importorskip("joblib")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))  # for the processes of loky
    graph = regular(40, 4)
    threads = ng.shorten(graph, steps=300, chains=3, threads=2, seed=3)
    if backend == "dask":
        distributed = pytest.importorskip("distributed")
        with distributed.Client(n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None):
            found = ng.shorten(graph, steps=300, chains=3, threads=2, seed=3, backend=backend)
    else:
        found = ng.shorten(graph, steps=300, chains=3, threads=2, seed=3, backend=backend)
    if backend == "loky":
        joblib.externals.loky.get_reusable_executor().shutdown(wait=True)

    assert found.graph == threads.graph
    assert (found.steps, found.accepted, found.finished) == (900, threads.accepted, True)
    assert_array_equal(found.trace, threads.trace)


def interrupt_at(block):
    """Return a progress callback that presses Ctrl-C at a block."""
    seen = []

    def report(progress):
        seen.append(progress)
        if len(seen) == block:
            raise KeyboardInterrupt

    return report


@pytest.mark.parametrize(("graph", "method"), SEARCHES)
@pytest.mark.parametrize("block", [1, 7, 20])
def test_an_interrupted_search_goes_on_to_the_same_end(graph, method, block):
    whole = ng.shorten(graph, steps=400, method=method, seed=1)
    half = ng.shorten(graph, steps=400, method=method, seed=1, progress=interrupt_at(block))
    ended = ng.resume(pickle.loads(pickle.dumps(half.state)))

    assert ended.graph == whole.graph
    assert (ended.steps, ended.accepted, ended.finished) == (whole.steps, whole.accepted, True)
    assert_array_equal(ended.trace, whole.trace)


def test_an_interrupt_keeps_the_best():
    graph = regular(60, 4)
    half = ng.shorten(graph, steps=40_000, seed=1, progress=interrupt_at(1990))
    again = ng.resume(half, progress=interrupt_at(1))

    assert not half.finished
    assert half.path_length == pytest.approx(half.trace[-1, 1], abs=1e-12)
    assert half.path_length < ng.average_shortest_path_length(graph)
    assert again.path_length <= half.path_length


def test_other_errors_of_a_callback_come_out():
    def fail(progress):
        raise RuntimeError("no screen")

    with pytest.raises(RuntimeError, match="no screen"):
        ng.shorten(regular(30, 3), steps=100, progress=fail)


def test_progress_tells_where_the_search_is():
    seen = []
    found = ng.shorten(regular(30, 3), steps=400, seed=1, progress=seen.append)
    shares = [p.share for p in seen]

    assert shares == sorted(shares)
    assert (shares[-1], seen[-1].steps, seen[-1].bound) == (1, 400, found.bound)
    assert seen[-1].best == pytest.approx(found.path_length, abs=1e-12)
    assert all(p.best <= p.current for p in seen)


def test_seconds_end_in_time():
    found = ng.shorten(regular(60, 4), seconds=0.2, seed=1)

    assert found.steps > 0
    assert 0.15 < found.state.chains[0].used < 2


# What can be reached


def test_the_petersen_graph_is_found():
    found = ng.shorten(ng.NodeGraph.from_networkx(nx.circulant_graph(10, [1, 5])), steps=3000, seed=0)

    assert nx.is_isomorphic(found.graph.to_networkx(), nx.petersen_graph())
    assert found.gap == 0


@needs_kernels
@pytest.mark.parametrize(
    ("n", "d", "steps", "length"),
    [(64, 6, 400_000, 2.3334), (64, 12, 200_000, 1.8096), (256, 4, 100_000, 4.16), (253, 8, 100_000, 2.74)],
)
def test_short_graphs_are_found(n, d, steps, length):
    found = ng.shorten(regular(n, d), steps=steps, seed=1)

    assert found.path_length < length


@needs_kernels
def test_four_cycles_fall_once_paths_cannot():
    graph = regular(64, 16)
    plain = ng.shorten(graph, steps=20_000, seed=1)
    more = ng.shorten(graph, steps=100_000, seed=1)

    assert plain.diameter == more.diameter == 2
    assert more.gap == pytest.approx(0)
    assert more.four_cycles < plain.four_cycles < ng.spectrum.four_cycles(graph)


def test_four_cycles_alone():
    graph = regular(30, 6)
    found = ng.shorten(graph, steps=2000, objective="four_cycles", seed=1)

    assert found.four_cycles < ng.spectrum.four_cycles(graph)
    assert found.path_length <= ng.average_shortest_path_length(graph)


def test_complete_graphs_are_done_at_once():
    graph = ng.NodeGraph.from_networkx(nx.complete_graph(6))
    found = ng.shorten(graph, steps=100)

    assert found.graph == graph
    assert (found.gap, found.finished) == (0, True)


@pytest.mark.parametrize("G", [nx.star_graph(5), nx.path_graph(2), nx.path_graph(3)])
def test_graphs_without_a_swap_stay_as_they_are(G):
    graph = ng.NodeGraph.from_networkx(G)

    assert ng.shorten(graph, steps=50).graph == graph


@pytest.mark.parametrize(
    ("graph", "options", "error", "message"),
    [
        (regular(20, 3), {}, ValueError, "expected one of them"),
        (regular(20, 3), {"steps": 5, "seconds": 1}, ValueError, "expected one of them"),
        (regular(20, 3), {"steps": 0}, ValueError, "expected more than 0, got 0"),
        (regular(20, 3), {"seconds": -1}, ValueError, "expected more than 0, got -1"),
        (regular(20, 3), {"steps": 5, "method": "magic"}, ValueError, "method: expected one of auto, .*got 'magic'"),
        (regular(20, 3), {"steps": 5, "objective": "luck"}, ValueError, "objective: expected one of .*got 'luck'"),
        (regular(20, 3), {"steps": 5, "chains": 0}, ValueError, "chains and threads: expected at least 1, got 0"),
        (regular(20, 3), {"steps": 5, "symmetry": 16}, ValueError, "symmetry 16: expected .* got NodeGraph: 20 nodes"),
        (regular(20, 3), {"steps": 5, "method": "symmetric"}, ValueError, "symmetry None: expected a regular graph"),
        (regular(20, 3), {"steps": 5, "method": "algebraic"}, ValueError, r"expected a regular graph of q\^2 nodes"),
        (
            regular(20, 6),
            {"steps": 5, "method": "cayley"},
            ValueError,
            "method 'cayley': expected a regular graph .* 4 or",
        ),
        (irregular(64), {"steps": 5, "method": "cayley"}, ValueError, "method 'cayley': expected a regular graph of"),
        (irregular(64), {"steps": 5, "symmetry": 16}, ValueError, "symmetry 16: expected a regular graph"),
        (
            ng.NodeGraph.from_edges(4, [(0, 1), (2, 3)]),
            {"steps": 5},
            ng.GraphStructureError,
            "expected a connected graph, got one in pieces",
        ),
        (ng.NodeGraph.from_edges(1, []), {"steps": 5}, ng.InfeasibleDegreeError, "at least 2 nodes, got 1"),
        (
            ng.NodeGraph.from_networkx(nx.star_graph(200)),
            {"steps": 5, "method": "pairs"},
            ValueError,
            "method 'pairs': expected at most 16384 nodes and degree 127",
        ),
        (
            ng.NodeGraph.from_networkx(nx.star_graph(200)),
            {"steps": 5, "objective": "four_cycles"},
            ValueError,
            "objective 'four_cycles': expected at most 16384 nodes",
        ),
    ],
)
def test_bad_arguments(graph, options, error, message):
    with pytest.raises(error, match=message):
        ng.shorten(graph, **options)


# Swaps alone, and other objectives


@pytest.mark.parametrize("seed", range(5))
def test_swaps_keep_degrees(seed):
    graph = irregular(50, seed)
    swapped = ng.swap_edges(graph, nswap=40, seed=seed)

    assert_array_equal(swapped.degrees, graph.degrees)
    assert swapped != graph
    assert swapped == ng.swap_edges(graph, nswap=40, seed=seed)


def test_one_swap_changes_four_ends():
    graph = regular(20, 3)
    before, after = (set(map(tuple, g.edges().tolist())) for g in (graph, ng.swap_edges(graph, nswap=1, seed=0)))

    assert len(before - after) == len(after - before) == 2


def test_no_swap_leaves_the_graph():
    graph = regular(20, 3)

    assert ng.swap_edges(graph, nswap=0) == graph


@pytest.mark.parametrize("G", [nx.complete_graph(5), nx.star_graph(4), nx.empty_graph(3)])
def test_swaps_give_up_with_their_counts(G):
    with pytest.raises(ng.SearchLimitError, match="made 0 of 3 in 50 tries"):
        ng.swap_edges(ng.NodeGraph.from_networkx(G), nswap=3, max_tries=50, seed=0)


def test_swaps_must_not_be_negative():
    with pytest.raises(ValueError, match="nswap: expected at least 0, got -1"):
        ng.swap_edges(regular(20, 3), nswap=-1)


def network(seed, taps=1, groups=1):
    """A connection of 12 targets and 8 sources a group, about half of its taps kept."""
    index = ng.ElementIndex(0, (12 // groups * 8 * taps, 8 * taps, taps, 1))
    c = ng.Connection("w", "x", "y", 12, 8, taps, groups, index)
    graph = ng.NetGraph(
        {"x": 8 * groups, "y": 12}, [c], np.zeros(c.n_words), range(8 * groups), range(8 * groups, 8 * groups + 12)
    )
    return graph.with_masks({"w": np.random.default_rng(seed).random(c.size) < 0.4 / taps})


@pytest.mark.parametrize(("taps", "groups"), [(1, 1), (3, 1), (1, 3), (9, 2)])
@pytest.mark.parametrize("seed", range(4))
def test_swaps_in_a_connection_keep_both_degrees(seed, taps, groups):
    graph = network(seed, taps, groups)
    swapped = ng.swap_connection_edges(graph, "w", nswap=10, seed=seed)
    before, after = (ng.to_biadjacency(g, "x", "y") for g in (graph, swapped))

    assert not np.array_equal(before, after)
    assert_array_equal(before.sum(axis=0), after.sum(axis=0))
    assert_array_equal(before.sum(axis=1), after.sum(axis=1))
    assert graph.masks()["w"].sum() == swapped.masks()["w"].sum()


def test_swaps_in_a_connection_give_up_with_their_counts():
    full = ng.from_biadjacency([np.ones((3, 3))])

    with pytest.raises(ng.SearchLimitError, match="made 0 of 1 in 100 tries"):
        ng.swap_connection_edges(full, "weight1", nswap=1)
    with pytest.raises(ng.SearchLimitError, match="made 0 of 1"):
        ng.swap_connection_edges(ng.from_biadjacency([np.zeros((3, 3))]), "weight1", nswap=1)
    with pytest.raises(KeyError, match="parameter 'weight9': no connection uses it"):
        ng.swap_connection_edges(full, "weight9", nswap=1)


def test_swaps_in_a_shared_parameter_are_refused():
    connections = [ng.Connection("w", a, b, 2, 2, index=ng.ElementIndex(0, (4, 2, 1, 1))) for a, b in ("xh", "hy")]
    graph = ng.NetGraph({"x": 2, "h": 2, "y": 2}, connections, np.full(2, 0b1001), [0, 1], [4, 5])

    with pytest.raises(ValueError, match="parameter 'w': expected one use, got 2"):
        ng.swap_connection_edges(graph, "w", nswap=1)


def test_any_objective_can_be_rewired_for():
    def clustering(graph):
        return -nx.average_clustering(graph.to_networkx())

    graph = regular(20, 4)
    found = ng.rewire(graph, clustering, steps=300, seed=0)

    assert found.value == clustering(found.graph) < clustering(graph)
    assert_array_equal(found.graph.degrees, graph.degrees)
    assert (np.diff(found.trace[:, 1]) < 0).all()
    assert (found.steps, found.graph) == (300, ng.rewire(graph, clustering, steps=300, seed=0).graph)


def test_rewiring_for_path_length_takes_the_steps_of_the_annealer():
    graph = regular(24, 3)
    random = int(np.random.default_rng(5).integers(1 << 63))
    annealer = reference.Swaps(tables.table_of(graph), 0, random)
    annealer.run(150, 0.0, 0)

    def length(candidate):
        return ng.average_shortest_path_length(candidate) if ng.reachable_fraction(candidate) == 1 else np.nan

    assert ng.rewire(graph, length, steps=150, seed=5).value * 24 * 23 == pytest.approx(annealer.best)


def test_an_interrupted_rewiring_keeps_the_best():
    calls = []

    def objective(graph):
        calls.append(graph)
        if len(calls) == 20:
            raise KeyboardInterrupt
        return ng.average_shortest_path_length(graph)

    found = ng.rewire(regular(30, 3), objective, steps=1000, seed=1)

    assert found.value == min(map(ng.average_shortest_path_length, calls[:-1]))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": -1}, "expected at least 0"),
        ({"steps": 1, "hot": 1.0}, "expected both 0, or hot >= cold > 0, got 1.0 and 0.0"),
        ({"steps": 1, "hot": 1.0, "cold": 2.0}, "expected both 0"),
    ],
)
def test_bad_arguments_of_rewire(options, message):
    with pytest.raises(ValueError, match=message):
        ng.rewire(regular(20, 3), ng.average_shortest_path_length, **options)


def test_a_resumed_chain_leaves_the_first_result_alone():
    half = ng.shorten(regular(40, 4), steps=800, seed=1, progress=interrupt_at(5))
    before = pickle.dumps(replace(half.state.chains[0], used=0.0))
    ng.resume(half)

    assert pickle.dumps(replace(half.state.chains[0], used=0.0)) == before


def test_a_chain_that_has_left_its_best_graph_keeps_it_over_a_stop():
    graph = ng.shorten(regular(40, 4), steps=3000, seed=1).graph
    stages = (plan.Stage("Swaps", hot=300.0, cold=200.0),)
    start = schedule.ChainState(1, graph, score.score_of(graph))
    whole, stop = schedule.run_chain(stages, start, schedule.Budget(400)), threading.Event()
    stop.set()
    half = schedule.run_chain(stages, start, schedule.Budget(400), stop=stop)
    while half.steps < 400:
        half = schedule.run_chain(stages, half, schedule.Budget(400), stop=stop)
    schedule.weigh(stages[0], half)

    assert whole.best == half.best == graph
    assert tables.graph_of_table(half.annealing.best_cells) == graph
    assert (whole.steps, whole.accepted) == (half.steps, half.accepted)


def test_what_was_given_is_kept_if_nothing_shorter_is_found():
    graph = algebraic.algebraic_seed(64, 8, np.random.default_rng(0))

    assert ng.shorten(graph, steps=20, method="symmetric", seed=0).graph == graph


@pytest.mark.parametrize("unwanted", [np.nan, np.inf])
def test_graphs_that_an_objective_does_not_want_are_left(unwanted):
    graph = regular(20, 3)
    found = ng.rewire(graph, lambda other: 1.0 if other == graph else unwanted, steps=50, hot=1.0, cold=0.5, seed=0)

    assert (found.graph, found.accepted) == (graph, 0)
