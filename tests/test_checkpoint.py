"""Reading a checkpoint: the report, the progress, interrupts, and the memory that it takes."""

import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import prune_adapters as pa
from checkpointed import EXAMPLES, X, check_same, graph_of, mlp, saved_mlp
from networks import MLP
from prune_adapters.checkpoint import bits as bits_module

folder = pytest.fixture(saved_mlp)


def test_a_model_in_memory_and_an_open_checkpoint_serve_as_well(folder):
    model = MLP((6, 8, 3))
    before = [p.clone() for p in model.parameters()]

    found = pa.checkpoint_graph(model, X, pa.open_checkpoint(folder))

    check_same(found, pa.to_graph(mlp(), X))
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


def test_the_report_is_that_of_the_loaded_model(folder):
    found = pa.inspect_checkpoint(mlp, X, folder)

    assert found.to_dict() == pa.report(pa.to_graph(mlp(), X)).to_dict()


def test_progress_is_told_to_the_last_byte(folder):
    told: list[tuple[int, int, str]] = []
    graph_of(folder, progress=lambda *what: told.append(what))

    assert told[-1][0] == told[-1][1] == 4 * (8 * 6 + 3 * 8)
    assert [done for done, _, _ in told] == sorted(done for done, _, _ in told)
    assert {name for _, _, name in told} == {"layers.0.weight", "layers.1.weight"}


def test_a_bar_is_drawn_on_standard_error(folder, capsys):
    graph_of(folder, progress=True)

    assert "bytes" in capsys.readouterr().err


def test_reading_can_be_interrupted(folder):
    def stop(done: int, total: int, name: str) -> None:
        if done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        graph_of(folder, progress=stop)


@pytest.mark.parametrize("build", [lambda: nn.Linear(1024, 2048), lambda: nn.Embedding(2048, 1024)])
def test_values_take_little_memory_beside_the_bits(build, tmp_path, monkeypatch):
    """Weights of 8 MB, read row by row and column by column: 256 kB of bits and chunks of 64 kB."""
    monkeypatch.setattr(bits_module, "CHUNK_BYTES", 1 << 16)
    model = build().eval()
    save_file(model.state_dict(), tmp_path / "m.safetensors")
    x = torch.zeros(1, 1024) if isinstance(model, nn.Linear) else torch.zeros(1, 3, dtype=torch.long)
    graph = pa.to_graph(model, x)
    tensors = pa.open_checkpoint(tmp_path)
    bits_module.stream_bits(graph, tensors, lambda *told: None)
    tracemalloc.start()
    try:
        bits = bits_module.stream_bits(graph, tensors, lambda *told: None)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    np.testing.assert_array_equal(bits, graph.bits)
    assert peak < (1 << 18) + 6 * (1 << 16)


MEMORY = """
import sys, torch
from torch import nn
import prune_adapters as pa
sys.path.insert(0, sys.argv[2])
from inspect_checkpoint import peak_bytes

def build():
    return nn.Sequential(*(nn.Linear(4096, 4096, bias=False) for _ in range(6)))

with torch.device("meta"):
    model = build()
pa.checkpoint_graph(nn.Sequential(model[0]), torch.zeros(1, 4096), sys.argv[1] + "/one")
before = peak_bytes()
pa.inspect_checkpoint(model, torch.zeros(1, 4096), sys.argv[1] + "/six")
print(peak_bytes() - before)
"""


@pytest.mark.slow
def test_memory_of_the_process_stays_below_the_largest_tensor_and_the_masks(tmp_path):
    """Six bfloat16 tensors of 34 MB each; a first small report has brought in what torch.export needs."""
    for name, count in (("one", 1), ("six", 6)):
        (tmp_path / name).mkdir()
        weight = torch.ones(4096, 4096, dtype=torch.bfloat16)
        save_file({f"{i}.weight": weight.clone() for i in range(count)}, tmp_path / name / "m.safetensors")
    command = [sys.executable, "-c", MEMORY, str(tmp_path), str(EXAMPLES)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 4096 * 4096 * (2 + 6 / 8)
