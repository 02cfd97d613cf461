"""Files of checkpoints: shards and their index are found, damaged and foreign files are refused."""

import json
import shutil
import struct
import subprocess
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import prune_adapters as pa
from checkpointed import X, check_same, graph_of, mlp, on_meta, saved_mlp

folder = pytest.fixture(saved_mlp)


def shards(folder: Path, *, ending: str = "safetensors") -> Path:
    """Split the checkpoint of the folder into two files with an index; return the index."""
    state = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    homes = {name: f"model-{1 + i % 2}.{ending}" for i, name in enumerate(state)}
    for home in set(homes.values()):
        part = {name: state[name] for name in state if homes[name] == home}
        (save_file if ending == "safetensors" else torch.save)(part, folder / home)
    index = folder / f"model.{ending}.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": homes}))
    return index


@pytest.mark.parametrize("ending", ["safetensors", "bin"])
def test_shards_are_found_by_the_folder_and_by_their_index(folder, ending):
    index = shards(folder, ending=ending)

    check_same(graph_of(folder), pa.to_graph(mlp(), X))
    check_same(graph_of(index), pa.to_graph(mlp(), X))


def test_a_missing_shard(folder):
    index = shards(folder)
    (folder / "model-2.safetensors").unlink()

    with pytest.raises(pa.CheckpointError, match=r"names model-2\.safetensors, which is not there"):
        pa.open_checkpoint(index)


def test_two_shards_with_the_same_tensor(folder):
    index = shards(folder)
    both = load_file(folder / "model-1.safetensors") | load_file(folder / "model-2.safetensors")
    save_file(both, folder / "model-2.safetensors")

    with pytest.raises(pa.CheckpointError, match=r"lies in both model-1\.safetensors and model-2\.safetensors"):
        pa.open_checkpoint(index)


def test_a_shard_without_a_tensor_that_the_index_places_there(folder):
    index = shards(folder)
    save_file({"other": torch.ones(1)}, folder / "model-2.safetensors")

    with pytest.raises(pa.CheckpointError, match=r"model-2\.safetensors should hold 'layers"):
        pa.open_checkpoint(index)


@pytest.mark.parametrize("text", ["", "[]", '{"weight_map": 3}', "{", '{"metadata": {}}', "\xff"])
def test_an_index_that_is_none(tmp_path, text):
    index = tmp_path / "model.safetensors.index.json"
    index.write_bytes(text.encode("latin-1"))

    with pytest.raises(pa.CheckpointError, match="expected a JSON object with a weight_map"):
        pa.open_checkpoint(index)


@pytest.mark.parametrize("name", ["../model.safetensors", "/model.safetensors", "..", ""])
def test_an_index_names_files_beside_it_only(folder, name):
    index = folder / "a.index.json"
    index.write_text(json.dumps({"weight_map": {"w": name}}))

    with pytest.raises(pa.CheckpointError, match="expected names of files beside it"):
        pa.open_checkpoint(index)


@pytest.mark.parametrize("length", [0, 3, 8, 20, 200, -1])
@pytest.mark.parametrize("ending", ["safetensors", "pt"])
def test_a_file_that_is_cut_short(folder, length, ending):
    torch.save(mlp().state_dict(), folder / "model.pt")
    path = folder / f"model.{ending}"
    path.write_bytes(path.read_bytes()[:length])

    with pytest.raises(pa.CheckpointError, match=rf"model\.{ending}: cut short"):
        pa.open_checkpoint(path)


def test_a_file_that_is_cut_after_it_was_opened(folder):
    opened = pa.open_checkpoint(folder)
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])

    with pytest.raises(pa.CheckpointError, match="ends inside tensor"):
        pa.checkpoint_graph(on_meta(mlp), X, opened)


def test_a_pickle_that_would_run_code(tmp_path):
    torch.save({"weight": torch.ones(2), "hook": subprocess.run}, tmp_path / "m.pt")

    with pytest.raises(pa.CheckpointError, match="more than tensors in plain containers"):
        pa.open_checkpoint(tmp_path)


def test_a_type_that_tells_no_zeros(tmp_path):
    head = json.dumps({"w": {"dtype": "F4", "shape": [4], "data_offsets": [0, 2]}}).encode()
    (tmp_path / "m.safetensors").write_bytes(struct.pack("<Q", len(head)) + head + b"\0\0")

    with pytest.raises(pa.CheckpointError, match=r"tensor 'w': expected a type among F64.*got F4"):
        pa.open_checkpoint(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"), [(3, "expected a state dict, got int"), ({"a": 1}, "under 'state_dict'.*got keys 'a'")]
)
def test_a_file_of_torch_without_a_state_dict(tmp_path, content, message):
    torch.save(content, tmp_path / "m.pt")

    with pytest.raises(pa.CheckpointError, match=message):
        pa.open_checkpoint(tmp_path)


def test_folders_with_no_checkpoint_or_several(folder):
    with pytest.raises(pa.CheckpointError, match=r"no checkpoint there; expected one of \*\.safetensors\.index\.json"):
        pa.open_checkpoint(Path(__file__).parent)
    shutil.copy(folder / "model.safetensors", folder / "other.safetensors")
    with pytest.raises(pa.CheckpointError, match=r"got 2 \(model\.safetensors, other\.safetensors\); name the one"):
        pa.open_checkpoint(folder)
    with pytest.raises(FileNotFoundError):
        pa.open_checkpoint(folder / "none.safetensors")


def test_tensors_come_as_they_were_saved(folder):
    opened, state = pa.open_checkpoint(folder), mlp().state_dict()

    assert set(opened) == set(state)
    assert opened.nbytes == sum(value.nbytes for value in state.values())
    for name, value in state.items():
        torch.testing.assert_close(opened.tensor(name), value, rtol=0, atol=0)
