"""What serves the operators on the CPU, one instruction set after the other, or the reference where nothing is built.

A test file says ``kernels = pytest.fixture(params=ISAS)(set_to_isa)``; netgraph's own kernels are in conftest.py.
"""

from collections.abc import Iterator

import pytest

from prune_adapters import ops

ISAS = ["generic", "avx2", "avx512"] if ops.library else ["reference"]


def set_to_isa(request: pytest.FixtureRequest) -> Iterator[None]:
    """Set what serves the operators on the CPU to one instruction set, and back after the test."""
    if ops.library is None:
        yield
        return
    before = ops.library.prune_adapters_isa()
    if not ops.library.prune_adapters_use_isa(request.param.encode()):
        pytest.skip(f"this processor has no {request.param}")
    yield
    ops.library.prune_adapters_use_isa(before)
