"""Models as ONNX files and programs of torch.export: the outputs of the model, any batch size, no source."""

import copy
from pathlib import Path

import pytest
import torch

import prune_adapters as pa
from exported import SUBJECTS, dense_with_masks, needs_onnx, network
from networks import CASES
from prune_adapters.export import compare
from prune_adapters.export.inputs import Inputs
from prune_adapters.export.onnx_file import OnnxSession

LIKE_OTHERS = {"mlp", "resnet", "two inputs", "tied embedding"}
"""ONNX takes a second for each; the networks of the list, for which it takes minutes, hold them all."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.pt2"


@pytest.mark.parametrize("name", SUBJECTS)
def test_a_program_runs_as_the_model_does(name, path, caplog):
    model, example, types = SUBJECTS[name]()
    before = copy.deepcopy(model.state_dict())
    pa.export_program(model, example, path)
    inputs = Inputs.of(example, model, dynamic_batch=True).sized(5).drawn(7)
    program = torch.export.load(path).module()

    assert types <= {type(module) for module in model.modules()}
    assert [record.message for record in caplog.records if record.levelname == "WARNING"] == []
    torch.testing.assert_close(program(*inputs.args, **inputs.kwargs), model.eval()(*inputs.args, **inputs.kwargs))
    torch.testing.assert_close(model.state_dict(), before, rtol=0, atol=0)


@needs_onnx
@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.slow] if n in LIKE_OTHERS else []) for n in SUBJECTS]
)
def test_onnxruntime_computes_what_the_model_does(name, path):
    model, example, _ = SUBJECTS[name]()
    written = pa.export_onnx(model, example, path)
    inputs = Inputs.of(example, model, dynamic_batch=True).sized(5).drawn(7)
    expected = compare.outputs(model.eval(), inputs)

    assert written == [path]
    for found, right in zip(OnnxSession(path).outputs(inputs), expected, strict=True):
        assert compare.difference(found, right) < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("export", [pa.export_program, pytest.param(pa.export_onnx, marks=needs_onnx)])
@pytest.mark.parametrize("name", CASES)
def test_every_network_of_the_list_is_exported(name, export, path):
    model, example, _ = network(name)
    export(model, example, path)

    assert path.exists()


@needs_onnx
def test_weights_go_into_a_second_file_and_nothing_of_the_source_into_any(path):
    model, example, _ = SUBJECTS["mlp"]()
    path.write_bytes(b"old")
    written = pa.export_onnx(model, example, path, external_data=True)
    content = b"".join(each.read_bytes() for each in written)

    assert written == [path, path.with_name("model.pt2.data")]
    assert sorted(each.name for each in path.parent.iterdir()) == ["model.pt2", "model.pt2.data"]
    assert len(OnnxSession(path).outputs(Inputs.of(example, model, dynamic_batch=True))) == 1
    assert b"batch" in content
    assert b".py" not in content
    assert b"networks" not in content


def test_a_program_tells_neither_the_source_nor_the_example(path):
    example = torch.full((1, 12), 123.0)
    pa.export_program(SUBJECTS["mlp"]()[0], example, path)

    assert b".py" not in path.read_bytes()
    assert torch.export.load(path).example_inputs is None
    assert example.numpy().tobytes() not in path.read_bytes()


@needs_onnx
def test_the_training_mode_and_masks_of_the_model_stay(path):
    model, example, _ = dense_with_masks()
    model.train()
    pa.export_onnx(model, example, path, check=False, dynamic_batch=False)

    assert model.training
    assert len(pa.remembered_masks(model)) == 5
    assert OnnxSession(path).session.get_inputs()[0].shape == [1, 1, 28, 28]
