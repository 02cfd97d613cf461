"""Path length against accuracy: its graphs, its file of results, which a killed run leaves whole, and its numbers."""

import os
import sqlite3
import subprocess
import sys
from functools import partial
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

import netgraph as ng

FOLDER = Path(__file__).parents[1] / "examples"


@pytest.fixture
def grid(monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    return import_module("path_length_grid")


@pytest.fixture
def rank(monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    return import_module("rank_correlation")


@pytest.fixture
def graphs():
    return [ng.generators.circulant(12, degree=4), ng.generators.random_regular(12, 4, seed=0)]


def test_graphs_go_from_the_circulant_to_the_shortest(grid):
    found = grid.graphs_of_all_lengths(32, 4, 6, steps=3000)
    lengths = [ng.average_shortest_path_length(graph) for graph in found]

    assert found[0] == ng.generators.circulant(32, degree=4)
    assert found == grid.graphs_of_all_lengths(32, 4, 6, steps=3000)
    assert len(lengths) == 6
    assert lengths == sorted(set(lengths), reverse=True)
    assert lengths[-1] < 1.05 * ng.aspl_lower_bound(32, 4)
    assert all((graph.degrees == 4).all() for graph in found)


def trained(grid, graph, seed):
    return grid.Trained(seed / 10 + graph.n_edges / 1000, graph.n_edges, 0.5, 0.25)


def test_every_graph_meets_every_seed_and_comes_back(grid, graphs, tmp_path):
    store = grid.Store(tmp_path / "r.sqlite")
    results = grid.run_grid(store, {"a": 1}, partial(trained, grid), graphs, range(3))
    expected = {(grid.name_of(g), s): trained(grid, g, s) for g in graphs for s in range(3)}

    assert {(r.graph, r.seed): r.trained for r in results} == expected
    assert grid.Store(tmp_path / "r.sqlite").results('{"a": 1}') == results


def test_runs_side_by_side_give_the_same(grid, graphs, tmp_path):
    one, other = (grid.Store(tmp_path / name) for name in ("one", "other"))
    train = partial(trained, grid)
    expected = grid.run_grid(one, {}, train, graphs, range(3))
    found = grid.run_grid(other, {}, train, graphs, range(3), jobs=2, backend="threading")

    assert found == expected


def test_a_stopped_grid_trains_only_what_is_missing(grid, graphs, tmp_path):
    store, seen = grid.Store(tmp_path / "r.sqlite"), []

    def train(graph, seed):
        if len(seen) == 3:
            raise KeyboardInterrupt
        seen.append((grid.name_of(graph), seed))
        return trained(grid, graph, seed)

    with pytest.raises(KeyboardInterrupt):
        grid.run_grid(store, {}, train, graphs, range(3))
    first = list(seen)
    seen.clear()
    progress = []
    results = grid.run_grid(store, {}, train, graphs, range(3), told=lambda *numbers: progress.append(numbers))

    assert len(first) == len(seen) == 3
    assert len({*first, *seen}) == len(results) == 6
    assert progress == [(3, 6), (4, 6), (5, 6), (6, 6)]
    assert [seed for _, seed in first] == [0, 0, 1]


def test_another_setting_starts_anew(grid, graphs, tmp_path):
    store = grid.Store(tmp_path / "r.sqlite")
    grid.run_grid(store, {"epochs": 1}, partial(trained, grid), graphs, range(2))
    longer = grid.run_grid(store, {"epochs": 2}, lambda g, s: trained(grid, g, s + 1), graphs, range(1))

    assert [r.trained.accuracy for r in longer] == [0.124, 0.124]


def test_a_process_that_is_killed_loses_no_result(grid, tmp_path):
    """It dies between writing a row and the end of its transaction: the rows before stay, the open one is gone."""
    path = tmp_path / "r.sqlite"
    program = f"""
import os, sqlite3, sys
sys.path[:0] = {[str(FOLDER), str(FOLDER.parent)]!r}
from pathlib import Path
from path_length_grid import Result, Store, Trained
path = Path({str(path)!r})
Store(path).add("s", Result("g", 0, Trained(0.5, 1, 1.0, 1.0)))
database = sqlite3.connect(path, isolation_level=None)
database.execute("PRAGMA cache_size = 1")
database.execute("BEGIN IMMEDIATE")
for seed in range(1, 3000):
    database.execute("INSERT INTO results VALUES ('s', 'g', ?, 0.1, 1, 1.0, 1.0)", (seed,))
os._exit(9)
"""
    done = subprocess.run([sys.executable, "-c", program], env=os.environ, capture_output=True, text=True)

    assert done.returncode == 9, done.stderr
    assert [(r.seed, r.trained.accuracy) for r in grid.Store(path).results("s")] == [(0, 0.5)]


def test_what_is_no_file_of_results_is_named_and_left_alone(grid, tmp_path):
    text, other, cut = (tmp_path / name for name in ("text", "other", "cut"))
    text.write_text("accuracy,seed\n" * 100)
    with sqlite3.connect(other) as database:
        database.execute("CREATE TABLE results (name TEXT)")
    database.close()
    store = grid.Store(cut)
    for seed in range(60):
        store.add("s", grid.Result("g" * 40, seed, grid.Trained(0.5, 1, 1.0, 1.0)))
    cut.write_bytes(cut.read_bytes()[:9000])
    before = [path.read_bytes() for path in (text, other, cut)]

    for path in (text, other, cut):
        with pytest.raises(grid.ResultsFileError, match=rf"{path.name}: damaged, or no file of results .*--results"):
            grid.Store(path)
    assert [path.read_bytes() for path in (text, other, cut)] == before


def test_a_folder_that_is_not_there(grid, tmp_path):
    with pytest.raises(grid.ResultsFileError, match="cannot be opened"):
        grid.Store(tmp_path / "none" / "r.sqlite")


def test_spearman_is_that_of_scipy(rank):
    from scipy.stats import spearmanr

    x, y = np.random.default_rng(0).integers(6, size=(2, 20)).astype(float)

    assert rank.spearman(x, y) == pytest.approx(spearmanr(x, y).statistic)
    assert np.isnan(rank.spearman(x, np.ones(20)))


def test_the_interval_is_narrow_where_seeds_agree_and_wide_where_they_do_not(rank):
    x, rng = np.arange(8.0), np.random.default_rng(0)
    clear = -x[:, None] + 0.01 * rng.normal(size=(8, 5))
    noise = rng.normal(size=(8, 5))
    one, other = rank.correlation(x, clear), rank.correlation(x, noise)

    assert (one.value, one.low, one.high) == pytest.approx((-1, -1, -1))
    assert other.low < other.value < other.high
    assert other.high - other.low > 0.3


def test_the_slope_is_that_of_the_line_through_all_seeds(rank):
    x, y = np.arange(6.0) ** 2, np.random.default_rng(0).normal(size=(6, 5))
    found = rank.slope(x, y)

    assert found.value == pytest.approx(np.polyfit(np.repeat(x, 5), y.ravel(), 1)[0])
    assert found.low < found.value < found.high
    assert rank.slope(x, 3 - 0.5 * x[:, None] + np.zeros((6, 5))).high == pytest.approx(-0.5)
    assert np.isnan(rank.slope(np.ones(6), y).value)


def test_graphs_are_kept_with_the_results(grid, graphs, tmp_path):
    store = grid.Store(tmp_path / "r.sqlite")
    made = store.graphs("a", lambda: graphs)

    assert made == graphs
    assert grid.Store(tmp_path / "r.sqlite").graphs("a", list) == graphs


def test_runs_together_give_the_same_and_go_on(grid, graphs, tmp_path):
    one, other = (grid.Store(tmp_path / name) for name in ("one", "other"))
    expected = grid.run_grid(one, {}, partial(trained, grid), graphs, range(3))
    other.add("{}", expected[4])
    sizes = []

    def many(cells):
        sizes.append(len(cells))
        return [trained(grid, graph, seed) for _, graph, seed in cells]

    found = grid.run_together(other, {}, many, graphs, range(3), size=2)

    assert found == expected
    assert sizes == [2, 2, 1]


@pytest.fixture
def plane(monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    return import_module("path_length_plane")


def test_the_plane_is_covered_from_the_complete_graph_on(plane):
    found = plane.graphs_over_plane(32, 12)
    lengths, clustering = ([f(g) for g in found] for f in (ng.average_shortest_path_length, ng.spectrum.clustering))

    assert found[0] == ng.generators.complete(32)
    assert found == plane.graphs_over_plane(32, 12)
    assert len(set(found)) == 12
    assert max(lengths) > 3
    assert min(clustering) < 0.15


def test_networks_of_the_plane_keep_as_many_weights(plane):
    dense = 100 * 64 + 10 * 64 + 3 * 64**2
    for graph in plane.graphs_over_plane(32, 8):
        width = plane.matched_width(graph, 100, 4, 10, 64)
        kept = 110 * width + sum(
            int(ng.relational_biadjacency(graph, width, width, self_loops=True).sum()) for _ in "abc"
        )

        assert kept == pytest.approx(dense, rel=0.03)
    assert plane.matched_width(ng.generators.complete(32), 100, 4, 10, 64) == 64


def test_graphs_in_the_sweet_spot_are_not_clearly_worse_than_the_best(plane):
    from scipy.stats import ttest_ind

    own = np.random.default_rng(0).normal([[2], [1.5], [0], [2]], 0.5, size=(4, 6))
    expected = [ttest_ind(row, own[own.mean(axis=1).argmax()], alternative="less").pvalue >= 0.05 for row in own]

    assert plane.Plane(np.zeros(4), np.zeros(4), own).sweet.tolist() == expected
    assert plane.Plane(np.zeros(2), np.zeros(2), np.array([[1.0], [2.0]])).sweet.tolist() == [False, True]
