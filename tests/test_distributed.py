"""Masks in several processes: those of one process, on every rank."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import prune_adapters as pa

SCRIPT = Path(__file__).with_name("ranks.py")


@pytest.mark.skipif(not torch.distributed.is_available(), reason="torch is built without torch.distributed")
@pytest.mark.parametrize("ranks", [2, 3, 4])
def test_ranks(ranks: int, tmp_path: Path) -> None:
    """DDP, FSDP2 and tensor parallelism; with 3 ranks rows do not divide evenly, with 4 they are split twice."""
    done = subprocess.run(
        [sys.executable, str(SCRIPT), str(tmp_path), str(ranks)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )

    assert done.returncode == 0, done.stderr


def test_one_process_agrees_with_itself() -> None:
    scores = {"weight": torch.tensor([1.0, 3.0])}
    pa.check_ranks_agree({"weight": scores["weight"] > 2})
    mean = pa.average_scores(scores)

    torch.testing.assert_close(mean, scores)
    assert mean["weight"].data_ptr() != scores["weight"].data_ptr()
