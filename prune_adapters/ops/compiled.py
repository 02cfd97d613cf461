"""Finds the compiled operators and gives them to torch.

They are a plain shared library that knows neither Python nor torch's headers: it looks the functions that it needs up
in the torch that is imported. The environment variables are those of `netgraph.native`.
"""

import ctypes
import os
from pathlib import Path

import torch

from netgraph.native import load_compiled

__all__ = ["PATH", "library", "open_library"]

PATH = Path(__file__).parents[1] / "lib" / "libprune_adapters.so"
"""Where the build puts the library."""


def open_library(path: Path) -> ctypes.CDLL:
    """Return the library with the types of its functions, not yet known to torch.

    Parameters
    ----------
    path : Path

    Returns
    -------
    CDLL

    Raises
    ------
    ImportError
        There is no such file, or it is no library for this machine.

    Examples
    --------
    >>> open_library(Path("nowhere.so"))
    Traceback (most recent call last):
    ImportError: nowhere.so: ...
    """
    try:
        found = ctypes.CDLL(os.fspath(path))
    except OSError as error:
        raise ImportError(f"{path}: {error}") from error
    found.prune_adapters_register.restype = found.prune_adapters_isa.restype = ctypes.c_char_p
    found.prune_adapters_use_isa.restype = ctypes.c_bool
    found.prune_adapters_torch_functions.restype = ctypes.POINTER(ctypes.c_char_p)
    return found


def _load() -> ctypes.CDLL:
    found = open_library(PATH)
    name = os.environ.get("NETGRAPH_ISA", "")
    if name and not found.prune_adapters_use_isa(name.encode()):
        raise ValueError(f"instruction set {name!r}: this build or this processor does not have it")
    missing = found.prune_adapters_register(_libtorch())
    if missing is not None:
        raise ImportError(f"torch {torch.__version__} lacks {missing.decode()}; the operators need torch 2.10 or later")
    return found


def _libtorch() -> bytes:
    """Return the path of the library in which torch, already imported, has its C interface."""
    folder = Path(torch.__file__).parent / "lib"
    found = [path for path in (folder / "libtorch_cpu.so", folder / "libtorch_cpu.dylib") if path.exists()]
    return os.fsencode(found[0] if found else "libtorch_cpu.so")


library = load_compiled("prune_adapters/lib/libprune_adapters.so", _load, without="prune_adapters runs on torch alone")
"""The compiled operators, or None: then `prune_adapters.ops.reference` does the work."""
