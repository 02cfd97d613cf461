"""What holds for every test: the same random cases in each run, no window for a picture, one thread for torch.

Interpreters that a test starts import the same netgraph as the test, from whichever folder they run.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import hypothesis
import pytest

import netgraph
from netgraph import native

os.environ["PYTHONPATH"] = str(Path(netgraph.__file__).parents[1])
os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("OMP_NUM_THREADS", "1")

hypothesis.settings.register_profile("same each run", derandomize=True, deadline=None, database=None)
hypothesis.settings.load_profile("same each run")


def pytest_report_header() -> str:
    """Show which netgraph is under test: the installed one, or the sources."""
    return f"netgraph: {Path(netgraph.__file__).parent}"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs a GPU where there is none, unless the CPU stands in for it (test_cuda_on_host.py)."""
    needy = [item for item in items if item.get_closest_marker("cuda")]
    if not needy or "CUDA_ON_HOST" in os.environ:
        return
    import torch

    if not torch.cuda.is_available():
        for item in needy:
            item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))


ISAS = ("generic", "avx2", "avx512")


def set_to(isa: str) -> Iterator[ModuleType]:
    """Yield the compiled kernels, set to one instruction set; skip where there are none."""
    if native.kernels is None:
        pytest.skip("the compiled kernels are missing")
    before = native.kernels.isa()
    try:
        native.kernels.use_isa(isa)
    except ValueError:
        pytest.skip(f"this processor has no {isa}")
    yield native.kernels
    native.kernels.use_isa(before)


@pytest.fixture(params=ISAS)
def kernels(request: pytest.FixtureRequest) -> Iterator[ModuleType]:
    """The module `netgraph._native`, set to one instruction set after the other."""
    yield from set_to(request.param)


@pytest.fixture(params=("reference", *ISAS))
def every_way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The plain reference, and the kernels of each instruction set."""
    if request.param == "reference":
        monkeypatch.setattr(native, "kernels", None)
        yield
        return
    for _ in set_to(request.param):
        yield
