"""Models as people have them: many inputs and outputs, frozen and tied parts, odd weights, wrappers."""

import warnings
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations, parametrize

import netgraph as ng
import prune_adapters as pa
from networks import TiedEmbedding


def live_rows(graph: ng.NetGraph, name: str) -> list[int]:
    """Return the rows of a parameter that `trim` leaves something of."""
    return pa.to_masks(ng.trim(graph))[name].flatten(1).any(1).nonzero().flatten().tolist()


class Heads(nn.Module):
    """A trunk with two heads, in a dict with a nested tuple."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk, self.left, self.right = nn.Linear(3, 4), nn.Linear(4, 2), nn.Linear(4, 5)

    def forward(self, x: Tensor) -> dict[str, object]:
        hidden = F.relu(self.trunk(x))
        return {"logits": self.left(hidden), "rest": (hidden, [self.right(hidden)]), "width": 4}


# Inputs and outputs


@pytest.mark.parametrize("follow", [None, "example"])
def test_outputs_in_dicts_and_tuples_count(follow):
    graph = pa.to_graph(Heads(), torch.zeros(1, 3), follow=follow)
    layers = {graph.layer_of(int(unit)) for unit in graph.outputs}

    assert layers == {"trunk", "left", "right"}


@pytest.mark.parametrize("follow", [None, "example"])
def test_chosen_outputs_are_the_only_ones(follow):
    graph = pa.to_graph(Heads(), torch.zeros(1, 3), outputs=["logits"], follow=follow)

    assert {graph.layer_of(int(unit)) for unit in graph.outputs} == {"left"}
    assert live_rows(graph, "left.weight") == [0, 1]
    assert live_rows(graph, "right.weight") == []
    assert pa.to_graph(Heads(), torch.zeros(1, 3), outputs=["rest.1.0"], follow=follow).outputs.size == 5


def test_an_unknown_output_lists_the_known_ones():
    with pytest.raises(KeyError, match=r"outputs: no output 'loss'; the model has 'logits', 'rest.0', 'rest.1.0'"):
        pa.to_graph(Heads(), torch.zeros(1, 3), outputs=["loss"])


class Masked(nn.Module):
    """Tokens with an attention mask, which is added up with large negative numbers as in many language models."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.head = nn.Embedding(6, 4), nn.Linear(4, 2)

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        weights = ((1.0 - mask.float()) * -1e4).softmax(-1)
        return self.head((self.embedding(tokens) * weights[..., None]).sum(1))


def test_a_fixed_input_is_a_constant():
    inputs = {"tokens": torch.arange(6)[None], "mask": torch.ones(1, 6, dtype=torch.long)}

    assert dict(pa.to_graph(Masked(), inputs, fixed_inputs=["mask"]).layers) == {"tokens": 6, "embedding": 4, "head": 2}
    assert "mask.values" in pa.to_graph(Masked(), inputs).layers
    with pytest.raises(KeyError, match="fixed_inputs: no input 'masks'; the model has 'tokens', 'mask'"):
        pa.to_graph(Masked(), inputs, fixed_inputs=["masks"])


class Nested(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(3, 2), nn.Linear(4, 2)

    def forward(self, pair: tuple[Tensor, Tensor], scale: float = 1.0) -> Tensor:
        return self.first(pair[0]) + scale * self.second(pair[1])


@pytest.mark.parametrize("follow", [None, "example"])
def test_inputs_in_a_tuple_are_inputs_each(follow):
    graph = pa.to_graph(Nested(), ((torch.zeros(1, 3), torch.zeros(1, 4)), 2.0), follow=follow)

    assert graph.inputs.size == 7
    assert graph.edge_parameters == ("first.weight", "second.weight")


class Cache:
    """Something that is no tensor, tuple, list or dict."""

    def __init__(self, keys: Tensor) -> None:
        self.keys = keys


class Caching(nn.Linear):
    def forward(self, x: Tensor) -> tuple[Tensor, Cache]:
        out = super().forward(x)
        return out, Cache(2 * out)


def test_a_cache_beside_the_outputs_does_not_count():
    graph = pa.to_graph(Caching(3, 2), torch.zeros(1, 3))

    assert not graph.notes
    assert list(graph.layers.values()) == [3, 2]


@dataclass
class Box:
    value: Tensor


class Boxing(nn.Linear):
    def forward(self, x: Tensor) -> Box:
        return Box(super().forward(x))


def test_a_model_that_returns_no_tensor_is_refused():
    with pytest.raises(pa.TraceError, match="the model returns no tensor; return one, or tensors in tuples"):
        pa.to_graph(Boxing(3, 2), torch.zeros(1, 3))


# Weights of every kind


def test_frozen_weights_are_edges_like_others():
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    whole = pa.to_graph(model, torch.zeros(1, 3))
    model[0].requires_grad_(False)
    frozen = pa.to_graph(model, torch.zeros(1, 3))

    assert frozen.edge_parameters == whole.edge_parameters
    assert (frozen.bits == whole.bits).all()


def test_tied_weights_have_two_uses_and_one_name():
    graph = pa.to_graph(TiedEmbedding(), torch.arange(20)[None])
    tied = [name for name in graph.edge_parameters if len(graph.uses(name)) == 2]

    assert len(tied) == 1


class BufferWeight(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.entry, self.head = nn.Linear(3, 4), nn.Linear(2, 2)
        self.register_buffer("projection", torch.eye(2, 4))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.linear(self.entry(x), self.projection))


def test_a_buffer_as_weight_joins_everything_and_has_no_edges():
    graph = pa.to_graph(BufferWeight(), torch.zeros(1, 3))

    assert graph.edge_parameters == ("entry.weight", "head.weight")
    assert live_rows(graph, "entry.weight") == [0, 1, 2, 3]


def spectral() -> nn.Module:
    return parametrizations.spectral_norm(nn.Linear(3, 4))


def weighted() -> nn.Module:
    return parametrizations.weight_norm(nn.Linear(3, 4))


def old(norm: str) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return getattr(nn.utils, norm)(nn.Linear(3, 4))


@pytest.mark.parametrize(
    ("build", "name"),
    [
        (spectral, "parametrizations.weight.original"),
        (weighted, "parametrizations.weight.original1"),
        (lambda: old("spectral_norm"), "weight_orig"),
        (lambda: old("weight_norm"), "weight_v"),
    ],
    ids=["spectral", "weight", "old spectral", "old weight"],
)
@pytest.mark.parametrize("follow", [None, "example"])
def test_normed_weights_are_edges_of_the_parameter_behind_them(build, name, follow):
    model = build()
    mask = torch.ones(4, 3, dtype=torch.bool)
    mask[2] = False
    graph = pa.to_graph(model, torch.zeros(1, 3), masks={name: mask}, follow=follow)

    assert graph.edge_parameters == (name,)
    assert live_rows(graph, name) == [0, 1, 3]


class Positive(nn.Module):
    def forward(self, weight: Tensor) -> Tensor:
        return weight.exp()


def test_a_weight_that_is_computed_joins_everything_and_says_so():
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 4), nn.Linear(4, 1))
    parametrize.register_parametrization(model[1], "weight", Positive())
    graph = pa.to_graph(model, torch.zeros(1, 3))

    assert graph.edge_parameters == ("0.weight", "2.weight")
    assert any("computed from 1.parametrizations.weight.original, which get no edges" in note for note in graph.notes)


class Standardised(nn.Conv2d):
    """A kernel of mean 0 and variance 1 in each row: a zero of the parameter is none of the kernel."""

    def forward(self, x: Tensor) -> Tensor:
        kernel = F.batch_norm(self.weight.reshape(1, len(self.weight), -1), None, None, training=True)
        return self._conv_forward(x, kernel.reshape(self.weight.shape), self.bias)


@pytest.mark.parametrize(("groups", "joined"), [(1, [0, 1, 2, 3]), (2, [2, 3])])
def test_a_standardised_kernel_joins_its_group_and_says_so(groups, joined):
    model = nn.Sequential(nn.Conv2d(2, 4, 1), Standardised(4, 6, 3, groups=groups), nn.Conv2d(6, 1, 1))
    last = torch.zeros(1, 6, 1, 1, dtype=torch.bool)
    last[:, 5] = True
    graph = pa.to_graph(model, torch.zeros(1, 2, 5, 5), masks={"2.weight": last})

    assert graph.edge_parameters == ("0.weight", "2.weight")
    assert live_rows(graph, "0.weight") == joined
    assert any("computed from 1.weight, which get no edges" in note for note in graph.notes)


class Blur(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("kernel", torch.ones(1, 1, 3, 3) / 9)

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.kernel.expand(x.shape[1], 1, 3, 3), groups=x.shape[1])


def test_a_blur_passes_its_channels_on():
    graph = pa.to_graph(nn.Sequential(nn.Conv2d(2, 4, 1), Blur(), nn.Conv2d(4, 1, 1)), torch.zeros(1, 2, 5, 5))

    assert dict(graph.layers) == {"input": 2, "0": 4, "2": 1}


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_weights_of_any_precision_keep_what_is_not_zero(dtype):
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(8, 3)).to(dtype)
    with torch.no_grad():
        model[0].weight[1] = 0
    kept = pa.to_masks(pa.to_graph(model, torch.zeros(1, 1, 4, 4, dtype=dtype)))

    assert kept["0.weight"].flatten(1).all(1).tolist() == [True, False]


def test_a_quantised_layer_is_refused_by_its_operator():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = torch.ao.quantization.quantize_dynamic(nn.Sequential(nn.Linear(3, 2)), {nn.Linear}, dtype=torch.qint8)

    with pytest.raises(pa.TraceError, match=r"quantized\.linear_dynamic"):
        pa.to_graph(model, torch.zeros(1, 3))


class PositionTable(nn.Module):
    """A bias looked up at the positions that a buffer holds."""

    def __init__(self) -> None:
        super().__init__()
        self.entry, self.table, self.head = nn.Linear(3, 4), nn.Parameter(torch.ones(5, 4)), nn.Linear(4, 2)
        self.register_buffer("places", torch.tensor([0, 2, 4]))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.relu(self.entry(x) + self.table[self.places]))


def test_a_model_without_memory_does_not_need_the_values_of_its_buffers():
    real = pa.to_graph(PositionTable(), torch.zeros(1, 3, 3))
    meta = pa.to_graph(PositionTable().to("meta"), torch.zeros(1, 3, 3, device="meta"))

    assert {n: i.role for n, i in meta.parameters.items()} == {n: i.role for n, i in real.parameters.items()}
    assert (meta.bits == real.bits).all()


# Wrappers


def mlp() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))


@pytest.mark.parametrize(
    "wrap", [nn.DataParallel, lambda m: torch.compile(m, backend="eager")], ids=["data parallel", "compile"]
)
def test_wrappers_are_seen_through(wrap):
    expected = pa.to_graph(mlp(), torch.zeros(1, 3))
    graph = pa.to_graph(wrap(mlp()), torch.zeros(1, 3))

    assert graph.edge_parameters == expected.edge_parameters == ("0.weight", "2.weight")
    assert graph.layers == expected.layers


def test_a_distributed_model_is_seen_through(tmp_path):
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    try:
        graph = pa.to_graph(nn.parallel.DistributedDataParallel(mlp()), torch.zeros(1, 3))
    finally:
        torch.distributed.destroy_process_group()

    assert graph.edge_parameters == ("0.weight", "2.weight")
