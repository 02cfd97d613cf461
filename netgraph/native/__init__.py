"""Loads the compiled kernels, or says once that there are none.

Environment variables, read at import:

    NETGRAPH_NATIVE   0: do not load the kernels; 1: an ImportError if they are missing; unset: a warning then
    NETGRAPH_ISA      generic, avx2 or avx512: use these kernels and not the fastest that the processor runs
"""

import os
import warnings
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["kernels"]


def _load() -> "ModuleType | None":
    wanted = os.environ.get("NETGRAPH_NATIVE", "")
    if wanted not in ("", "0", "1"):
        raise ValueError(f"NETGRAPH_NATIVE: expected 0, 1 or nothing, got {wanted!r}")
    if wanted == "0":
        return None
    try:
        module = import_module("netgraph._native")
    except ImportError as error:
        if wanted == "1":
            raise ImportError("netgraph._native is missing, and NETGRAPH_NATIVE=1 asks for it") from error
        message = "netgraph runs on numpy alone: netgraph._native is missing; install with a C++17 compiler for speed"
        warnings.warn(message, RuntimeWarning, stacklevel=2)
        return None
    if os.environ.get("NETGRAPH_ISA"):
        module.use_isa(os.environ["NETGRAPH_ISA"])
    return module


kernels = _load()
"""The module ``netgraph._native``, or None: then `netgraph.reference` does the work."""
