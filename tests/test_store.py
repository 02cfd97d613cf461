"""Masks on disk: round trips, and what happens to files that are damaged or of another kind."""

import json
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import load_file, save_file
from torch import nn

import prune_adapters as pa

CRC = zlib.crc32(b'["weight", [2, 3]]' + bytes([0b100101]))
SHAPES = [(), (0,), (3, 0, 2), (1,), (7,), (8,), (9, 1), (4, 3, 3, 3), (130, 65)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "masks.safetensors"


@pytest.fixture
def saved(path: Path) -> Path:
    """A file with a good mask for a linear layer of three inputs and two outputs."""
    pa.save_masks(path, {"weight": torch.tensor([[True, False, True], [False, False, True]])}, seed=3)
    return path


def drawn(seed: int) -> dict[str, torch.Tensor]:
    draw = torch.Generator().manual_seed(seed)
    return {f"z{len(SHAPES) - i}.w": torch.rand(shape, generator=draw) < 0.3 for i, shape in enumerate(SHAPES)}


def header(shape: list[int], name: bytes = b'["weight", [2, 3]]') -> str:
    """Return the records of a file in which the shape was changed, with the checksum for `name`."""
    return json.dumps({"weight": {"shape": shape, "crc32": zlib.crc32(name + bytes([0b100101]))}})


def rewritten(path: Path, tensors: dict[str, np.ndarray], **changed: str | None) -> None:
    """Write the file again, with other tensors or another header."""
    with safe_open(path, framework="numpy") as file:
        head = file.metadata() | changed
    save_file(tensors, path, metadata={key: value for key, value in head.items() if value is not None})


def test_drawn_file(saved: Path) -> None:
    with safe_open(saved, framework="numpy") as file:
        bits, head = file.get_tensor("weight"), file.metadata()

    assert bits.tolist() == [0b100101]
    assert json.loads(head["masks"])["weight"] == {"shape": [2, 3], "kept": 3, "crc32": CRC}
    assert json.loads(head["metadata"]) == {"seed": 3}


@pytest.mark.parametrize("seed", range(5))
def test_round_trip_keeps_every_bit_and_the_order(path: Path, seed: int) -> None:
    masks = drawn(seed)
    pa.save_masks(path, masks)
    found = pa.load_masks(path)

    assert list(found) == list(masks)
    for name, mask in masks.items():
        torch.testing.assert_close(found[name], mask, rtol=0, atol=0)


def test_a_weight_takes_a_bit(path: Path) -> None:
    pa.save_masks(path, {"weight": torch.rand(400, 500) < 0.5})

    assert 400 * 500 // 8 < path.stat().st_size < 400 * 500 // 8 + 500


def test_other_memory_layouts_are_saved_in_flat_order(path: Path) -> None:
    mask = (torch.rand(2, 3, 4, 5) < 0.5).to(memory_format=torch.channels_last)
    pa.save_masks(path, {"weight": mask, "transposed": mask[0, 0].T})
    found = pa.load_masks(path)

    torch.testing.assert_close(found["weight"], mask.contiguous())
    torch.testing.assert_close(found["transposed"], mask[0, 0].T.contiguous())


def test_masks_of_a_model_go_through_a_file_into_another(path: Path) -> None:
    model, other = (nn.Sequential(nn.Linear(8, 6), nn.Linear(6, 3)) for _ in range(2))
    masks = pa.masks_from_scores(pa.magnitude_scores(model), sparsity=0.5)
    pa.save_masks(path, pa.remembered_masks(pa.apply_masks(model, masks)), sparsity=masks.sparsity, tags=("a", None))
    stored = pa.load_masks(path, model=other)
    pa.apply_masks(other, stored)

    torch.testing.assert_close(pa.remembered_masks(other), dict(masks))
    assert stored.metadata == {"sparsity": 0.5, "tags": ["a", None]}


def test_names_of_wrappers_become_those_of_the_model(path: Path) -> None:
    pa.save_masks(path, {"module.weight": torch.ones(2, 3, dtype=torch.bool)})

    assert list(pa.load_masks(path, model=nn.Linear(3, 2))) == ["weight"]


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (nn.Linear(2, 3), r"masks.safetensors: masks of another model: mask for 'weight': expected shape \(3, 2\)"),
        (nn.Sequential(nn.Linear(3, 2)), r"masks of another model: no parameter 'weight'; the model has '0.weight'"),
    ],
)
def test_masks_of_another_model(saved: Path, model: nn.Module, message: str) -> None:
    with pytest.raises(pa.MaskError, match=message):
        pa.load_masks(saved, model=model)


@pytest.mark.parametrize(
    ("masks", "metadata", "message"),
    [
        ({"w": torch.ones(2)}, {}, r"mask for 'w': expected a tensor of dtype torch.bool, got torch.float32; use mask"),
        ({"w": np.ones(2, bool)}, {}, r"mask for 'w': expected a tensor of dtype torch.bool, got ndarray"),
        ({}, {"model": nn.Linear(1, 1)}, r"metadata: expected what JSON can hold, got \['model'\] \(Object of type"),
        ({}, {"loss": float("nan")}, r"metadata: expected what JSON can hold, got \['loss'\]"),
    ],
)
def test_what_cannot_be_saved_leaves_the_old_file(saved: Path, masks: dict, metadata: dict, message: str) -> None:
    before = saved.read_bytes()

    with pytest.raises(ValueError, match=message):
        pa.save_masks(saved, masks, **metadata)
    assert saved.read_bytes() == before
    assert list(saved.parent.iterdir()) == [saved]


def test_a_missing_file_is_an_os_error(path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        pa.load_masks(path)
    with pytest.raises(OSError):  # noqa: PT011 a folder: the message is that of the system
        pa.load_masks(path.parent)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x80\x02}q\x00.", b"\xff" * 64, b"[1, 2]"])
def test_foreign_files(path: Path, content: bytes) -> None:
    path.write_bytes(content)

    with pytest.raises(pa.MaskFileError, match=r"masks.safetensors: damaged, or no file of save_masks"):
        pa.load_masks(path)


def test_a_safetensors_file_of_weights(path: Path) -> None:
    save_file({"weight": np.zeros(3, np.float32)}, path)

    with pytest.raises(pa.MaskFileError, match=r"no file of save_masks \(a safetensors file with format None\)"):
        pa.load_masks(path)


def test_every_cut_and_every_flipped_byte_is_noticed(saved: Path) -> None:
    """A byte of the header may be harmless, in a number that is not read; then the masks are the right ones."""
    content, good = saved.read_bytes(), pa.load_masks(saved)
    for place in range(len(content)):
        flipped = [content[:place] + bytes([content[place] ^ bits]) + content[place + 1 :] for bits in (1, 7, 0x15)]
        for damaged in (content[:place], *flipped):
            saved.write_bytes(damaged)
            try:
                found = pa.load_masks(saved)
            except pa.MaskFileError:
                continue
            assert len(damaged) == len(content)
            assert [mask.tolist() for mask in found.values()] == [mask.tolist() for mask in good.values()]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"version": "2"}, r"expected format version 1, got 2; update prune_adapters to read it"),
        ({"version": None}, r"damaged, or no file of save_masks \('version'\)"),
        ({"masks": "{}"}, r"damaged: the header lists \[\], the file holds \['weight'\]"),
        ({"masks": header([2, 4])}, r"mask for 'weight': damaged, the checksum does not fit"),
        ({"masks": header([9], b'["weight", [9]]')}, r"damaged, 1 bytes do not hold the shape \[9\]"),
        ({"masks": header([-2, -3], b'["weight", [-2, -3]]')}, r"masks.safetensors: damaged, or no file of save_masks"),
        ({"masks": '{"weight": 1}'}, r"damaged, or no file of save_masks"),
        ({"metadata": "["}, r"damaged, or no file of save_masks"),
    ],
)
def test_damaged_headers(saved: Path, changed: dict[str, str | None], message: str) -> None:
    rewritten(saved, load_file(saved), **changed)

    with pytest.raises(pa.MaskFileError, match=message):
        pa.load_masks(saved)


def test_mask_file_errors_are_value_errors() -> None:
    assert issubclass(pa.MaskFileError, ValueError)
    assert issubclass(pa.MaskFileError, pa.PruneAdaptersError)
