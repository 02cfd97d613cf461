"""Finds the compiled operators and gives them to torch.

They are a plain shared library that knows neither Python nor torch's headers: it looks the functions that it needs up
in the torch that is imported. The environment variables are those of `netgraph.native`.
"""

import ctypes
import os
import warnings
from pathlib import Path

import torch

from netgraph.native import load_compiled

__all__ = ["CUDA_PATH", "PATH", "cuda_library", "kernels", "library", "open_library"]

PATH = Path(__file__).parents[1] / "lib" / "libprune_adapters.so"
"""Where the build puts the library."""

CUDA_PATH = PATH.with_name("libprune_adapters_cuda.so")
"""Where it puts the kernels for CUDA, if it found nvcc."""


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


def _libtorch(name: str = "libtorch_cpu") -> bytes:
    """Return the path of the library in which torch, already imported, has its C interface."""
    folder = Path(torch.__file__).parent / "lib"
    found = [path for path in (folder / f"{name}.so", folder / f"{name}.dylib") if path.exists()]
    return os.fsencode(found[0] if found else f"{name}.so")


def _load_cuda() -> "ctypes.CDLL | None":
    """Return the kernels for CUDA, or None where there are none. No GPU is touched: processes can still fork."""
    if library is None or torch.version.cuda is None or not CUDA_PATH.exists():
        return None
    found = ctypes.CDLL(os.fspath(CUDA_PATH))
    found.prune_adapters_register.restype = ctypes.c_char_p
    missing = found.prune_adapters_register(_libtorch(), _libtorch("libtorch_cuda"))
    if missing is None:
        return found
    message = f"torch {torch.__version__} lacks {missing.decode()}: plain torch serves tensors on CUDA"
    warnings.warn(message, RuntimeWarning, stacklevel=2)
    return None


library = load_compiled("prune_adapters/lib/libprune_adapters.so", _load, without="prune_adapters runs on torch alone")
"""The compiled operators, or None: then `prune_adapters.ops.reference` does the work."""

cuda_library = _load_cuda()
"""The kernels for CUDA, or None: then `prune_adapters.ops.reference` serves tensors on CUDA."""


def kernels() -> dict[str, str]:
    """Return what serves the operators, for each kind of device.

    Returns
    -------
    dict of str
        ``"cpu"``: the instruction set of the compiled kernels (``"avx512"``, ``"avx2"``, ``"generic"``);
        ``"cuda"``: ``"compiled"``. Either may be ``"reference"``: plain torch.

    Examples
    --------
    >>> sorted(kernels())
    ['cpu', 'cuda']
    """
    return {
        "cpu": "reference" if library is None else library.prune_adapters_isa().decode(),
        "cuda": "reference" if cuda_library is None else "compiled",
    }
