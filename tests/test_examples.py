"""Every example runs from the command line, without a warning; what they share runs with them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from netgraph import native

FOLDER = Path(__file__).parents[1] / "examples"
EXAMPLES = sorted(path for path in FOLDER.glob("*.py") if "__main__" in path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example_runs(path: Path, tmp_path: Path) -> None:
    if path.stem == "bench_reach" and native.kernels is None:
        pytest.skip("measures the compiled kernels, and they are missing")
    environment = os.environ | {"PYTHONWARNINGS": "error,ignore:netgraph runs on numpy alone"}
    done = subprocess.run(
        [sys.executable, path, "--quick"], cwd=tmp_path, env=environment, capture_output=True, text=True
    )

    assert done.returncode == 0, done.stderr
