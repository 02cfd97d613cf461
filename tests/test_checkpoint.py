"""Checkpoints: the graph of a file is the graph of the model that holds its values; damaged files are refused."""

import dataclasses
import json
import shutil
import struct
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from importlib import util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

import netgraph as ng
import positive
import prune_adapters as pa
from agreement import compared
from networks import CASES, MLP, EmbeddingNet, edge_names
from oracle import random_masks
from prune_adapters.checkpoint import bits as bits_module
from prune_adapters.checkpoint import names as names_module

EXAMPLES = Path(__file__).parents[1] / "examples"
X = torch.linspace(0.5, 1.5, 12).reshape(2, 6)
ZERO_TO_FIVE = (0.0, 0.5, -1.0, 2.0, -0.0, 1.5)


def example(name: str) -> ModuleType:
    """Return a module of the examples; the tests have a package of the name `networks` themselves."""
    if (module := sys.modules.get(f"example_{name}")) is None:
        spec = util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
        module = sys.modules[f"example_{name}"] = util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return module


def on_meta(build: Callable[[], nn.Module]) -> nn.Module:
    with torch.device("meta"):
        return build()


def sparse(model: nn.Module, *, seed: int = 0) -> nn.Module:
    """Set two of three values of every parameter to 0."""
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in model.parameters():
            p.mul_(torch.rand(p.shape, generator=draw) < 1 / 3)
    return model.eval()


def values(item: object) -> Iterator[object]:
    for field in dataclasses.fields(item):
        value = getattr(item, field.name)
        yield value.tolist() if isinstance(value, np.ndarray) else value


def check_same(found: ng.NetGraph, wanted: ng.NetGraph) -> None:
    for name in ("layers", "products", "parameters", "buffers", "notes"):
        assert getattr(found, name) == getattr(wanted, name), name
    for name in ("bits", "inputs", "outputs", "gate", "shift"):
        np.testing.assert_array_equal(getattr(found, name), getattr(wanted, name), name)
    for parts in ("connections", "unit_parameters"):
        pairs = zip(getattr(found, parts), getattr(wanted, parts), strict=True)
        assert all(list(values(a)) == list(values(b)) for a, b in pairs), parts


def mlp() -> MLP:
    torch.manual_seed(0)
    return sparse(MLP((6, 8, 3)))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the checkpoint of a small perceptron."""
    save_file(mlp().state_dict(), tmp_path / "model.safetensors")
    return tmp_path


def graph_of(path: Path, *, build: Callable[[], nn.Module] = mlp, x: Tensor = X, **options: object) -> ng.NetGraph:
    return pa.checkpoint_graph(on_meta(build), x, path, **options)


# The same graph as with the values in memory


FAST = {
    *("mlp", "vgg_bn", "vit_class", "torch_vit", "raw_matmul", "chunked_projection", "transposed_conv", "group_norm"),
    *("weight_norm", "layer_scale", "shared_module", "tied_embedding", "einsum", "named_inputs"),
}
NAMES = [name if name in FAST else pytest.param(name, marks=pytest.mark.slow) for name in CASES]


@pytest.mark.parametrize("name", NAMES)
def test_every_network_has_the_graph_of_the_loaded_model(name, tmp_path, monkeypatch):
    """Read in chunks of a few elements, so that rows of every kind are cut into several."""
    monkeypatch.setattr(bits_module, "CHUNK_BYTES", 256)
    case = CASES[name]
    model = sparse(case.model())
    torch.save(model.state_dict(), tmp_path / "model.pt")

    found = pa.checkpoint_graph(on_meta(case.build), case.inputs(), tmp_path)

    check_same(found, pa.to_graph(model, case.inputs()))


EXAMPLE_NETWORKS = {
    "resnet20": (lambda: example("models").resnet20(width=4), (1, 3, 32, 32)),
    "vgg16": (lambda: example("models").vgg16(width=4), (1, 3, 32, 32)),
    **{
        f"{name} at its size": pytest.param(
            lambda name=name: getattr(example("models"), name)(), (1, 3, 224, 224), marks=pytest.mark.slow
        )
        for name in ("resnet18", "resnet50", "mobilenet_v2", "vit_b")
    },
}


@pytest.mark.parametrize(("build", "shape"), EXAMPLE_NETWORKS.values(), ids=EXAMPLE_NETWORKS)
def test_networks_of_the_examples_have_the_graph_of_the_loaded_model(build, shape, tmp_path):
    torch.manual_seed(0)
    model = sparse(build())
    save_file(model.state_dict(), tmp_path / "model.safetensors")

    check_same(graph_of(tmp_path, build=build, x=torch.ones(shape)), pa.to_graph(model, torch.ones(shape)))


def tiny_llama(*, tied: bool = False) -> nn.Module:
    llama = example("llama")
    return llama.Llama(dataclasses.replace(llama.SIZES["tiny"], vocabulary=70), tied=tied)


TOKENS = torch.arange(70)[None]


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("chunk", [200, 4 << 20])
def test_a_llama_has_the_graph_of_the_loaded_model_whatever_the_chunks(tied, chunk, tmp_path, monkeypatch):
    """The vocabulary is no multiple of 64, and the table is read column by column."""
    monkeypatch.setattr(bits_module, "CHUNK_BYTES", chunk)
    torch.manual_seed(0)
    model = sparse(tiny_llama(tied=tied))
    state = model.state_dict()
    if tied:
        del state["lm_head.weight"]
    save_file(state, tmp_path / "model.safetensors")

    check_same(graph_of(tmp_path, build=lambda: tiny_llama(tied=tied), x=TOKENS), pa.to_graph(model, TOKENS))


@pytest.mark.parametrize("question", ["trim", "drop_dead"])
@pytest.mark.parametrize("tied", [False, True])
def test_a_llama_agrees_with_its_gradient(tied, question, monkeypatch):
    monkeypatch.setattr(positive, "MIXING_NORMS", (*positive.MIXING_NORMS, nn.RMSNorm))
    torch.manual_seed(0)
    model = tiny_llama(tied=tied).eval()
    masks = random_masks(model, edge_names(model), 0.3, seed=1)

    assert compared(model, TOKENS, pa.to_graph(model, TOKENS), masks, question) == {}


# Types and layouts


FLOATS = [torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2]


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("ending", ["safetensors", "pt"])
def test_every_floating_type(dtype, ending, tmp_path):
    """Minus zero is a zero; 0.5, 1, 1.5 and 2 are exact in eight bits too."""
    state = {
        "0.weight": torch.tensor(ZERO_TO_FIVE).repeat(8).reshape(8, 6).to(dtype),
        "0.bias": torch.zeros(8, dtype=dtype),
    }
    path = tmp_path / f"m.{ending}"
    (save_file if ending == "safetensors" else torch.save)(state, path)

    kept = graph_of(path, build=lambda: nn.Sequential(nn.Linear(6, 8))).kept(0)

    assert kept[:, :, 0].tolist() == [[False, True, True, True, False, True]] * 8


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("build", [lambda: nn.Sequential(nn.Linear(40, 40)), lambda: EmbeddingNet()])
def test_a_nan_is_named_with_its_element(dtype, build, tmp_path, monkeypatch):
    monkeypatch.setattr(bits_module, "CHUNK_BYTES", 64)
    x = torch.ones(1, 40) if isinstance(build(), nn.Sequential) else torch.arange(20)[None]
    state = {name: p.detach().to(dtype) for name, p in build().named_parameters()}
    name = next(iter(state))
    wide = state[name].float()
    wide.view(-1)[77] = float("nan")
    save_file(state | {name: wide.to(dtype)}, tmp_path / "m.safetensors")

    with pytest.raises(ng.WeightValueError, match=rf"weight '{name}': element 77 is NaN"):
        graph_of(tmp_path, build=build, x=x)


def test_weights_that_are_not_stored_in_flat_order(tmp_path):
    torch.manual_seed(0)
    model = sparse(nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(), nn.Linear(8 * 16, 3)))
    wanted = pa.to_graph(model, torch.ones(1, 3, 6, 6))
    model[2].weight = nn.Parameter(model[2].weight.t().contiguous().t())
    torch.save(model.to(memory_format=torch.channels_last).state_dict(), tmp_path / "m.pt")

    found = graph_of(
        tmp_path,
        build=lambda: nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(), nn.Linear(8 * 16, 3)),
        x=torch.ones(1, 3, 6, 6),
    )

    check_same(found, wanted)


class Sliced(nn.Module):
    """Some columns of a weight that is stored (in, out); the rest is not used."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(40, 12))

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.weight[:, 3:8]


def test_a_part_of_a_turned_weight(tmp_path):
    torch.manual_seed(0)
    model = sparse(Sliced())
    save_file(model.state_dict(), tmp_path / "m.safetensors")

    check_same(graph_of(tmp_path, build=Sliced, x=torch.ones(1, 40)), pa.to_graph(model, torch.ones(1, 40)))


def test_tensors_that_share_a_storage(tmp_path):
    rows = sparse(nn.Linear(6, 8)).weight.detach()
    torch.save({"0.weight": rows[2:6], "0.bias": rows[7, :4]}, tmp_path / "m.pt")

    graph = graph_of(tmp_path, build=lambda: nn.Sequential(nn.Linear(6, 4)))

    np.testing.assert_array_equal(graph.kept(0)[:, :, 0], rows[2:6] != 0)


def test_a_model_in_memory_and_an_open_checkpoint_serve_as_well(folder):
    model = MLP((6, 8, 3))
    before = [p.clone() for p in model.parameters()]

    found = pa.checkpoint_graph(model, X, pa.open_checkpoint(folder))

    check_same(found, pa.to_graph(mlp(), X))
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


class Positions(nn.Module):
    """A position table looked up at positions that are made on the fly, and a table picked by a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens, self.positions = nn.Embedding(12, 8), nn.Embedding(9, 8)
        self.pairs = nn.Parameter(torch.ones(4, 8))
        self.register_buffer("order", torch.tensor([3, 1, 1, 0, 2]))

    def forward(self, x: Tensor) -> Tensor:
        h = self.tokens(x) + self.positions(torch.arange(x.shape[1], device=x.device))
        return h + self.pairs[self.order]


def test_positions_and_index_buffers_are_known_on_the_meta_device(tmp_path):
    torch.manual_seed(0)
    model, x = sparse(Positions()), torch.arange(5)[None]
    save_file(model.state_dict(), tmp_path / "m.safetensors")

    check_same(graph_of(tmp_path, build=Positions, x=x), pa.to_graph(model, x))


# Names


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


# Files


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


# Report, progress, memory


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
