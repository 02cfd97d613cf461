"""Compacted models on disk: round trips, damaged files, and models that the file is not of."""

from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

import prune_adapters as pa
from compacting import compacted, drawn, error, randomized
from networks import CASES
from prune_adapters.compact.recipe_store import _checksum_of
from smaller import is_defined, masks_for, padded_pair, perceptron

QUICK = ["lenet", "vgg_bn", "mobilenet_v2", "vit_mean", "embedding", "tied_embedding", "two_inputs"]


class Tied(nn.Module):
    """Two layers with one weight, between two that become smaller."""

    def __init__(self, *, tied: bool = True) -> None:
        super().__init__()
        self.entry, self.body = nn.Linear(2, 4), nn.Linear(4, 3)
        self.first, self.second = nn.Linear(3, 3), nn.Linear(3, 3)
        if tied:
            self.second.weight = self.first.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.second(torch.relu(self.first(self.body(torch.relu(self.entry(x))))))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "small.safetensors"


@pytest.fixture
def saved(path: Path) -> Path:
    pa.save_compacted(path, small_perceptron())
    return path


def small_perceptron() -> nn.Module:
    model, masks = perceptron()
    return compacted(model, masks, torch.ones(1, 2))


def tied_pair() -> tuple[nn.Module, nn.Module]:
    """Return a model with a shared weight and the model without hidden unit 1."""
    model = Tied()
    return model, compacted(model, {"body.weight": torch.tensor([[True, False, True, True]] * 3)}, torch.ones(1, 2))


def rewritten(path: Path, tensors: dict[str, Tensor], **changed: str) -> None:
    """Write the file again, with other tensors or another header, whose checksum is right."""
    with safe_open(path, framework="pt") as file:
        head = file.metadata() | changed
    head["crc32"] = changed.get("crc32", _checksum_of(head))
    save_file(tensors, path, metadata=head)


def file_error(name: str, sparsity: float, path: Path) -> float:
    """Return by how much the outputs of a network differ behind the file."""
    model, inputs = randomized(CASES[name].model(), 0), CASES[name].inputs()
    small = compacted(model, masks_for(model, sparsity, 0), inputs)
    pa.save_compacted(path, small)
    with torch.device("meta"):
        dense = CASES[name].model(1)
    again = pa.load_compacted(path, dense)
    assert pa.compact_recipe(again) == pa.compact_recipe(small)
    return error(small.eval(), again.eval(), drawn(inputs, 0))


def test_drawn_file(saved: Path):
    with safe_open(saved, framework="pt") as file:
        head, names = file.metadata(), set(file.keys())

    assert names == {"0.weight", "0.bias", "2.weight", "2.bias"}
    assert (head["format"], head["version"], head["shared"]) == ("prune_adapters.compacted", "1", "{}")
    assert pa.Recipe.from_json(head["recipe"]) == pa.compact_recipe(small_perceptron())


@pytest.mark.parametrize("name", QUICK)
def test_a_network_comes_back_to_the_bit(name: str, path: Path):
    assert file_error(name, 0.9, path) == 0


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_every_network_comes_back_to_the_bit(name: str, path: Path):
    for sparsity in (0.3, 0.9, 0.99)[: 3 if is_defined(name, 0.9) else 1]:
        assert file_error(name, sparsity, path) == 0


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_the_dtype_is_that_of_the_file(path: Path, dtype: torch.dtype, device: str):
    model, masks = perceptron()
    small = compacted(model, masks, torch.ones(1, 2)).to(dtype)
    pa.save_compacted(path, small)
    dense = model.to(device).requires_grad_(False)
    again = pa.load_compacted(path, dense)

    for name, tensor in small.state_dict().items():
        torch.testing.assert_close(again.state_dict()[name], tensor, rtol=0, atol=0)
    assert {(p.dtype, p.device.type, p.requires_grad) for p in again.parameters()} == {(dtype, "cpu", False)}
    assert {p.dtype for p in dense.parameters()} == {torch.float32}


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_a_shared_tensor_is_stored_once_and_shared_again(path: Path, device: str):
    model, small = tied_pair()
    small.bfloat16()
    pa.save_compacted(path, small)
    again = pa.load_compacted(path, Tied().to(device) if device == "cpu" else tied_on_meta())

    assert "second.weight" not in load_file(path)
    assert again.second.weight is again.first.weight
    torch.testing.assert_close(dict(again.state_dict()), dict(small.state_dict()), rtol=0, atol=0)
    assert model.second.weight is model.first.weight


def tied_on_meta() -> nn.Module:
    with torch.device("meta"):
        return Tied()


def test_views_and_other_memory_layouts_are_saved_as_what_they_show(path: Path):
    model, masks = padded_pair()
    small = compacted(model, masks, torch.ones(1, 1, 4, 4, dtype=torch.float64)).to(memory_format=torch.channels_last)
    base = torch.arange(4, dtype=torch.float64)
    small[0].bias, small[1].bias = nn.Parameter(base[1:2]), nn.Parameter(base[1:2])
    pa.save_compacted(path, small)

    torch.testing.assert_close(dict(pa.load_compacted(path, model).state_dict()), dict(small.state_dict()))


def test_what_was_loaded_can_be_saved_again(saved: Path):
    tensors, before = load_file(saved), pa.load_compacted(saved, perceptron()[0])
    pa.save_compacted(saved, before)

    torch.testing.assert_close(load_file(saved), tensors, rtol=0, atol=0)
    assert pa.compact_recipe(pa.load_compacted(saved, perceptron()[0])) == pa.compact_recipe(before)


def test_masks_and_wrappers_of_the_dense_model_do_not_matter(saved: Path):
    model, masks = perceptron()
    again = pa.load_compacted(saved, nn.DataParallel(pa.apply_masks(model, masks)))

    assert list(again.state_dict()) == ["0.weight", "0.bias", "2.weight", "2.bias"]


# What cannot be saved


class Noted(nn.Linear):
    """A layer that puts something other than a tensor into the state_dict."""

    def get_extra_state(self) -> str:
        return "note"

    def set_extra_state(self, state: object) -> None:
        assert state == "note"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m.to("meta"), "'0.weight': expected a tensor with values, got one on the meta device; load values"),
        (lambda m: m.append(Noted(2, 2)), "'3._extra_state': expected a dense tensor in the state_dict, got str"),
        (lambda m: nn.Linear(2, 2), "compact_recipe: this Linear was not returned by compact"),
    ],
)
def test_what_cannot_be_saved_leaves_the_old_file(saved: Path, change, message: str):
    before = saved.read_bytes()

    with pytest.raises(ValueError, match=message):
        pa.save_compacted(saved, change(small_perceptron()))
    assert saved.read_bytes() == before
    assert list(saved.parent.iterdir()) == [saved]


# Other files, and damaged ones


def test_a_missing_file_is_an_os_error(path: Path):
    with pytest.raises(FileNotFoundError):
        pa.load_compacted(path, nn.Linear(1, 1))
    with pytest.raises(OSError):  # noqa: PT011 a folder: the message is that of the system
        pa.load_compacted(path.parent, nn.Linear(1, 1))


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x80\x02}q\x00.", b"\xff" * 64, b"[1, 2]"])
def test_foreign_files(path: Path, content: bytes):
    path.write_bytes(content)

    with pytest.raises(pa.CompactFileError, match=r"small.safetensors: damaged, or no file of save_compacted"):
        pa.load_compacted(path, nn.Linear(1, 1))


def test_a_file_of_weights_and_one_of_masks(path: Path):
    save_file({"weight": torch.zeros(3)}, path)
    with pytest.raises(pa.CompactFileError, match=r"no file of save_compacted \(a safetensors file with format None\)"):
        pa.load_compacted(path, nn.Linear(1, 1))
    pa.save_masks(path, {"weight": torch.ones(2, dtype=torch.bool)})
    with pytest.raises(pa.CompactFileError, match=r"no file of save_compacted .*'prune_adapters.masks'"):
        pa.load_compacted(path, nn.Linear(1, 1))


def test_every_cut_and_every_flipped_byte_is_noticed(saved: Path):
    """A byte of padding in the header may be harmless; then the model is the right one."""
    content, dense = saved.read_bytes(), perceptron()[0]
    good = pa.load_compacted(saved, dense)
    for place in range(len(content)):
        flipped = content[:place] + bytes([content[place] ^ (1, 7, 0x15)[place % 3]]) + content[place + 1 :]
        for damaged in (content[:place], flipped):
            saved.write_bytes(damaged)
            try:
                found = pa.load_compacted(saved, dense)
            except pa.CompactFileError:
                continue
            assert len(damaged) == len(content)
            assert pa.compact_recipe(found) == pa.compact_recipe(good)
            torch.testing.assert_close(dict(found.state_dict()), dict(good.state_dict()), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"version": "2"}, r"expected format version 1, got 2; update prune_adapters to read it"),
        ({"crc32": "1"}, r"damaged, the checksum of the header does not fit"),
        ({"recipe": "[]"}, r"damaged, or no file of save_compacted \(recipe: expected JSON with format"),
        ({"checksums": "{}"}, r"damaged: the header lists \[\], the file has \['0.bias', '0.weight', "),
        ({"shared": '{"a": "b"}'}, r"damaged: the header lists \['0.bias', '0.weight', "),
        ({"shared": '{"a": []}'}, r"damaged, or no file of save_compacted"),
        ({"shared": "[]"}, r"damaged, or no file of save_compacted"),
        ({"checksums": "3"}, r"damaged, or no file of save_compacted"),
        ({"shared": "["}, r"damaged, or no file of save_compacted"),
    ],
)
def test_damaged_headers(saved: Path, changed: dict[str, str], message: str):
    rewritten(saved, load_file(saved), **changed)

    with pytest.raises(pa.CompactFileError, match=message):
        pa.load_compacted(saved, perceptron()[0])


def test_another_tensor_under_the_same_name(saved: Path):
    rewritten(saved, load_file(saved) | {"0.bias": torch.tensor([0.5])})

    with pytest.raises(pa.CompactFileError, match=r"tensor '0.bias': damaged, the checksum does not fit"):
        pa.load_compacted(saved, perceptron()[0])


# Other models


def layers(*more: nn.Module, bias: bool = True) -> nn.Module:
    return nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 2, bias=bias), *more)


class Counting(nn.Module):
    """A module with a buffer that is not saved."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("count", torch.zeros(1), persistent=False)


@pytest.mark.parametrize(
    ("dense", "message"),
    [
        (nn.Sequential(nn.Linear(2, 5), nn.ReLU(), nn.Linear(5, 2)), "recipe for '0': expected 2 inputs and 4 outputs"),
        (layers(bias=False), "the file has a tensor '2.bias', which the model has not"),
        (layers(nn.Linear(2, 2)), "the model has a tensor '3.weight', which the file has not"),
        (layers(Counting()).to("meta"), "the buffer '3.count' is not saved; build the dense model on a device that"),
    ],
)
def test_another_model(saved: Path, dense: nn.Module, message: str):
    before = repr(dense)

    with pytest.raises(pa.RecipeError, match=f"small.safetensors: another model: {message}"):
        pa.load_compacted(saved, dense)
    assert repr(dense) == before


def test_another_shape_of_what_the_recipe_does_not_name(path: Path):
    model = nn.Sequential(*perceptron()[0], nn.LayerNorm(2))
    pa.save_compacted(path, compacted(model, perceptron()[1], torch.ones(1, 2)))
    model[3] = nn.LayerNorm((3, 2))

    with pytest.raises(pa.RecipeError, match=r"'3.weight': expected shape \(2,\) as in the file, got \(3, 2\)"):
        pa.load_compacted(path, model)


def test_weights_that_are_tied_in_one_of_the_two_only(path: Path):
    pa.save_compacted(path, tied_pair()[1])
    with pytest.raises(pa.RecipeError, match=r"'second.weight' is tied to nothing in the model, to 'first.weight' in"):
        pa.load_compacted(path, Tied(tied=False))
    loose = Tied(tied=False)
    small = compacted(loose, {"body.weight": torch.tensor([[True, False, True, True]] * 3)}, torch.ones(1, 2))
    pa.save_compacted(path, small)
    with pytest.raises(pa.RecipeError, match=r"'second.weight' is tied to 'first.weight' in the model, to nothing in"):
        pa.load_compacted(path, Tied())


def test_compact_file_errors_are_value_errors():
    assert issubclass(pa.CompactFileError, ValueError)
    assert issubclass(pa.CompactFileError, pa.PruneAdaptersError)
