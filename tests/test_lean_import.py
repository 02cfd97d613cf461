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


def test_prune_adapters_draws_nothing_and_touches_no_gpu(tmp_path: Path) -> None:
    code = "import sys, prune_adapters, torch; print(torch.cuda.is_initialized(), 'matplotlib' in sys.modules)"

    assert printed(code, tmp_path) == "False False"


def test_prune_adapters_brings_in_no_distributed_tensors(tmp_path: Path) -> None:
    """They take a second, and models of one process have none."""
    lazy = {"torch.distributed.tensor", "torch.distributed.fsdp"}

    assert printed(f"import sys, prune_adapters; print(set(sys.modules) & {lazy} or 'none')", tmp_path) == "none"
