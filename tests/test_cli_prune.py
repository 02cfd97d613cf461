"""`netgraph prune`, `compact` and `export`: what they write is what the library reads."""

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file

import prune_adapters as pa
from cli_calls import NETS, called, document, folder_of_nets, good
from prune_adapters.cli.methods import METHODS

PRUNE = ("prune", "nets.py:pair", "--sparsity", "0.75", "-o", "masks.safetensors")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return folder_of_nets(tmp_path, monkeypatch)


def net() -> torch.nn.Module:
    names: dict = {}
    exec(NETS, names)
    return names["net"]()


@pytest.mark.parametrize("scores", ["magnitude", "random", "synflow", "path", "snip", "grasp"])
def test_masks_in_one_shot(scores: str, here: Path) -> None:
    data = ("--data", "nets.py:batch") if scores in ("snip", "grasp") else ()
    found = document(*PRUNE, "--scores", scores, *data)
    masks = pa.load_masks(here / "masks.safetensors", model=net())

    assert (found["kept"], found["consistent"], found["total"]) == (48, 48, 192)
    assert sum(int(mask.sum()) for mask in masks.values()) == 48
    assert masks.metadata["by"] == scores


def test_masks_are_those_of_the_library(here: Path) -> None:
    good(*PRUNE)
    expected = pa.prune(net(), torch.zeros(1, 8), sparsity=0.75)
    masks = pa.load_masks(here / "masks.safetensors")

    torch.testing.assert_close(dict(masks), dict(expected))


def test_scores_of_data_are_those_of_the_library(here: Path) -> None:
    line = ("--scores", "grasp", "--data", "nets.py:squares", "--set", "temperature=1", "--set", "batch_size=4")
    good(*PRUNE, *line)
    model, x, loss = net(), torch.ones(6, 8), torch.nn.functional.mse_loss
    scores = pa.grasp_scores(model, (x, torch.zeros(6, 4)), loss=loss, temperature=1)
    expected = pa.prune(model, x, sparsity=0.75, method=scores)

    torch.testing.assert_close(dict(pa.load_masks(here / "masks.safetensors")), dict(expected))


def test_one_regular_graph_masks_all_layers_but_the_ends(here: Path) -> None:
    line = ("prune", "nets.py:deep", "--sparsity", "0.8", "-o", "masks.safetensors", "--scores", "regular")
    found = document(*line, "--set", "n_nodes=8", "--set", "steps=50")
    masks = pa.load_masks(here / "masks.safetensors")

    assert {name: int(mask.sum()) for name, mask in masks.items()} == {"2.weight": 64}
    assert (found["kept"], found["consistent"], found["total"], found["requested"]) == (64, 64, 256, 51)
    assert (found["regular"]["nodes"], found["regular"]["degree"]) == (8, 2)
    assert "2-regular graph of 8 nodes" in good(*line, "--set", "n_nodes=8", "--force").stdout


def test_every_method_of_the_library_has_a_name() -> None:
    known = {name for name in pa.__all__ if isinstance(own := getattr(pa, name), type) and issubclass(own, pa.Method)}

    assert {kind for kind, _ in METHODS.values()} == known - {"Method"}


@pytest.mark.filterwarnings("ignore:SelectiveChannelDecay:UserWarning")  # four steps are few
def test_whole_channels_go_while_a_function_trains(here: Path) -> None:
    line = ("--train", "nets.py:train", "--method", "swd-channels", "--set", "weight_decay=1e-3")
    pruned = document("prune", "nets.py:normed", "--sparsity", "0.8", *PRUNE[-2:], *line, "--weights", "w.safetensors")
    own = ("--checkpoint", "w.safetensors", "--masks", "masks.safetensors")
    document("compact", "nets.py:normed", *own, "-o", "small.safetensors")
    seen = document("inspect", "nets.py:normed", "--checkpoint", "small.safetensors")

    assert pruned["kept"] == pruned["requested"] == 244 - 195
    assert [row["units"] for row in seen["layers"]] == [8, 3, 4]


@pytest.mark.filterwarnings("ignore:SelectiveWeightDecay:UserWarning")  # four steps are few
@pytest.mark.parametrize("method", [name for name in METHODS if name != "swd-channels"])
def test_every_method_runs_in_a_training_function(method: str, here: Path) -> None:
    own = {"iterative": ("--set", "rounds=1"), "tcmp": ("--set", "every=1"), "swd": ("--set", "weight_decay=1e-3")}
    line = (*PRUNE, "--train", "nets.py:train", "--method", method, "--weights", "w.safetensors")
    found = document(*line, *own.get(method, ()))
    weights, masks = load_file(here / "w.safetensors"), pa.load_masks(here / "masks.safetensors")

    assert found["returned"] == {"loss": 0.5}
    assert found["kept"] == 48
    assert all(bool((weights[name][~mask] == 0).all()) for name, mask in masks.items())


def test_masks_that_leave_no_path_fail_only_where_that_is_asked_for() -> None:
    line = ("prune", "nets.py:cut", "--sparsity", "1", "-o", "m.safetensors", "--force")

    assert called(*line).exit_code == 0
    assert called(*line, "--fail-if-cut").exit_code == 1


def test_compact_takes_out_what_the_masks_leave_unused(here: Path) -> None:
    good("prune", "nets.py:pair", "--sparsity", "0.9", "-o", "masks.safetensors")
    found = document("compact", "nets.py:pair", "--masks", "masks.safetensors", "-o", "small.safetensors")
    small = pa.load_compacted(here / "small.safetensors", net())
    masked = pa.apply_masks(net(), pa.load_masks(here / "masks.safetensors"))
    x = torch.randn(5, 8)

    assert found["parameters_after"] == sum(p.numel() for p in small.parameters()) < found["parameters_before"]
    torch.testing.assert_close(small(x), masked(x))
    assert "parameters 212 ->" in good("compact", "nets.py:pair", "-o", "same.safetensors").stdout


def test_a_checkpoint_of_torch_gives_the_weights(here: Path) -> None:
    torch.save({name: value + 1 for name, value in net().state_dict().items()}, here / "net.pt")
    good("compact", "nets.py:pair", "--checkpoint", "net.pt", "-o", "small.safetensors")
    small = pa.load_compacted(here / "small.safetensors", net())

    torch.testing.assert_close(small[2].bias, net()[2].bias + 1)


def test_every_command_reads_a_compacted_model(here: Path) -> None:
    good("prune", "nets.py:pair", "--sparsity", "0.9", "-o", "masks.safetensors")
    good("compact", "nets.py:pair", "--masks", "masks.safetensors", "-o", "small.safetensors")
    own = ("nets.py:pair", "--checkpoint", "small.safetensors")
    small = pa.load_compacted(here / "small.safetensors", net())
    seen = document("inspect", *own, "--threshold", "0", "--collapse")
    again = ("--sparsity", "0.8", "-o", "fewer.safetensors", "--train", "nets.py:train", "--weights", "w.safetensors")
    pruned = document("prune", *own, *again)
    line = ("--checkpoint", "w.safetensors", "--masks", "fewer.safetensors")
    smaller = document("compact", "nets.py:pair", *line, "-o", "smaller.safetensors")
    document("export", "nets.py:pair", *line, "-o", "sparse.safetensors")
    trained = pa.load_compacted(here / "w.safetensors", net())

    assert [row["units"] for row in seen["layers"]] == [8, small[2].in_features, 4]
    assert seen["total"]["weights"] == pruned["total"] == small[0].weight.numel() + small[2].weight.numel()
    assert smaller["parameters_before"] > smaller["parameters_after"]
    assert pa.load_compacted(here / "smaller.safetensors", net())[2].in_features < 16
    torch.testing.assert_close(pa.load_sparse(here / "sparse.safetensors", small)[2].weight, trained[2].weight)


def test_every_command_reads_sparse_weights(here: Path) -> None:
    masks = pa.prune(net(), torch.zeros(1, 8), sparsity=0.9)
    model = pa.apply_masks(net(), masks)
    (here / "folder").mkdir()
    pa.export_sparse(model, here / "folder" / "sparse.safetensors")
    own = ("nets.py:pair", "--checkpoint", "folder")
    document("compact", *own, "-o", "small.safetensors")
    small, x = pa.load_compacted(here / "small.safetensors", net()), torch.randn(5, 8)

    assert document("inspect", *own)["total"]["kept"] == 19
    torch.testing.assert_close(small(x), model(x))


def test_files_of_a_compacted_model_say_what_they_go_with(here: Path) -> None:
    x = torch.zeros(1, 8)
    small = pa.remove_channels(net(), pa.coupled_channels(net(), x)[:1], x)
    pa.save_compacted(here / "small.safetensors", small)
    pa.export_sparse(small, here / "bits.safetensors")
    other = called("inspect", "nets.py:deep", "--checkpoint", "small.safetensors")
    bits = called("prune", "nets.py:pair", "--sparsity", "0.5", "-o", "m", "--checkpoint", "bits.safetensors")

    assert (other.exit_code, bits.exit_code) == (2, 2)
    assert "MODEL is the dense model that was compacted" in other.stderr
    assert "take the file of netgraph compact" in bits.stderr


@pytest.mark.parametrize("kind", ["onnx", "pt2", "safetensors"])
def test_export_calls_the_function_of_its_format(kind: str, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def write(model: torch.nn.Module, *rest: object, **options: object) -> None:
        path = rest[-1]
        assert isinstance(path, Path)
        path.write_bytes(b"12345")
        seen.append((int((model[0].weight != 0).sum()), len(rest), options))

    names = ("export_onnx", "export_program", "export_sparse")
    room = ModuleType("prune_adapters.export")
    vars(room).update(dict.fromkeys(names, write))
    table = SimpleNamespace(to_dict=lambda: {"machine": "cpu"})
    vars(room)["export_report"] = lambda dense, pruned, inputs: table
    monkeypatch.setitem(sys.modules, "prune_adapters.export", room)
    good(*PRUNE)
    found = document("export", "nets.py:pair", "--masks", "masks.safetensors", "-o", f"net.{kind}")
    document("export", "nets.py:pair", "--masks", "masks.safetensors", "--compact", "--format", kind, "-o", "net.bin")
    measured = document("export", "nets.py:pair", "-o", f"net.{kind}", "--force", "--report")["report"]

    assert measured == {"machine": "cpu"}
    assert (found["format"], found["bytes"]) == (kind, 5)
    assert seen[0][0] < 128
    assert seen[0][1:] == {"onnx": (2, {"check": True}), "pt2": (2, {}), "safetensors": (1, {})}[kind]


def test_export_without_its_room_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "prune_adapters.export", None)
    result = called("export", "nets.py:pair", "-o", "net.onnx")

    assert result.exit_code == 2
    assert "has no prune_adapters.export" in result.stderr


@pytest.mark.parametrize("line", ["prune nets.py:pair --sparsity 0.5", "compact nets.py:pair", "export nets.py:pair"])
def test_no_file_is_replaced_unasked(line: str, here: Path) -> None:
    (here / "net.safetensors").write_text("mine")
    result = called(*line.split(), "-o", "net.safetensors")

    assert result.exit_code == 2
    assert "net.safetensors: this file exists; --force replaces it" in result.stderr
    assert (here / "net.safetensors").read_text() == "mine"


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("prune nets.py:pair -o m", "--sparsity"),
        ("prune nets.py:pair --sparsity 0.5", "--output"),
        ("prune nets.py:pair --sparsity 1.5 -o m", "1.5"),
        ("prune nets.py:pair --sparsity 0.5 -o m --scores snap", "--scores 'snap'"),
        ("prune nets.py:pair --sparsity 0.5 -o m --scope all", "all"),
        ("prune nets.py:pair --sparsity 0.5 -o m --target best", "best"),
        ("prune nets.py:pair --sparsity 0.5 -o m --weights w", "expected --train FUNCTION beside it"),
        ("prune nets.py:pair --sparsity 0.5 -o m --train nets.py:train --scores path", "expected one shot"),
        ("prune nets.py:pair --sparsity 0.5 -o m --scores snip", "expected --data FUNCTION beside it"),
        ("prune nets.py:pair --sparsity 0.5 -o m --data nets.py:batch", "expected --scores snip or grasp beside it"),
        ("prune nets.py:pair --sparsity 0.5 -o m --set power=2", "--scores magnitude has no such setting"),
        ("prune nets.py:pair --sparsity 0.5 -o m --scores path --set pover=2", "did you mean power?"),
        ("prune nets.py:pair --sparsity 0.5 -o m --scores path --set power=two", "--scores path: "),
        ("prune nets.py:pair --sparsity 0.5 -o m --scores snip --data nets.py:half", "targets, loss), got Tensor"),
        ("prune nets.py:pair --sparsity 0.5 -o m --scores snip --data nets.py:labels", "targets as a tensor, got list"),
        ("prune nets.py:pair --sparsity 0.5 -o m --scores snip --data nets.py:torch", "expected a function, got mod"),
        ("prune nets.py:pair --sparsity 0.5 -o m --scores snip --data nets.py:broken", "failed: RuntimeError: out of"),
        ("prune nets.py:pair --sparsity 0.5 -o m --scores snip --data nets.py:short", "as many inputs as targets"),
        ("prune nets.py:deep --sparsity 0.5 -o m --scores regular --scope erk", "expected global"),
        ("prune nets.py:pair --sparsity 0.5 -o m --scores regular", "no linear layer or convolution is left"),
        ("prune nets.py:deep --sparsity 0.5 -o m --scores regular --set n_nodes=word", "--set: "),
        ("prune nets.py:pair --sparsity 0.5 -o m --train nets.py:train --method gradul", "did you mean gradual?"),
        ("prune nets.py:pair --sparsity 0.5 -o m --train nets.py:trai", "did you mean train?"),
        ("prune nets.py:pair --sparsity 0.5 -o m --train nets.py:idle", "expected a call of prepare"),
        ("prune nets.py:pair --sparsity 0.5 -o m --train nets.py:twice", "a run has one method"),
        ("prune nets.py:pair --sparsity 0.5 -o m --train nets.py:train --set beginn=1", "beginn"),
        ("prune nets.py:pair --sparsity 0.5 -o m --train nets.py:train --set begin", "expected name=value"),
        ("prune nets.py:pair --sparsity 0.5 -o m --train nets.py:train --set begin=2", "begin"),
        ("compact nets.py:pair", "--output"),
        ("compact nets.py:pair -o no/small", "there is no folder no"),
        ("compact nets.py:pair -o small --masks other.safetensors", "masks of another model"),
        ("compact nets.py:pair -o small --checkpoint other.safetensors", "take it as --masks"),
        ("export nets.py:pair -o net.tflite", "expected onnx, pt2, safetensors"),
        ("export nets.py:pair -o net --format tf", "--format 'tf': expected onnx"),
    ],
)
def test_a_bad_line_ends_in_a_sentence(line: str, told: str, here: Path) -> None:
    pa.save_masks(here / "other.safetensors", {"fc.weight": torch.tensor([True])})
    result = called(*line.split())

    assert (result.exit_code, result.stdout) == (2, "")
    assert told in result.stderr
    assert "Traceback" not in result.output
    assert sorted(path.name for path in here.iterdir() if path.name in ("m", "w", "small", "net")) == []
