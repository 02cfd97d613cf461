"""CUDA kernels on this processor: compiled with g++, run on fibers, called through ctypes.

`compiled(source)` skips the test where there is no g++. Each kernel is run in every mode of `MODES`.
"""

import ctypes
import functools
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
MODES = [(eager, reverse) for eager in (False, True) for reverse in (False, True)]
"""Asynchronous copies at once or as late as they may, threads and blocks forward or backward."""

every_mode = pytest.mark.parametrize("mode", MODES, ids=["late", "late-reverse", "eager", "eager-reverse"])

OPTIONS = ["-std=c++17", "-O1", "-fPIC", "-shared", "-fvisibility=hidden"]
OPTIONS += ["-Wall", "-Wextra", "-Werror", "-Wno-unknown-pragmas"]

_folder = tempfile.TemporaryDirectory(prefix="shim")


@functools.cache
def compiled(source: str) -> ctypes.CDLL:
    """Return the library that g++ makes of a file in tests/shim."""
    return _load(Path(source).stem, [ROOT / "tests" / "shim" / source])


@functools.cache
def whole_library() -> ctypes.CDLL:
    """Return all kernels and operators for CUDA, made by g++, with what tests/shim/operators.cpp says."""
    csrc = ROOT / "prune_adapters" / "csrc"
    ours = [csrc / "torch_api.cpp", csrc / "operators" / "registry.cpp", csrc / "cuda" / "torch_cuda.cpp"]
    kernels = [path for path in sorted((csrc / "cuda").glob("*.cu")) if path.stem != "errors"]
    operators = sorted((csrc / "cuda" / "operators").glob("*.cpp"))
    return _load("operators", [ROOT / "tests" / "shim" / "operators.cpp", *ours, *operators, "-xc++", *kernels])


def compiler() -> str:
    """Return the path of g++, or skip the test."""
    found = shutil.which("g++")
    if found is None:
        pytest.skip("needs g++")
    return found


def _load(name: str, sources: Sequence[Path | str]) -> ctypes.CDLL:
    library = Path(_folder.name) / f"{name}.so"
    command = [compiler(), *OPTIONS, f"-I{ROOT}", "-o", library, *sources]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return ctypes.CDLL(str(library))


def run(library: ctypes.CDLL, function: str, *arguments: object, mode: tuple[bool, bool] = MODES[0]) -> str | None:
    """Call a function that returns an error or nothing; arrays are passed by address, numbers as 64-bit integers."""
    library.shim_mode(*mode)
    call = getattr(library, function)
    call.restype = ctypes.c_char_p
    found = call(*(_passed(argument) for argument in arguments))
    return found.decode() if found else None


def _passed(argument: object) -> object:
    if argument is None:
        return ctypes.c_void_p(None)
    if isinstance(argument, bytes):
        return ctypes.c_char_p(argument)
    if isinstance(argument, np.ndarray):
        assert argument.flags.c_contiguous
        return argument.ctypes.data_as(ctypes.c_void_p)
    return ctypes.c_int64(argument)
