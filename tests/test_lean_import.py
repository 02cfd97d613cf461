"""Importing costs nothing that is not asked for: read in a fresh interpreter."""

import subprocess
import sys
from pathlib import Path


def printed(code: str, folder: Path) -> str:
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_netgraph_brings_in_no_heavy_library(tmp_path: Path) -> None:
    heavy = {"torch", "matplotlib", "networkx", "igraph", "prune_adapters"}

    assert printed(f"import sys, netgraph; print(set(sys.modules) & {heavy} or 'none')", tmp_path) == "none"


NAMES = "import sys; from prune_adapters import *; import torch"
"""torch and all files come with the first public name."""


def test_prune_adapters_draws_nothing_and_touches_no_gpu(tmp_path: Path) -> None:
    code = f"{NAMES}; print(torch.cuda.is_initialized(), 'matplotlib' in sys.modules)"

    assert printed(code, tmp_path) == "False False"


def test_prune_adapters_brings_in_no_distributed_tensors(tmp_path: Path) -> None:
    """They take a second, and models of one process have none."""
    lazy = {"torch.distributed.tensor", "torch.distributed.fsdp"}

    assert printed(f"{NAMES}; print(set(sys.modules) & {lazy} or 'none')", tmp_path) == "none"


def test_prune_adapters_brings_in_torch_with_its_first_name(tmp_path: Path) -> None:
    code = "import sys, prune_adapters as pa; print('torch' in sys.modules); pa.prune; print('torch' in sys.modules)"

    assert printed(code, tmp_path).split() == ["False", "True"]


def test_a_file_does_not_hide_the_function_of_its_name(tmp_path: Path) -> None:
    code = "from prune_adapters.report import Report; import prune_adapters as pa; print(pa.report.__name__, pa.ops)"

    assert printed(code, tmp_path).startswith("report <module")
