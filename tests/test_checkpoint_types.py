"""How values lie in a checkpoint: types of numbers, turned and shared storages, parts of a weight."""

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

import netgraph as ng
import prune_adapters as pa
from checkpointed import check_same, graph_of, sparse
from networks import EmbeddingNet
from prune_adapters.checkpoint import bits as bits_module

ZERO_TO_FIVE = (0.0, 0.5, -1.0, 2.0, -0.0, 1.5)
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
