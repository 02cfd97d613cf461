"""The graph of a file is the graph of the model that holds its values: networks of every kind."""

import dataclasses

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

import positive
import prune_adapters as pa
from agreement import compared
from checkpointed import check_same, example, graph_of, on_meta, sparse
from networks import CASES, edge_names
from oracle import random_masks
from prune_adapters.checkpoint import bits as bits_module

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
