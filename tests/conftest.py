"""What holds for every test: the same random cases in each run, no window for a picture, one thread for torch.

Interpreters that a test starts import the same netgraph as the test, from whichever folder they run.
"""

import os
from pathlib import Path

import hypothesis
import pytest

import netgraph

os.environ["PYTHONPATH"] = str(Path(netgraph.__file__).parents[1])
os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("OMP_NUM_THREADS", "1")

hypothesis.settings.register_profile("same each run", derandomize=True, deadline=None, database=None)
hypothesis.settings.load_profile("same each run")


def pytest_report_header() -> str:
    """Show which netgraph is under test: the installed one, or the sources."""
    return f"netgraph: {Path(netgraph.__file__).parent}"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs a GPU where there is none."""
    needy = [item for item in items if item.get_closest_marker("cuda")]
    if not needy:
        return
    import torch

    if not torch.cuda.is_available():
        for item in needy:
            item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))
