"""Models as ONNX files and programs of torch.export: the outputs of the model, other batch sizes, clear errors."""

import copy
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import prune_adapters as pa
from compacting import compacted, randomized, whole_masks
from networks import CASES, MobileNetV2, ResNet, TorchViT, ViT, edge_names
from networks.residual import BasicBlock
from oracle import random_masks
from prune_adapters.compact.border import ConstantConv2d
from prune_adapters.compact.counted import CountedGroupNorm, CountedLayerNorm, CountedRMSNorm
from prune_adapters.compact.heads import FewerHeads
from prune_adapters.compact.rebuild import shrink
from prune_adapters.export import compare, onnx_file
from prune_adapters.export.inputs import Inputs
from prune_adapters.export.onnx_file import OnnxSession, missing_libraries
from smaller import padded_pair

needs_onnx = pytest.mark.skipif(bool(missing_libraries()), reason=f"not installed: {missing_libraries()}")
Subject = tuple[nn.Module, object, set[type]]
"""A model, example inputs, and types of ours that it must hold."""


def pruned(model: nn.Module, inputs: object, density: float = 0.3) -> Subject:
    """Return a network compacted under random masks."""
    model = randomized(model, 0).eval()
    return compacted(model, random_masks(model, edge_names(model), density, seed=0), inputs), inputs, set()


def network(name: str) -> Subject:
    """Return a network of the list, compacted."""
    return pruned(CASES[name].model(0), CASES[name].inputs())


def residual() -> Subject:
    return pruned(ResNet(BasicBlock, (1, 1), width=8, stem="cifar"), torch.randn(1, 3, 12, 12))


def mobile() -> Subject:
    model = MobileNetV2(((1, 8, 1, 1), (4, 8, 1, 2)), stem=8, head=24, classes=10)
    return pruned(model, torch.randn(1, 3, 16, 16))


def vision() -> Subject:
    model = ViT(image=8, patch=4, dim=16, depth=1, heads=2, hidden=24, classes=5)
    return pruned(model, torch.randn(1, 3, 8, 8))


def constants() -> Subject:
    """Return a convolution that has lost a constant channel behind its zero padding."""
    model, masks = padded_pair()
    x = torch.randn(1, 1, 5, 5)
    return compacted(model.float(), masks, x), x, {ConstantConv2d}


def heads() -> Subject:
    """Return an encoder layer of torch that has lost a head."""
    model, x = randomized(TorchViT(depth=1), 0).eval(), torch.randn(1, 3, 8, 8)
    masks = whole_masks(model)
    masks["layers.0.self_attn.out_proj.weight"][:, 8:] = False
    return compacted(model, masks, x), x, {FewerHeads}


class Norms(nn.Module):
    """Norms that have lost channels: of a layer and of its root mean square on vectors, of groups on images."""

    def __init__(self) -> None:
        super().__init__()
        keep = torch.tensor([1, 0, 1, 1, 0, 1, 0, 0, 1, 1, 1, 1], dtype=torch.bool).numpy()
        self.layer, self.rms, self.group = nn.LayerNorm(12), nn.RMSNorm(12), nn.GroupNorm(4, 12)
        for norm in (self.layer, self.rms, self.group):
            shrink(norm, keep, keep, torch.linspace(-1, 3, 12).double().numpy())

    def forward(self, x: Tensor, image: Tensor) -> dict[str, Tensor]:
        return {"layer": self.layer(x), "rms": self.rms(x), "group": self.group(image)}


def norms() -> Subject:
    types = {CountedGroupNorm, CountedLayerNorm, CountedRMSNorm}
    return randomized(Norms(), 0).eval(), (torch.randn(2, 8), torch.randn(2, 8, 3, 4)), types


def dense_with_masks() -> Subject:
    model, x = randomized(CASES["lenet"].model(0), 0), CASES["lenet"].inputs()
    return pa.apply_masks(model, random_masks(model, edge_names(model), 0.2, seed=0)), x, set()


def sparsified() -> Subject:
    """Return sparse and regular layers, a convolution among them."""
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 16, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 4)]
    model, x = nn.Sequential(*layers), torch.randn(1, 3, 4, 4)
    blocks = torch.eye(4, dtype=torch.bool).repeat_interleave(8, 0).repeat_interleave(16, 1)
    masks = {"0.weight": torch.rand(16, 3, 3, 3) < 0.3, "3.weight": blocks, "5.weight": torch.rand(4, 32) < 0.2}
    pa.sparsify(model, masks, policy={"0": "sparse", "3": "regular", "5": "sparse"})
    return model, x, {pa.SparseConv2d, pa.RegularLinear, pa.SparseLinear}


SUBJECTS: dict[str, Callable[[], Subject]] = {
    "mlp": lambda: network("mlp"),
    "resnet": residual,
    "mobilenet": mobile,
    "vit": vision,
    "two inputs": lambda: network("two_inputs"),
    "named inputs": lambda: network("named_inputs"),
    "tied embedding": lambda: network("tied_embedding"),
    "constants": constants,
    "heads": heads,
    "norms": norms,
    "masked": dense_with_masks,
    "sparsified": sparsified,
}
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


class OneSize(nn.Module):
    """Works for one batch size."""

    def forward(self, x: Tensor) -> Tensor:
        return x.reshape(2, 3) + 1


class Counting(nn.Module):
    """Gives something else at each call."""

    calls = 0

    def forward(self, x: Tensor) -> Tensor:
        Counting.calls += 1
        return x * Counting.calls


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


def test_a_report_tells_before_and_after():
    torch.manual_seed(0)
    dense = nn.Sequential(nn.Linear(64, 100), nn.ReLU(), nn.Linear(100, 10))
    masks = {"0.weight": torch.rand(100, 64) < 0.1, "2.weight": torch.rand(10, 100) < 0.1}
    masked = pa.apply_masks(copy.deepcopy(dense), masks)
    report = pa.export_report(dense, masked, torch.ones(2, 64), repeats=2)
    rows = {row.name: row for row in report.rows}
    n_kept = pa.count_parameters(masked)[1]

    assert (rows["parameters"].before, rows["parameters"].after) == (7510, 7510)
    assert (rows["parameters not 0"].before, rows["parameters not 0"].after) == (7510, n_kept)
    assert (rows["multiply-adds"].before, rows["multiply-adds not 0"].after) == (2 * 7400, 2 * (n_kept - 110))
    assert rows["safetensors"].ratio == 1
    assert rows["sparse safetensors"].ratio > 5
    assert rows["safetensors, zipped"].ratio > 3
    assert 0 < rows["torch"].after < 1
    assert report.to_dict()["rows"][0] == {
        "name": "parameters",
        "unit": "",
        "before": 7510,
        "after": 7510,
        "ratio": 1.0,
    }
    lines = str(report).splitlines()
    assert lines[0].split() == ["figure", "before", "after", "ratio"]
    assert lines[len(rows) + 1].startswith("times: cpu (")
    assert ("onnxruntime" in rows) == ("ONNX" in rows) == (not missing_libraries())


def test_a_table_prints_three_digits_in_the_unit_of_the_larger_side():
    rows = [
        *(pa.ExportRow("count", "", 12345678, 9), pa.ExportRow("file", "bytes", 46758912, 65432)),
        *(pa.ExportRow("small file", "bytes", 12, None), pa.ExportRow("time", "s", 0.0464, 0.000149)),
        *(pa.ExportRow("short", "s", 4.7e-5, 0.0), pa.ExportRow("none", "s", None, None)),
    ]
    lines = str(pa.ExportReport("a machine", tuple(rows))).splitlines()

    assert [line.split("  ")[0] for line in lines] == ["figure", *(row.name for row in rows), "times: a machine"]
    assert [" ".join(line.removeprefix(row.name).split()) for line, row in zip(lines[1:], rows, strict=False)] == [
        "12,345,678 9 1371742.00x",
        "46.8 MB 0.065 MB 714.62x",
        "0.012 kB - -",
        "46.4 ms 0.149 ms 311.41x",
        "47.0 us 0.000 us -",
        "- - -",
    ]


def test_a_report_goes_on_without_the_libraries(monkeypatch):
    monkeypatch.setattr(onnx_file, "_is_there", lambda name: False)
    report = pa.export_report(nn.Linear(4, 4), nn.Linear(4, 2), torch.ones(1, 4), latency=False)

    assert report.notes == (
        "onnx, onnxscript, onnxruntime not installed: no ONNX; pip install netgraph-pruning[export]",
    )
    assert not any("ONNX" in row.name for row in report.rows)


@needs_onnx
def test_a_report_says_which_network_cannot_be_exported():
    report = pa.export_report(nn.Linear(4, 4), Counting(), torch.ones(1, 4), latency=False)
    rows = {row.name: row for row in report.rows}

    assert rows["ONNX"].after is None
    assert rows["ONNX"].ratio is None
    assert report.notes[0].startswith("pruned: export_onnx: output 0 on the example inputs differs")
    assert os.linesep not in report.notes[0]
