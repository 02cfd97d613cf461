"""netgraph.search: what every search keeps, what it reaches, and what it refuses."""

from pathlib import Path

import networkx as nx
import numpy as np
import pytest
from numpy.testing import assert_array_equal

import netgraph as ng
from netgraph import native
from netgraph.search import algebraic
from search_graphs import SEARCHES, irregular, needs_kernels, regular

ROOT = Path(__file__).parents[1]


def mean_length(graph):
    return nx.average_shortest_path_length(graph.to_networkx())


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


def test_what_was_given_is_kept_if_nothing_shorter_is_found():
    graph = algebraic.algebraic_seed(64, 8, np.random.default_rng(0))

    assert ng.shorten(graph, steps=20, method="symmetric", seed=0).graph == graph
