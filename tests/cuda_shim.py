"""CUDA kernels on this processor: compiled with g++, run on fibers, called through ctypes.

`compiled(source)` skips the test where there is no g++. Each kernel is run in every mode of `MODES`.
"""

import ctypes
import functools
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
MODES = [(eager, reverse) for eager in (False, True) for reverse in (False, True)]
"""Asynchronous copies at once or as late as they may, threads and blocks forward or backward."""

_folder = tempfile.TemporaryDirectory(prefix="shim")


@functools.cache
def compiled(source: str) -> ctypes.CDLL:
    """Return the library that g++ makes of a file in tests/shim."""
    compiler = shutil.which("g++")
    if compiler is None:
        pytest.skip("needs g++")
    library = Path(_folder.name) / f"{Path(source).stem}.so"
    options = "-std=c++17 -O1 -fPIC -shared -fvisibility=hidden -Wall -Wextra -Werror -Wno-unknown-pragmas".split()
    files = [f"-I{ROOT}", str(ROOT / "tests" / "shim" / source), "-o", str(library)]
    done = subprocess.run([compiler, *options, *files], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return ctypes.CDLL(str(library))


def run(library: ctypes.CDLL, function: str, *arguments: object, mode: tuple[bool, bool] = MODES[0]) -> str | None:
    """Call a function that returns an error or nothing; arrays are passed by their address, numbers as int64 or bool."""
    library.shim_mode(*mode)
    call = getattr(library, function)
    call.restype = ctypes.c_char_p
    found = call(*(_passed(argument) for argument in arguments))
    return found.decode() if found else None


def _passed(argument: object) -> object:
    if argument is None:
        return ctypes.c_void_p(None)
    if isinstance(argument, np.ndarray):
        assert argument.flags.c_contiguous
        return argument.ctypes.data_as(ctypes.c_void_p)
    return ctypes.c_int64(argument)
