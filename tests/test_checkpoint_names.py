"""Names in a checkpoint: prefixes, tied parameters, and checkpoints of other models."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

import prune_adapters as pa
from checkpointed import X, check_same, graph_of, mlp, on_meta, saved_mlp, sparse
from networks import MLP
from prune_adapters.checkpoint import names as names_module

folder = pytest.fixture(saved_mlp)


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "model.", "module._orig_mod.", "_orig_mod.module.model."])
def test_prefixes_of_wrappers_are_seen_through(prefix, tmp_path):
    save_file({prefix + name: value for name, value in mlp().state_dict().items()}, tmp_path / "m.safetensors")

    check_same(graph_of(tmp_path), pa.to_graph(mlp(), X))


class Headed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.model = MLP((6, 8, 3))

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)


def test_a_checkpoint_of_the_model_without_its_head(folder):
    graph = graph_of(folder, build=Headed)

    np.testing.assert_array_equal(graph.bits, pa.to_graph(mlp(), X).bits)


def test_wrapped_models_are_seen_through(folder):
    wrapped = nn.DataParallel(on_meta(mlp))

    check_same(pa.checkpoint_graph(wrapped, X, folder), pa.to_graph(mlp(), X))


def test_a_state_dict_beside_other_things(tmp_path):
    torch.save({"epoch": 3, "state_dict": mlp().state_dict(), "optimizer": {"lr": 0.1}}, tmp_path / "last.pth")

    check_same(graph_of(tmp_path), pa.to_graph(mlp(), X))


class Tied(nn.Module):
    """A language model without a middle, whose output projection is its table."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.head = nn.Embedding(40, 8), nn.Linear(8, 40, bias=False)
        self.head.weight = self.table.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.table(x))


SENTENCE = torch.arange(40)[None]


@pytest.mark.parametrize("gone", [None, "table.weight", "head.weight"])
def test_a_tied_parameter_is_found_under_any_of_its_names(gone, tmp_path):
    torch.manual_seed(0)
    model = sparse(Tied())
    save_file({n: v.clone() for n, v in model.state_dict().items() if n != gone}, tmp_path / "m.safetensors")

    check_same(graph_of(tmp_path, build=Tied, x=SENTENCE), pa.to_graph(model, SENTENCE))


def test_a_tied_parameter_with_two_values(tmp_path, monkeypatch):
    monkeypatch.setattr(names_module, "CHUNK_BYTES", 64)
    state = {name: value.clone() for name, value in Tied().state_dict().items()}
    state["head.weight"][-1, -1] += 1
    save_file(state, tmp_path / "m.safetensors")

    with pytest.raises(pa.CheckpointError, match=r"'table\.weight' and 'head\.weight' differ.*without tying"):
        graph_of(tmp_path, build=Tied, x=SENTENCE)


def changed(folder: Path, **tensors: Tensor | None) -> Path:
    """Write the checkpoint again with other tensors (dots in names as double underscores); None takes one out."""
    state = load_file(folder / "model.safetensors")
    state |= {name.replace("__", "."): tensor for name, tensor in tensors.items()}
    save_file({name: value for name, value in state.items() if value is not None}, folder / "model.safetensors")
    return folder


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"layers__0__weight": None}, r"1 of its parameters are missing: 'layers\.0\.weight'; is it another"),
        ({"extra": torch.ones(2)}, r"1 tensors are unexpected: 'extra'; strict=False leaves"),
        ({"layers__0__weight": torch.ones(6, 8)}, r"'layers\.0\.weight': expected shape \(8, 6\), got \(6, 8\)"),
        ({"layers__0__bias": torch.ones(8, dtype=torch.int8)}, r"'layers\.0\.bias': .*got torch\.int8; a quantised"),
    ],
)
def test_a_checkpoint_of_another_model(folder, tensors, message):
    with pytest.raises(pa.CheckpointError, match=message):
        graph_of(changed(folder, **tensors))


def test_unexpected_tensors_are_left_aside_on_request(folder):
    graph = graph_of(changed(folder, extra=torch.ones(2)), strict=False)

    assert graph.notes == ("tensors of the checkpoint left aside: extra",)
    np.testing.assert_array_equal(graph.bits, pa.to_graph(mlp(), X).bits)
