"""`netgraph regular` and `netgraph sweep`: graphs, pictures, results that are there already."""

import sqlite3
from pathlib import Path

import numpy as np
import pytest

import netgraph as ng
from cli_calls import called, document, folder_of_nets, good

RING = ("regular", "-n", "10", "-d", "3", "--steps", "500")
SWEEP = ("sweep", "run", "s.db", "-n", "8", "-d", "3", "--graphs", "3", "--seeds", "2", "--steps", "50")
OWN = ("--train", "nets.py:accuracy", "--model", "nets.py:deep")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return folder_of_nets(tmp_path, monkeypatch)


def test_ten_nodes_of_degree_three_meet_their_bounds() -> None:
    found = document(*RING)

    assert (found["diameter"], found["diameter_bound"]) == (2, 2)
    assert found["path_length"] == pytest.approx(found["path_length_bound"]) == pytest.approx(5 / 3)
    assert "path_length" in good(*RING).stdout


def test_seconds_in_place_of_steps() -> None:
    assert document("regular", "-n", "12", "-d", "3", "--seconds", "0.05", "--method", "swaps")["edges"] == 18


def test_the_graph_is_written_and_drawn(here: Path) -> None:
    good(*RING, "--save", "ring.npz", "--draw", "ring.pdf")
    good(*RING, "--save", "ring.txt", "--draw", "ring.png")
    with np.load(here / "ring.npz") as stored:
        edges, graph = stored["edges"], ng.NodeGraph.from_edges(int(stored["n_nodes"]), stored["edges"])

    again = [document("regular", "--start", name, "--steps", "0") for name in ("ring.npz", "ring.txt")]

    assert graph.degrees.tolist() == [3] * 10
    assert again[0] == again[1]
    assert again[0]["path_length"] == pytest.approx(5 / 3)
    np.testing.assert_array_equal(np.loadtxt(here / "ring.txt", dtype=int), edges)
    assert (here / "ring.pdf").read_bytes().startswith(b"%PDF")
    assert (here / "ring.png").read_bytes().startswith(b"\x89PNG")
    assert sorted(path.name for path in here.glob("*tmp*")) == []


@pytest.mark.parametrize("option", ["--save", "--draw"])
def test_no_file_is_replaced_unasked(option: str, here: Path) -> None:
    name = {"--save": "ring.txt", "--draw": "ring.svg"}[option]
    (here / name).write_text("mine")
    result = called(*RING, option, name)

    assert result.exit_code == 2
    assert f"{name}: this file exists; --force replaces it" in result.stderr
    assert (here / name).read_text() == "mine"
    good(*RING, option, name, "--force")
    assert (here / name).read_text() != "mine"


def test_a_sweep_goes_on_where_it_was_stopped(here: Path) -> None:
    first = document(*SWEEP, *OWN)
    with sqlite3.connect(here / "s.db") as database:
        database.execute("DELETE FROM results WHERE seed = 1")
        database.execute("UPDATE results SET accuracy = 0.25")
        database.execute("INSERT INTO results VALUES (0, 1, 0.9)")
    database.close()
    left = document("sweep", "status", "s.db")
    again = document("sweep", "run", "s.db")

    assert (first["done"], first["wanted"], left["done"], left["wanted"]) == (6, 6, 4, 6)
    assert (first["findings"]["seeds"], left["findings"]["seeds"]) == (2, 1)  # those that all graphs have
    assert left["findings"]["points_per_hop"] == {"value": 0.0, "low": None, "high": None}
    assert again["done"] == 6
    assert all(row["accuracies"]["0"] == 0.25 for row in again["graphs"])
    assert [row["accuracies"]["1"] for row in again["graphs"][1:]] == [
        row["accuracies"]["1"] for row in first["graphs"][1:]
    ]
    assert document("sweep", "run", "s.db", "--seeds", "3")["done"] == 9


def test_a_sweep_is_drawn_and_keeps_its_settings(here: Path) -> None:
    good(*SWEEP, *OWN)
    with sqlite3.connect(here / "s.db") as database:
        database.execute("UPDATE results SET accuracy = 0.1 * place + 0.01 * seed")
    database.close()
    drawn, status = good("sweep", "plot", "s.db", "-o", "s.pdf").stdout, good("sweep", "status", "s.db").stdout

    assert "Spearman with accuracy over 3 graphs and 2 seeds, and 95 % bootstrap interval" in drawn
    assert "path length  -1.00 [-1.00, -1.00]" in drawn
    assert "points of accuracy per hop\nThe shortest graph is +20.00 points from the longest. With fewer" in drawn
    assert status.endswith(drawn)
    assert (
        document("sweep", "plot", "s.db", "-o", "s.png")["findings"] == document("sweep", "status", "s.db")["findings"]
    )
    assert (here / "s.pdf").read_bytes().startswith(b"%PDF")
    assert "exists; --force" in called("sweep", "plot", "s.db", "-o", "s.pdf").stderr
    assert "6 of 6 runs" in status
    assert "this sweep has degree 3 and not 4" in called("sweep", "run", "s.db", "-d", "4").stderr


def test_a_sweep_without_results_says_so(here: Path) -> None:
    good(*SWEEP, *OWN)
    with sqlite3.connect(here / "s.db") as database:
        database.execute("DELETE FROM results WHERE place > 0")
    database.close()

    assert "Not enough results yet to compare graphs." in good("sweep", "status", "s.db").stdout
    assert document("sweep", "status", "s.db")["findings"] is None
    assert "s.db: not enough results yet" in called("sweep", "plot", "s.db", "-o", "s.pdf").stderr


def test_digits_are_trained_without_a_function() -> None:
    pytest.importorskip("sklearn")
    found = document(*SWEEP[:-5], "2", "--seeds", "1", "--epochs", "1", "--steps", "20")

    assert found["setting"]["task"] == "digits"
    assert all(0 < row["accuracy"] <= 1 for row in found["graphs"])


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("regular -n 9 -d 3", "9"),
        ("regular -n 8 -d 9", "9"),
        ("regular -n 8", "expected --nodes and --degree"),
        ("regular --start nets.py", "nets.py: no graph, expected two numbers a line"),
        ("regular --start nowhere.txt", "nowhere.txt: No such file"),
        ("regular -n 8 -d 3 --steps 5 --seconds 1", "expected one of them, got both"),
        ("regular -n 8 -d 3 --method luck", "luck"),
        ("regular -n 8 -d 3 --steps -1", "-1"),
        ("regular -n 8 -d 3 --draw a.gif", "expected a name that ends in .pdf"),
        ("regular -n 8 -d 3 --save a.csv", "expected a name that ends in .npz"),
        ("sweep status nowhere.db", "nowhere.db: there is no such file"),
        ("sweep status nets.py", "nets.py: damaged, or no file of a sweep"),
        ("sweep plot nowhere.db -o a.png", "there is no such file"),
        ("sweep plot nets.py -o a.gif", "expected a name that ends in .pdf"),
        ("sweep run nets.py", "nets.py: damaged, or no file of a sweep"),
        ("sweep run other.db", "other.db: no file of a sweep"),
        ("sweep run no/s.db", "there is no folder no"),
        ("sweep run s.db --train nets.py:accuracy", "--train and --model: expected both"),
        ("sweep run s.db --graphs 1", "--graphs"),
        ("sweep run s.db -n 8 -d 7 --train nets.py:accuracy --model nets.py:deep", "all graphs found have one path"),
        ("sweep run s.db -n 20 -d 3 --steps 9 --train nets.py:accuracy --model nets.py:deep", "20 nodes"),
        ("sweep run s.db -n 8 -d 3 --steps 9 --train nets.py:words --model nets.py:deep", "nets.py:words failed"),
        ("sweep run s.db -n 8 -d 3 --steps 9 --train nets.py:accuracy --model nets.py:pair", "has no layer to mask"),
        ("sweep run s.db -n 8 -d 3 --train nets.py:NETS --model nets.py:deep", "nets.py has no"),
    ],
)
def test_a_bad_line_ends_in_a_sentence(line: str, told: str, here: Path) -> None:
    with sqlite3.connect(here / "other.db") as database:
        database.execute("CREATE TABLE mine (x)")
    database.close()
    result = called(*line.split())

    assert (result.exit_code, result.stdout) == (2, "")
    assert told in result.stderr
    assert "Traceback" not in result.output
