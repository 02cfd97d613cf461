"""Weights on disk without their zeros: exact bits back, the smallest form, damaged files, and files of other models."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

import prune_adapters as pa
from compacting import compacted, randomized
from networks import CASES, edge_names
from oracle import random_masks
from prune_adapters.export.forms import FORMS, packed, unpacked
from prune_adapters.export.sparse import _checksum_of

DTYPES = (
    *(torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.float8_e4m3fn, torch.complex64),
    *(torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool),
)


def drawn(size: int, density: float, seed: int, dtype: torch.dtype = torch.float32) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    values = torch.randint(1, 100, (size,), generator=generator).to(dtype)
    return torch.where(torch.rand(size, generator=generator) < density, values, torch.zeros((), dtype=dtype))


def bits(tensor: Tensor) -> np.ndarray:
    return tensor.reshape(-1).view(torch.uint8).numpy()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.safetensors"


def layer(*, seed: int = 0) -> nn.Linear:
    """Return a layer with 95 % of its weights removed."""
    torch.manual_seed(seed)
    return pa.apply_masks(nn.Linear(32, 32), {"weight": torch.rand(32, 32) < 0.05})


@pytest.fixture
def saved(path: Path) -> Path:
    pa.export_sparse(layer(), path)
    return path


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("density", [0.0, 0.001, 0.05, 0.3, 1.0])
def test_every_dtype_comes_back_bit_for_bit(dtype, density):
    for size in (0, 1, 7, 3000):
        tensor = drawn(size, density, size, dtype)

        np.testing.assert_array_equal(bits(unpacked(packed(tensor), (size,))), bits(tensor))


def test_what_has_a_bit_is_no_zero():
    tensor = torch.tensor([0.0, -0.0, float("nan"), 0.0, float("inf"), 1e-45] + [0.0] * 50)
    stored = packed(tensor)

    assert len(stored.values) == 4
    np.testing.assert_array_equal(bits(unpacked(stored, (56,))), bits(tensor))


@pytest.mark.parametrize("form", FORMS)
def test_each_form_finds_the_places_again(form):
    """By hand: gaps of 254, 255 and 600 lie on both sides of what one byte holds."""
    write, read = FORMS[form]
    kept = np.zeros(2000, dtype=bool)
    kept[np.cumsum([1, 1, 255, 256, 601])] = True

    np.testing.assert_array_equal(read(write(kept), 2000), np.flatnonzero(kept))


def test_gaps_are_written_as_the_text_says():
    kept = np.zeros(700, dtype=bool)
    kept[[0, 2, 258, 699]] = True

    assert FORMS["gaps"][0](kept).tolist() == [0, 1, 255, 0, 255, 185]


def test_the_smallest_form_is_taken():
    for seed, density in enumerate([0.001, 0.01, 0.1, 0.124, 0.126, 0.2, 0.5, 0.9, 0.96, 0.98, 1.0]):
        tensor = drawn(4000, density, seed)
        n_kept = int(tensor.count_nonzero())
        gaps = 4 * n_kept + len(FORMS["gaps"][0]((tensor != 0).numpy()))

        assert packed(tensor).nbytes == min(4 * 4000, 4 * n_kept + 500, gaps)


@pytest.mark.parametrize("name", ["lenet", "mobilenet_v2", "tied_embedding", "vit_class"])
def test_networks_come_back(name, path):
    model = randomized(CASES[name].model(0), 0)
    pa.apply_masks(model, random_masks(model, edge_names(model), 0.1, seed=0))
    pa.export_sparse(model, path)
    again = pa.load_sparse(path, CASES[name].model(1))

    for key, tensor in model.state_dict().items():
        np.testing.assert_array_equal(bits(again.state_dict()[key]), bits(tensor), err_msg=key)


def test_a_file_is_a_little_larger_than_what_it_holds(saved):
    kept = int(layer().weight.count_nonzero())

    assert kept * 5 + 32 * 4 < os.path.getsize(saved) < kept * 5 + 32 * 4 + 700


def test_compacted_networks_come_back_into_a_rebuilt_model(path):
    model = randomized(CASES["vgg_bn"].model(0), 0)
    small = compacted(model, random_masks(model, edge_names(model), 0.05, seed=0), CASES["vgg_bn"].inputs())
    pa.export_sparse(small, path)
    again = pa.load_sparse(path, pa.rebuild(CASES["vgg_bn"].model(1), pa.compact_recipe(small)))

    torch.testing.assert_close(again.state_dict(), small.state_dict(), rtol=0, atol=0)


@pytest.mark.parametrize("sparse_state", [False, True])
def test_sparsified_networks_come_back(path, sparse_state):
    def built(seed: int) -> nn.Module:
        torch.manual_seed(seed)
        model = nn.Sequential(nn.Linear(32, 32))
        pa.sparsify(model, {"0.weight": torch.eye(32, dtype=torch.bool)}, policy="sparse")
        model[0].sparse_state = sparse_state
        return model

    model = built(0)
    pa.export_sparse(model, path)

    torch.testing.assert_close(pa.load_sparse(path, built(1))[0].values, model[0].values, rtol=0, atol=0)


def test_dtypes_are_those_of_the_file_and_meta_tensors_get_memory(path):
    pa.export_sparse(layer().bfloat16(), path)
    with torch.device("meta"):
        empty = nn.Linear(32, 32)

    torch.testing.assert_close(pa.load_sparse(path, empty).weight, layer().weight.bfloat16(), rtol=0, atol=0)


def test_dense_tensors_lie_in_the_file_under_their_names(saved):
    stored = load_file(saved)

    assert stored.keys() == {"weight", "weight/gaps", "bias"}
    torch.testing.assert_close(stored["bias"], layer().bias.detach())


def test_names_of_the_file_and_the_model_must_not_meet(path):
    model = nn.Sequential()
    model.add_module("a", layer())
    model.register_buffer("b", torch.zeros(1))
    model._buffers["a.weight/gaps"] = model._buffers.pop("b")

    with pytest.raises(ValueError, match=r"has a tensor 'a\.weight/gaps', a name that the file needs"):
        pa.export_sparse(model, path)
    assert not path.exists()


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (nn.Linear(32, 31), r"of another model: 'weight': expected shape \(32, 32\) as in the file, got \(31, 32\)"),
        (nn.Linear(32, 32, bias=False), r"the file has a tensor 'bias', which the model has not"),
        (nn.Sequential(nn.Linear(32, 32)), r"the model has a tensor '0\.weight', which the file has not"),
    ],
)
def test_a_file_of_another_model_is_refused(saved, model, message):
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}

    with pytest.raises(pa.SparseFileError, match=message):
        pa.load_sparse(saved, model)
    torch.testing.assert_close(dict(model.state_dict()), before, rtol=0, atol=0)


def rewritten(path: Path, stored: dict[str, Tensor], **changed: str) -> None:
    """Write the file again, with other tensors or another header, whose checksum is right."""
    with safe_open(path, framework="pt") as file:
        head = file.metadata() | changed
    head["crc32"] = changed.get("crc32", _checksum_of(head))
    save_file(stored, path, metadata=head)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"version": "9"}, "expected format version 1, got 9; update prune_adapters"),
        ({"format": "pt"}, "no file of export_sparse .a safetensors file with format 'pt'"),
        ({"crc32": "1"}, "the checksum of the header does not fit"),
        ({"tensors": "{}"}, "the tensors of the file are not those that its header lists"),
        ({"tensors": "["}, "damaged, or no file of export_sparse"),
    ],
)
def test_a_changed_header_is_told(saved, changed, message):
    rewritten(saved, load_file(saved), **changed)

    with pytest.raises(pa.SparseFileError, match=message):
        pa.load_sparse(saved, layer())


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("weight", lambda t: t + 1, "tensor 'weight': damaged, the checksum does not fit"),
        ("weight", lambda t: t[1:], "'weight': damaged, it cannot be unpacked .expected"),
        ("weight/gaps", lambda t: t.flip(0), "tensor 'weight': damaged"),
        ("weight/gaps", lambda t: t + 100, "'weight': damaged, it cannot be unpacked .expected elements below 1024"),
        ("bias", lambda t: t.double(), "tensor 'bias': damaged, the checksum does not fit"),
        ("bias", lambda t: t[1:], "tensor 'bias': damaged"),
    ],
)
def test_a_changed_tensor_is_told(saved, name, change, message):
    stored = load_file(saved)
    rewritten(saved, stored | {name: change(stored[name])})

    with pytest.raises(pa.SparseFileError, match=message):
        pa.load_sparse(saved, layer())


def test_each_damaged_byte_is_told(saved):
    """Every seventh byte: it is told, or the file says the same as before."""
    content, expected = saved.read_bytes(), layer().state_dict()
    for place in range(0, len(content), 7):
        saved.write_bytes(content[:place] + bytes([content[place] ^ 0x21]) + content[place + 1 :])
        try:
            again = pa.load_sparse(saved, nn.Linear(32, 32))
        except pa.SparseFileError:
            continue
        torch.testing.assert_close(again.state_dict(), expected, rtol=0, atol=0)


@pytest.mark.parametrize("length", [0, 5, 100, -3])
def test_a_file_cut_short_is_told(saved, length):
    saved.write_bytes(saved.read_bytes()[:length])

    with pytest.raises(pa.SparseFileError, match="damaged, or no file of export_sparse"):
        pa.load_sparse(saved, layer())


def test_a_missing_file_is_an_os_error(path):
    with pytest.raises(FileNotFoundError):
        pa.load_sparse(path, layer())


def test_an_error_leaves_the_old_file(saved):
    before = saved.read_bytes()
    broken = layer()
    broken.register_buffer("extra", torch.ones(2, device="meta"))

    with pytest.raises(ValueError, match="'extra': expected a tensor with values"):
        pa.export_sparse(broken, saved)
    assert saved.read_bytes() == before
    assert [entry.name for entry in saved.parent.iterdir()] == [saved.name]


def test_the_header_is_what_the_text_says(saved):
    with safe_open(saved, framework="pt") as file:
        head = file.metadata()

    assert (head["format"], head["version"]) == ("prune_adapters.sparse", "1")
    assert [record[:2] for record in json.loads(head["tensors"]).values()] == [[[32, 32], "gaps"], [[32], "dense"]]
