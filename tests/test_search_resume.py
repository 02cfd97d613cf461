"""Searches that are watched, interrupted and resumed: the same end as without the break, the best kept."""

import pickle
import threading
from dataclasses import replace

import pytest
from numpy.testing import assert_array_equal

import netgraph as ng
from netgraph.search import plan, schedule, score, tables
from search_graphs import SEARCHES, interrupt_at, regular


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
