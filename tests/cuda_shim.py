"""CUDA kernels on this processor: compiled with g++, run on fibers, called through ctypes.

`compiled` skips the test where there is no g++. Each kernel is run in every mode of `MODES`.
"""

import atexit
import ctypes
import functools
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
MODES = [(eager, reverse) for eager in (False, True) for reverse in (False, True)]
"""Asynchronous copies at once or as late as they may, threads and blocks forward or backward."""

every_mode = pytest.mark.parametrize("mode", MODES, ids=["late", "late-reverse", "eager", "eager-reverse"])

OPTIONS = ["-std=c++17", "-O1", "-fPIC", "-fvisibility=hidden"]
OPTIONS += ["-Wall", "-Wextra", "-Werror", "-Wno-unknown-pragmas"]

CSRC = ROOT / "prune_adapters" / "csrc"


@functools.cache
def compiled(source: str, *kernels: str) -> ctypes.CDLL:
    """Return the library that g++ makes of a file in tests/shim and of kernels, such as ``"csr"``."""
    return _linked(Path(source).stem, [ROOT / "tests" / "shim" / source, *_kernels(*kernels)])


@functools.cache
def whole_library() -> ctypes.CDLL:
    """Return all kernels and operators for CUDA, made by g++, with what tests/shim/operators.cpp says."""
    ours = [CSRC / "torch_api.cpp", CSRC / "operators" / "registry.cpp", CSRC / "cuda" / "torch_cuda.cpp"]
    kernels = [path.stem for path in sorted((CSRC / "cuda").glob("*.cu"))]
    operators = sorted((CSRC / "cuda" / "operators").glob("*.cpp"))
    return _linked("whole", [ROOT / "tests" / "shim" / "operators.cpp", *ours, *operators, *_kernels(*kernels)])


def _kernels(*names: str) -> list[Path]:
    return [CSRC / "cuda" / f"{name}.cu" for name in names]


@functools.cache
def folder() -> Path:
    """Return where objects are kept for as long as the tests run, also those of other processes."""
    given, run = os.environ.get("NETGRAPH_SHIM"), os.environ.get("PYTEST_XDIST_TESTRUNUID")
    if given is not None:  # by the process that has started this one
        return Path(given)
    found = Path(tempfile.gettempdir()) / f"shim-{run}" if run else Path(tempfile.mkdtemp(prefix="shim"))
    found.mkdir(exist_ok=True)
    os.environ["NETGRAPH_SHIM"] = str(found)
    atexit.register(shutil.rmtree, found, ignore_errors=True)
    return found


def compiler() -> str:
    """Return the path of g++, or skip the test."""
    found = shutil.which("g++")
    if found is None:
        pytest.skip("needs g++")
    return found


def _linked(name: str, sources: Sequence[Path]) -> ctypes.CDLL:
    objects = [_object(source) for source in sources]
    return ctypes.CDLL(str(_made(folder() / f"{name}.so", ["-shared", *objects])))


def _object(source: Path) -> Path:
    name = "-".join(source.relative_to(ROOT).parts) + ".o"
    return _made(folder() / name, ["-c", *(["-xc++"] if source.suffix == ".cu" else []), source])


def _made(target: Path, arguments: Sequence[Path | str]) -> Path:
    """Return a file that g++ makes, once for all processes."""
    lock = target.with_suffix(".lock")
    while not target.exists():
        try:
            lock.mkdir()
        except FileExistsError:  # another process is at it
            time.sleep(0.05)
            continue
        try:
            unfinished = target.with_suffix(".part")
            command = [compiler(), *OPTIONS, f"-I{ROOT}", "-o", unfinished, *arguments]
            done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
            assert done.returncode == 0, done.stderr
            unfinished.rename(target)
        finally:
            lock.rmdir()
    return target


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
