"""Loads the compiled kernels, or says once that there are none.

Environment variables, read at import:

    NETGRAPH_NATIVE   0: do not load the kernels; 1: an ImportError if they are missing; unset: a warning then
    NETGRAPH_ISA      generic, avx2 or avx512: use these kernels and not the fastest that the processor runs
"""

import os
import warnings
from collections.abc import Callable
from importlib import import_module
from types import ModuleType
from typing import TypeVar

__all__ = ["kernels", "load_compiled"]

Library = TypeVar("Library")


def load_compiled(name: str, load: Callable[[], Library], *, without: str) -> Library | None:
    """Return what `load` returns, or None where compiled code is missing or not wanted.

    Parameters
    ----------
    name : str
        Of the compiled code, for messages.
    load : callable
        Takes nothing. Raises ImportError where the code is missing.
    without : str
        What happens then, for the warning: "netgraph runs on numpy alone".

    Returns
    -------
    object or None

    Raises
    ------
    ImportError
        The code is missing and NETGRAPH_NATIVE is 1.
    ValueError
        NETGRAPH_NATIVE is something else than 0, 1 or nothing.

    Examples
    --------
    >>> load_compiled("netgraph._native", lambda: "the kernels", without="netgraph runs on numpy alone")
    'the kernels'
    """
    wanted = os.environ.get("NETGRAPH_NATIVE", "")
    if wanted not in ("", "0", "1"):
        raise ValueError(f"NETGRAPH_NATIVE: expected 0, 1 or nothing, got {wanted!r}")
    if wanted == "0":
        return None
    try:
        return load()
    except ImportError as error:
        if wanted == "1":
            raise ImportError(f"{name} is missing, and NETGRAPH_NATIVE=1 asks for it") from error
        message = f"{without}: {name} is missing; install with a C++17 compiler for speed ({error})"
        warnings.warn(message, RuntimeWarning, stacklevel=2)
        return None


def _load() -> ModuleType:
    module = import_module("netgraph._native")
    if os.environ.get("NETGRAPH_ISA"):
        module.use_isa(os.environ["NETGRAPH_ISA"])
    return module


kernels = load_compiled("netgraph._native", _load, without="netgraph runs on numpy alone")
"""The module ``netgraph._native``, or None: then `netgraph.reference` does the work."""
