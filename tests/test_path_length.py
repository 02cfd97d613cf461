"""Path length against accuracy: its graphs and numbers, and the file of results that a killed run leaves whole."""

import os
import re
import sqlite3
import subprocess
import sys
from functools import partial
from importlib import import_module
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest

import netgraph as ng
import prune_adapters as pa

mpl.use("Agg")
FOLDER = Path(__file__).parents[1] / "examples"


@pytest.fixture
def grid(monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    return import_module("path_length_grid")


@pytest.fixture
def graphs():
    return [ng.generators.circulant(12, degree=4), ng.generators.random_regular(12, 4, seed=0)]


def test_graphs_go_from_the_circulant_to_the_shortest():
    found = pa.graphs_of_all_lengths(32, 4, 6, steps=3000, seed=0)
    lengths = [ng.average_shortest_path_length(graph) for graph in found]

    assert found[0] == ng.generators.circulant(32, degree=4)
    assert found == pa.graphs_of_all_lengths(32, 4, 6, steps=3000, seed=0)
    assert len(lengths) == 6
    assert lengths == sorted(set(lengths), reverse=True)
    assert lengths[-1] < 1.05 * ng.aspl_lower_bound(32, 4)
    assert all((graph.degrees == 4).all() for graph in found)


def test_graphs_are_those_of_the_results_that_were_published(grid):
    """Files of results name graphs by their edges: a new schedule would find none of them."""
    found = pa.graphs_of_all_lengths(64, 4, 6, steps=20_000, seed=0)

    assert [grid.name_of(graph) for graph in found] == [
        "b8340fa358ebe904",
        "00ccae6a73fe3bcc",
        "5f34d6858ee7363f",
        "039635d8872926fb",
        "407e9579d34a218b",
        "26815d9cfbe54ade",
    ]


def test_graphs_are_found_in_few_steps():
    assert len(pa.graphs_of_all_lengths(16, 3, 3, steps=1, seed=0)) == 3


@pytest.mark.parametrize(
    ("sizes", "steps", "told"),
    [
        ((8, 7, 3), 50, "8 nodes of degree 7: .* one path length.*; take more nodes or a lower degree"),
        ((8, 5, 3), 50, "8 nodes of degree 5: .* one path length"),
        ((8, 2, 3), 50, "8 nodes of degree 2: expected a degree of at least 3"),
        ((9, 3, 3), 50, "9 nodes of degree 3: their product is odd"),
        ((16, 3, 1), 50, "count: expected at least 2, got 1"),
        ((16, 3, 3), 0, "steps: expected at least 1, got 0"),
    ],
)
def test_graphs_that_cannot_be_compared(sizes, steps, told):
    with pytest.raises(ValueError, match=told):
        pa.graphs_of_all_lengths(*sizes, steps=steps, seed=0)


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


def test_spearman_is_that_of_scipy():
    from scipy.stats import spearmanr

    x, y = np.random.default_rng(0).integers(6, size=(2, 20)).astype(float)

    assert pa.spearman(x, y) == pytest.approx(spearmanr(x, y).statistic)
    assert np.isnan(pa.spearman(x, np.ones(20)))


def test_the_interval_is_that_of_a_plain_bootstrap():
    x, accuracies = np.arange(7.0), np.random.default_rng(1).normal(size=(7, 4))
    seeds = np.random.default_rng(5).integers(4, size=(2000, 4))
    drawn = [accuracies[:, own].mean(axis=1) for own in seeds]

    for function, statistic in (
        (pa.rank_correlation, pa.spearman),
        (pa.accuracy_slope, lambda x, y: np.polyfit(x, y, 1)[0]),
    ):
        low, high = np.percentile([statistic(x, own) for own in drawn], [2.5, 97.5])
        found = function(x, accuracies, seed=5)
        assert found.value == pytest.approx(statistic(x, accuracies.mean(axis=1)))
        assert (found.low, found.high) == pytest.approx((low, high))


def test_the_interval_is_narrow_where_seeds_agree_and_wide_where_they_do_not():
    x, rng = np.arange(8.0), np.random.default_rng(0)
    clear = -x[:, None] + 0.01 * rng.normal(size=(8, 5))
    noise = rng.normal(size=(8, 5))
    one, other = pa.rank_correlation(x, clear), pa.rank_correlation(x, noise)

    assert (one.value, one.low, one.high) == pytest.approx((-1, -1, -1))
    assert not one.holds_zero
    assert other.low < other.value < other.high
    assert other.high - other.low > 0.3


def test_the_slope_is_that_of_the_line_through_all_seeds():
    x, y = np.arange(6.0) ** 2, np.random.default_rng(0).normal(size=(6, 5))
    found = pa.accuracy_slope(x, y)

    assert found.value == pytest.approx(np.polyfit(np.repeat(x, 5), y.ravel(), 1)[0])
    assert found.low < found.value < found.high
    assert pa.accuracy_slope(x, 3 - 0.5 * x[:, None] + np.zeros((6, 5))).high == pytest.approx(-0.5)
    assert np.isnan(pa.accuracy_slope(np.ones(6), y).value)


def test_one_seed_gives_no_interval():
    found = pa.rank_correlation(np.arange(4.0), np.array([[0.1], [0.4], [0.2], [0.3]]))

    assert str(found) == "+0.40 (no interval)"
    assert np.isnan([found.low, found.high]).all()
    assert found.holds_zero


def test_graphs_that_are_equally_good_stay_so_in_every_draw():
    """The means of one row are sums in another order, and may differ in the last bit."""
    found = pa.rank_correlation(np.arange(3.0), np.array([[0.7, 0.1, 0.2]] * 3)[:, [0, 1, 2]] + [[0], [0], [1]])

    assert (found.low, found.high) == pytest.approx((found.value, found.value))


@pytest.mark.parametrize(
    ("accuracies", "told"),
    [
        (np.ones(3), r"accuracies: expected shape \(3, seeds\), got \(3,\)"),
        (np.ones((2, 4)), r"accuracies: expected shape \(3, seeds\), got \(2, 4\)"),
        (np.ones((3, 0)), r"accuracies: expected shape \(3, seeds\), got \(3, 0\)"),
        ([[1, 1], [1, np.nan], [1, 1]], "accuracies: expected numbers, got nan or inf for graph 1, seed 1"),
    ],
)
def test_accuracies_that_do_not_fit(accuracies, told):
    with pytest.raises(ValueError, match=told):
        pa.rank_correlation(np.arange(3.0), accuracies)


def report_of(means, *, lengths=(6.0, 5.0, 4.0, 3.0, 2.0), noise=0.0):
    noise = noise * np.random.default_rng(0).normal(size=(len(means), 6))
    return pa.PathLengthReport(lengths[: len(means)], 1 / np.array(lengths[: len(means)]), np.c_[means] + noise)


@pytest.mark.parametrize(
    ("means", "noise", "told"),
    [
        (
            [0.5, 0.6, 0.7, 0.8, 0.9],
            0.001,
            r"is \+\d\d\.\d\d points from the longest. Graphs with shorter paths do",
        ),
        ([0.9, 0.8, 0.7, 0.6, 0.5], 0.001, "Graphs with longer paths do better here; another task can differ."),
        ([0.5] * 5, 0.1, "The intervals hold 0: here path length does not tell which graph is better."),
        ([0.5, 0.6, 0.7, 0.8], 0.001, "With fewer than 5 graphs or seeds the intervals say nothing yet."),
        ([0.1, 0.52, 0.5, 0.48, 0.4], 0.001, "The interval of the correlation holds 0: here path length does not tell"),
        ([1.0] * 5, 0.0, "All graphs reach the same: path length does not tell which is better."),
    ],
)
def test_a_report_concludes_what_its_interval_says(means, noise, told):
    report = report_of(means, noise=noise)

    np.testing.assert_array_equal(report.means, report.accuracies.mean(axis=1))
    assert report.slope.value == pytest.approx(100 * pa.accuracy_slope(report.lengths, report.accuracies).value)
    assert re.search(told, report.conclusion)
    assert "nan" not in str(report)


def test_a_report_is_made_of_graphs_and_drawn():
    graphs = pa.graphs_of_all_lengths(16, 3, 3, steps=100, seed=0)
    report = pa.path_length_report(graphs, [[0.9, 0.8], [0.7, 0.9], [0.8, 0.8]])
    ax = pa.plot_path_length(report)
    gap = pa.plot_path_length(report, against="spectral gap")
    none = pa.PathLengthReport([2.0, 1.5], [0.0, 0.5], [[0.5], [0.6]])  # a bipartite graph has no gap

    assert report.lengths.tolist() == [ng.average_shortest_path_length(graph) for graph in graphs]
    assert report.to_dict()["seeds"] == 2
    assert "over 3 graphs and 2 seeds" in str(report)
    assert ax.get_xlabel().startswith("mean path length")
    assert ax.get_title().startswith("Spearman ")
    assert gap.get_xlabel().startswith("normalised spectral gap")
    assert pa.plot_path_length(none, against="spectral gap").get_xscale() == "linear"
    with pytest.raises(ValueError, match="against: expected one of path length, spectral gap, got 'gap'"):
        pa.plot_path_length(report, against="gap")
    with pytest.raises(ValueError, match="graphs: expected at least 2, got 1"):
        pa.path_length_report(graphs[:1], [[0.9]])
    plt.close("all")


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
