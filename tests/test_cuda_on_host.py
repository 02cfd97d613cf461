"""The tests for a GPU on this processor: the operators for CUDA serve the CPU of another interpreter, by the shim."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import cuda_shim

TESTS = Path(__file__).parent
ONE_DTYPE = "not float64 and not float16 and not bfloat16 and not complex and not int8 and not float8"
"""What goes from Python to a kernel is the same for all; the kernels are tested with each (test_cuda_*kernels.py)."""


@pytest.mark.parametrize("chosen", [ONE_DTYPE, pytest.param("", marks=pytest.mark.slow)], ids=["float32", "all"])
def test_the_tests_for_a_gpu_pass_without_one(chosen: str) -> None:
    cuda_shim.compiler()
    cuda_shim.folder()  # for the other interpreter, too
    paths = os.pathsep.join([str(TESTS), os.environ["PYTHONPATH"]])
    environment = {"NETGRAPH_NATIVE": "0", "CUDA_ON_HOST": "1", "PYTHONPATH": paths}
    options = ["-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-p", "cuda_on_host", "-m", "cuda"]
    options += ["-c", str(TESTS.parent / "pyproject.toml"), "-k", chosen]
    options += map(str, sorted(TESTS.glob("test_cuda*.py")))
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options], env=os.environ | environment, capture_output=True, text=True
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout
