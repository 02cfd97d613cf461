"""What export holds an exported model to: outputs compared, random inputs, and errors that say what differs."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import prune_adapters as pa
from exported import Counting, needs_onnx
from prune_adapters.export import compare, onnx_file
from prune_adapters.export.inputs import Inputs


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.pt2"


class OneSize(nn.Module):
    """Works for one batch size."""

    def forward(self, x: Tensor) -> Tensor:
        return x.reshape(2, 3) + 1


@pytest.mark.parametrize("export", [pa.export_program, pytest.param(pa.export_onnx, marks=needs_onnx)])
def test_a_fixed_batch_is_told_and_can_be_asked_for(export, path):
    with pytest.raises(pa.ExportError, match=rf"{export.__name__}: torch\.export cannot follow.*dynamic_batch=False"):
        export(OneSize(), torch.ones(2, 3), path)
    assert list(path.parent.iterdir()) == []

    export(OneSize(), torch.ones(2, 3), path, dynamic_batch=False)
    assert path.exists()


@pytest.mark.parametrize("export", [pa.export_program, pytest.param(pa.export_onnx, marks=needs_onnx)])
def test_other_outputs_are_told_and_the_old_file_stays(export, path):
    path.write_bytes(b"old")

    with pytest.raises(pa.ExportError, match=r"output 0 on the example inputs differs from the model's by \d.* of its"):
        export(Counting(), torch.ones(2, 3), path)
    assert path.read_bytes() == b"old"
    assert [each.name for each in path.parent.iterdir()] == ["model.pt2"]


@needs_onnx
def test_the_first_node_that_differs_is_named(path, monkeypatch):
    import onnx_ir

    write = torch.onnx.export

    def damaged(*args, **options):
        program = write(*args, **options)
        bias = program.model.graph.initializers["2.bias"]
        bias.const_value = onnx_ir.tensor(bias.const_value.numpy() + 1)
        return program

    monkeypatch.setattr(torch.onnx, "export", damaged)
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2), nn.ReLU())

    with pytest.raises(pa.ExportError, match=r"differs .* first at node 'node_linear_1' \(Gemm\).*by 1"):
        pa.export_onnx(model, torch.ones(1, 3), path)
    assert not path.exists()


@needs_onnx
def test_what_onnxruntime_cannot_run_is_told(path):
    with pytest.raises(pa.ExportError, match=r"onnxruntime cannot run the model.*float32, or pass check=False"):
        pa.export_onnx(nn.Conv2d(1, 1, 1).bfloat16(), torch.ones(1, 1, 2, 2, dtype=torch.bfloat16), path)


def test_missing_libraries_are_named(path, monkeypatch):
    monkeypatch.setattr(onnx_file, "_is_there", lambda name: name != "onnxruntime")

    with pytest.raises(ImportError, match=r"export_onnx: onnxruntime not installed; pip install .*\[export\]"):
        pa.export_onnx(nn.Linear(1, 1), torch.ones(1, 1), path)


def test_no_batch_is_told(path):
    with pytest.raises(ValueError, match=r"dynamic_batch=True: expected a tensor with a batch first .* got \(\)"):
        pa.export_program(nn.Identity(), torch.tensor(1.0), path)


def test_inputs_of_another_type_are_told(path):
    with pytest.raises(ValueError, match=r"example input 0: expected torch\.float32 as the model, got torch\.float64"):
        pa.export_program(nn.Linear(1, 1), torch.ones(1, 1).double(), path)


def test_a_missing_folder_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        pa.export_program(nn.Linear(1, 1), torch.ones(1, 1), tmp_path / "nowhere" / "model.pt2")


@pytest.mark.parametrize(
    ("found", "expected", "apart"),
    [
        ([1.0, 5.0], [1.0, 4.0], 0.25),
        ([1.0, float("nan")], [1.0, float("nan")], 0.0),
        ([1.0, 2.0], [1.0, float("nan")], float("inf")),
        ([float("inf")], [float("inf")], 0.0),
        ([float("inf")], [-float("inf")], float("inf")),
        ([0.0], [0.0], 0.0),
        ([1.0], [1.0, 1.0], float("inf")),
        ([], [], 0.0),
    ],
)
def test_differences_by_hand(found, expected, apart):
    assert compare.difference(torch.tensor(found), torch.tensor(expected)) == apart


def test_integers_must_be_the_same():
    assert compare.difference(torch.tensor([1, 2]), torch.tensor([1, 2])) == 0
    assert compare.difference(torch.tensor([1, 2]), torch.tensor([1, 3])) == float("inf")


def test_random_inputs_are_like_the_example():
    ids, floats = torch.tensor([[3, 9, 3]]), torch.full((1, 1000), 5.0)
    mask, causal = torch.tensor([[True, False]]), torch.tensor([0.0, -float("inf")])
    drawn = Inputs.of((ids, floats, mask, causal), nn.Identity(), dynamic_batch=True).sized(2).drawn(0).args

    assert [tuple(t.shape) for t in drawn] == [(2, 3), (2, 1000), (2, 2), (2,)]
    assert set(drawn[0].flatten().tolist()) <= {3, 9}
    np.testing.assert_allclose([drawn[1].mean(), drawn[1].std()], [5, 1], atol=0.1)
    torch.testing.assert_close(drawn[2], mask.repeat(2, 1))
    torch.testing.assert_close(drawn[3], causal)
