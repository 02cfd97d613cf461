"""Bad and borderline input of graphs and searches: an error that says what to do, or the right graph; never a guess."""

import math
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import networkx as nx
import numpy as np
import pytest

import netgraph as ng
from netgraph import generators as gen
from netgraph.search import shortening

ROOT = Path(__file__).parents[1]
TWO_TRIANGLES = ng.NodeGraph.from_edges(6, [(0, 1), (1, 2), (2, 0), (3, 4), (4, 5), (5, 3)])
MAKERS = {
    "random_regular": gen.random_regular,
    "circulant": lambda n, d: gen.circulant(n, degree=d),
    "best_known": gen.best_known,
    "search_cayley": gen.search_cayley,
}


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
@pytest.mark.parametrize(
    ("n", "d", "reason"),
    [
        (5, 3, "their product is odd, but each edge has two ends; make one even"),
        (7, 5, "their product is odd"),
        (7, 7, "0 <= degree < n_nodes; take more nodes"),
        (4, 9, "0 <= degree < n_nodes"),
        (10, -1, "0 <= degree < n_nodes"),
        (0, 0, "expected at least 1 node"),
    ],
)
def test_no_regular_graph_has_these_numbers(make, n, d, reason):
    with pytest.raises(ng.InfeasibleDegreeError, match=f"{n} nodes of degree {d}: .*{reason}"):
        make(n, d)


@pytest.mark.parametrize(("n", "d"), [(1, 0), (6, 0), (2, 1), (6, 1), (5, 4)])
def test_the_smallest_degrees_and_the_largest(n, d):
    for make in list(MAKERS.values())[:3]:
        assert make(n, d).degrees.tolist() == n * [d]


def test_one_node_has_no_group_to_draw_from():
    assert gen.search_cayley(1, 0) is None


def test_a_start_in_pieces_has_no_path_length():
    with pytest.raises(ng.GraphStructureError, match=r"expected a connected graph, got one in pieces.*join them first"):
        ng.shorten(TWO_TRIANGLES, steps=10)
    with pytest.raises(ng.GraphStructureError, match="in pieces"):
        ng.shorten(ng.NodeGraph.from_edges(5, []), steps=10)


def test_an_objective_can_join_the_pieces():
    """By swaps: fewer missing pairs first, then short paths."""

    def length(graph):
        return 100 * (1 - ng.reachable_fraction(graph)) + ng.average_shortest_path_length(graph)

    found = ng.rewire(TWO_TRIANGLES, length, steps=50, seed=0)

    assert ng.reachable_fraction(found.graph) == 1
    assert ng.shorten(found.graph, steps=10).diameter == 3


def test_a_bipartite_start_is_left_for_a_finite_gradient_resistance():
    start = ng.NodeGraph.from_networkx(nx.hypercube_graph(4))
    found = ng.rewire(start, ng.gradient_resistance, steps=200, seed=0)

    assert ng.gradient_resistance(start) == found.trace[0, 1] == math.inf
    assert found.value == ng.gradient_resistance(found.graph) < 8


def test_an_even_ring_stays_bipartite_or_falls_apart():
    found = ng.rewire(gen.circulant(8, degree=2), ng.gradient_resistance, steps=100, seed=0)

    assert found.value == math.inf
    assert ng.aopu(found.graph) < math.inf


@pytest.mark.parametrize(("targets", "sources"), [(10, 16), (16, 10)])
def test_a_layer_with_fewer_channels_than_nodes(targets, sources):
    with pytest.raises(ng.ChannelsBelowNodesError, match=r"10 channels for 16 nodes: .*take a smaller graph"):
        ng.relational_biadjacency(gen.circulant(16, degree=4), targets, sources)


@pytest.mark.parametrize("search", ["state.pickle", None, 3])
def test_what_is_no_search_cannot_go_on(search):
    with pytest.raises(TypeError, match="search: expected a Shortened or its state, got"):
        ng.resume(search)


def test_numbers_that_are_not_whole():
    with pytest.raises(TypeError, match=r"steps: expected a whole number, got 10\.5"):
        ng.shorten(gen.circulant(16, degree=4), steps=10.5)
    with pytest.raises(TypeError, match=r"nswap: expected a whole number, got 1\.5"):
        ng.swap_edges(gen.circulant(16, degree=4), nswap=1.5)
    assert ng.shorten(gen.circulant(16, degree=4), steps=np.int64(5)).steps == 5


def test_a_graph_of_networkx_has_to_be_converted():
    with pytest.raises(TypeError, match=r"expected a NodeGraph, got Graph; NodeGraph\.from_networkx makes one"):
        ng.shorten(nx.petersen_graph(), steps=10)


@pytest.mark.skipif(sys.platform == "win32", reason="a process there cannot be interrupted alone")
@pytest.mark.parametrize("chains", [1, 3])
def test_a_search_that_is_interrupted_from_the_keyboard_keeps_what_it_has(tmp_path, chains):
    program = f"""
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a parent may have told its children to ignore it
sys.path.insert(0, {str(ROOT)!r})
import netgraph as ng
start = ng.generators.circulant(64, degree=4)
def tell(progress):
    if progress.best < 3.2:
        print("under way", flush=True)
half = ng.shorten(start, steps=10**9, seed=0, chains={chains}, threads=1, progress=tell)
assert not half.finished and half.steps < 10**9
assert half.path_length < 3.2 and half.graph.degrees.tolist() == start.degrees.tolist()
print("kept")
"""
    command = [sys.executable, "-W", "ignore:netgraph runs on numpy alone", "-c", program]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        for number, _ in enumerate(child.stdout):
            if number == 20:  # by then all chains that fit have been started
                break
        child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=60)

    assert child.returncode == 0, err
    assert out.splitlines()[-1] == "kept"


def test_an_interrupt_while_chains_start_leaves_the_rest_as_they_are(monkeypatch):
    class Interrupted(ThreadPoolExecutor):
        started = 0

        def submit(self, *call):
            self.started += 1
            if self.started == 2:
                raise KeyboardInterrupt
            return super().submit(*call)

    start, options = gen.circulant(24, degree=4), {"steps": 5000, "chains": 3, "threads": 2, "seed": 0}
    whole = ng.shorten(start, **options)
    with monkeypatch.context() as patch:
        patch.setattr(shortening, "ThreadPoolExecutor", Interrupted)
        half = ng.shorten(start, **options)

    assert not half.finished
    assert [chain.steps for chain in half.state.chains[1:]] == [0, 0]
    assert ng.resume(half).graph == whole.graph
