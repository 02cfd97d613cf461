"""Every example runs from the command line, without a warning; what they share runs with them."""

import json
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from netgraph import native
from prune_adapters.ops import library

FOLDER = Path(__file__).parents[1] / "examples"
NATIVE = {"bench_reach", "bench_search"}
EXAMPLES = sorted(path for path in FOLDER.glob("*.py") if "__main__" in path.read_text(encoding="utf-8"))


MISSING = ("ignore:netgraph runs on numpy alone", "ignore:prune_adapters runs on torch alone")
COLUMNS = {"case", "ours", "unit", "peer", "peer_value", "ratio", "target", "met", "better"}


def run(path: Path, folder: Path, *options: str) -> None:
    environment = os.environ | {"PYTHONWARNINGS": f"error,{','.join(MISSING)}"}
    command = [sys.executable, path, "--quick", *options]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)

    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example_runs(path: Path, tmp_path: Path) -> None:
    if (path.stem in NATIVE and native.kernels is None) or (path.stem == "bench_ops" and library is None):
        pytest.skip("measures the compiled kernels, and they are missing")
    if not path.stem.startswith("bench_"):
        run(path, tmp_path)
        return
    run(path, tmp_path, "--json", "rows.json")
    written = json.loads((tmp_path / "rows.json").read_text(encoding="utf-8"))

    assert written.keys() == {"machine", "rows"}
    assert all(row.keys() == COLUMNS for row in written["rows"])


@pytest.mark.skipif(native.kernels is None, reason="measures the compiled kernels, and they are missing")
def test_records_are_searched_for(tmp_path: Path) -> None:
    run(FOLDER / "bench_search.py", tmp_path, "--records", "--seeds", "1", "--json", "rows.json")
    (row,) = json.loads((tmp_path / "rows.json").read_text(encoding="utf-8"))["rows"]

    assert row["peer"] == "best known, quoted"
    assert row["ours"] > 1.92
    assert row["peer_value"] == pytest.approx(1.927, abs=0.0005)


@pytest.mark.parametrize(
    ("ours", "peer_value", "target", "better", "ratio", "met"),
    [
        (2.0, 6.0, 3.0, "low", 3.0, True),
        (2.0, 6.0, 3.1, "low", 3.0, False),
        (6.0, 2.0, 3.0, "high", 3.0, True),
        (2.0, None, 2.0, "low", None, True),
        (2.0, None, 2.1, "high", None, False),
        (2.0, 6.0, None, "low", 3.0, None),
    ],
)
def test_a_row_computes_its_ratio_and_whether_the_target_is_met(
    monkeypatch, ours, peer_value, target, better, ratio, met
):
    monkeypatch.syspath_prepend(FOLDER)
    row = import_module("benchmark").Row("case", ours, "ms", "peer", peer_value, target, better)

    assert (row.ratio, row.met) == (ratio, met)
