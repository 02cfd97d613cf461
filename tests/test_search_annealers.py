"""The annealers of the search: every instruction set makes the steps of the Python version."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import netgraph as ng
from netgraph import native
from netgraph.search import plan, reference, schedule, tables
from search_graphs import irregular, needs_kernels, regular


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
