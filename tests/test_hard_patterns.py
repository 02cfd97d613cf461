"""Programs that tracers stumble over: each is traced as autograd says, or refused with the reason."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

import netgraph as ng
import prune_adapters as pa
from agreement import check_against_gradients
from networks import edge_names
from networks.derived import Adapted

X = torch.ones(2, 6)
IMAGE = torch.ones(2, 3, 8, 8)
TOKENS = torch.arange(8)[None]
UNEVEN = "the readout sees only the first position, and units are shared over positions"
SAME_SCORES = "a score that is the same for every key changes no softmax, on paper; rounding decides"


class Net(nn.Module):
    """Three linear layers for a forward to use."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(6, 8), nn.Linear(8, 8), nn.Linear(8, 3)


class BranchOnSum(Net):
    def forward(self, x: Tensor) -> Tensor:
        h = self.a(x).relu()
        if h.sum() > 0:
            h = self.b(h)
        return self.c(h)


class NumberFromTensor(Net):
    def forward(self, x: Tensor) -> Tensor:
        return self.c(self.b(self.a(x)) * float(x.max()))


class LoopOnShape(Net):
    def forward(self, x: Tensor) -> Tensor:
        h = self.a(x)
        for _ in range(x.shape[0]):
            h = self.b(h).relu()
        return self.c(h) / int(x.shape[1])


class AnyArguments(Net):
    def forward(self, *parts: Tensor, scale: float = 2.0) -> Tensor:
        return self.c(self.b(self.a(parts[0]) + self.a(parts[1])) * scale)


class SliceAssignment(Net):
    def forward(self, x: Tensor) -> Tensor:
        h = self.a(x).clone()
        h[:, :4] = self.b(h.clone())[:, 2:6]
        return self.c(h)


class InPlace(Net):
    def forward(self, x: Tensor) -> Tensor:
        h = self.a(x)
        h[:, 4:].zero_()
        h += 1e-5 * x.sum(1, keepdim=True)
        return self.c(self.b(h.relu_()).mul_(2))


class Checkpointed(Net):
    def forward(self, x: Tensor) -> Tensor:
        return self.c(checkpoint(lambda h: self.b(h).relu(), self.a(x), use_reentrant=False))


class FrozenStem(Net):
    def __init__(self) -> None:
        super().__init__()
        self.a.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        return self.c(self.b(self.a(x)).relu())


class NoGradStem(Net):
    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            h = self.a(x).relu()
        return self.c(self.b(h))


class Inputs(Net):
    def forward(self, batch: dict[str, Tensor]) -> dict[str, object]:
        h = self.b(self.a(batch["x"]).relu())
        return {"logits": self.c(h), "hidden": (h, [h * 2])}


class Doubled(torch.autograd.Function):
    @staticmethod
    def forward(ctx: object, x: Tensor) -> Tensor:
        return 2 * x

    @staticmethod
    def backward(ctx: object, gradient: Tensor) -> Tensor:
        return 2 * gradient


class OwnFunction(Net):
    def forward(self, x: Tensor) -> Tensor:
        return self.c(Doubled.apply(self.b(Doubled.apply(self.a(x)))))


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table, self.b, self.scores = nn.Embedding(8, 6), nn.Linear(6, 6), nn.Linear(6, 8, bias=False)
        self.scores.weight = self.table.weight

    def forward(self, tokens: Tensor) -> Tensor:
        return self.scores(self.b(self.table(tokens)).relu())


class LookedUpByIndex(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table, self.c = nn.Parameter(torch.randn(8, 6)), nn.Linear(6, 3)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.c(self.table[tokens])


class OneHot(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.c = nn.Linear(8, 6), nn.Linear(6, 3)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.c(self.a(F.one_hot(tokens, 8).to(self.a.weight.dtype)))


class SharedTwice(Net):
    def forward(self, x: Tensor) -> Tensor:
        return self.c(self.b(self.b(self.a(x)).relu()))


class RawParameters(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.w, self.v = nn.Parameter(torch.randn(6, 8)), nn.Parameter(torch.randn(3, 8))

    def forward(self, x: Tensor) -> Tensor:
        return (x @ self.w).relu() @ self.v.T


class ShuffledGroups(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1, groups=4)
        self.c = nn.Conv2d(8, 4, 1, groups=2)

    def forward(self, x: Tensor) -> Tensor:
        return self.c(F.channel_shuffle(self.b(self.a(x).relu()), 4))


class UpAndDown(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 8, 4, 2, padding=1), nn.ConvTranspose2d(8, 4, 4, 2, padding=1, groups=2)
        self.c = nn.Conv2d(1, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.c(F.pixel_shuffle(self.b(self.a(x).relu()), 2))


class GroupedQueries(nn.Module):
    """Attention with two key and value heads for four query heads; a tuple and a dictionary come out."""

    def __init__(self, written_out: bool) -> None:
        super().__init__()
        self.table, self.q, self.k = nn.Embedding(8, 6), nn.Linear(6, 8, bias=False), nn.Linear(6, 4, bias=False)
        self.v, self.o, self.head = nn.Linear(6, 4, bias=False), nn.Linear(8, 6), nn.Linear(6, 8)
        self.written_out = written_out

    def heads(self, x: Tensor, n: int) -> Tensor:
        return x.unflatten(-1, (n, 2)).transpose(1, 2)

    def forward(self, tokens: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        x = self.table(tokens)
        q, k, v = self.heads(self.q(x), 4), self.heads(self.k(x), 2), self.heads(self.v(x), 2)
        if self.written_out:
            k, v = (part.repeat_interleave(2, 1) for part in (k, v))
            scores = torch.einsum("bhid,bhjd->bhij", q, k).softmax(-1)
            mixed = torch.einsum("bhij,bhjd->bhid", scores, v)
        else:
            mixed = F.scaled_dot_product_attention(q, k, v, enable_gqa=True)
        x = x + self.o(mixed.transpose(1, 2).flatten(2))
        return self.head(x), {"hidden": x}


class BothWays(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.recurrent, self.c = nn.LSTM(6, 4, batch_first=True, bidirectional=True), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.c(self.recurrent(x)[0].mean(1))


class Attended(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attention, self.c = nn.MultiheadAttention(6, 2, batch_first=True), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.c(self.attention(x, x, x, need_weights=False)[0])


def wrapped() -> nn.Module:
    return nn.DataParallel(nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3)))


def weight_normed() -> nn.Module:
    norm = nn.utils.parametrizations.weight_norm
    return nn.Sequential(norm(nn.Linear(6, 8)), nn.ReLU(), norm(nn.Linear(8, 3)))


def encoder() -> nn.Module:
    layer = nn.TransformerEncoderLayer(6, 2, 10, batch_first=True)
    return nn.Sequential(nn.TransformerEncoder(layer, 1, enable_nested_tensor=False), nn.Linear(6, 3))


SEQUENCE = torch.ones(2, 5, 6)
FOLLOWED: dict[str, tuple[Callable[[], nn.Module], object]] = {
    "loop_on_shape": (LoopOnShape, X),
    "any_arguments": (AnyArguments, (X, X)),
    "slice_assignment": (SliceAssignment, X),
    "in_place": (InPlace, X),
    "checkpoint": (Checkpointed, X),
    "frozen_stem": (FrozenStem, X),
    "no_grad_stem": (NoGradStem, X),
    "own_function": (OwnFunction, X),
    "tied_embedding": (Tied, TOKENS),
    "table_by_index": (LookedUpByIndex, TOKENS),
    "one_hot": (OneHot, TOKENS),
    "shared_module": (SharedTwice, X),
    "raw_parameters": (RawParameters, X),
    "shuffled_groups": (ShuffledGroups, IMAGE),
    "up_and_down": (UpAndDown, IMAGE),
    "grouped_queries": (lambda: GroupedQueries(written_out=False), TOKENS),
    "einsum_attention": (lambda: GroupedQueries(written_out=True), TOKENS),
    "both_ways": (BothWays, torch.ones(2, 12, 6)),
    "attention": (Attended, SEQUENCE),
    "encoder": (encoder, SEQUENCE),
    "data_parallel": (wrapped, X),
    "weight_norm": (weight_normed, X),
    "adapter": (lambda: Adapted(2), torch.ones(2, 4)),
}
WIDER = {"up_and_down": "the four pixels that one channel becomes share a unit", "attention": SAME_SCORES}
NO_GRADIENT = {"no_grad_stem": ["a.weight"]}
"""What the program itself cuts off from the gradient, which the oracle then cannot see."""


def built(name: str) -> tuple[nn.Module, object]:
    torch.manual_seed(0)
    build, inputs = FOLLOWED[name]
    return build().eval(), inputs


@pytest.mark.parametrize("follow", [None, "example"])
@pytest.mark.parametrize("name", FOLLOWED)
def test_kept_elements_are_those_with_a_gradient(name, follow):
    model, inputs = built(name)
    graph = pa.to_graph(model, inputs, masks={}, follow=follow)
    bare = model.module if isinstance(model, nn.DataParallel) else model
    hidden = NO_GRADIENT.get(name, [])

    assert set(graph.edge_parameters) == set(edge_names(bare))
    if hidden:
        assert all(graph.parameters[parameter].role == "edge" for parameter in hidden)
        return
    check_against_gradients(bare, inputs, graph, densities=(0.5,), questions=("drop_dead",), wider=name in WIDER)


def test_a_stem_without_gradients_counts_like_any_other():
    torch.manual_seed(0)
    plain, cut = FrozenStem().eval(), NoGradStem().eval()
    graphs = [pa.to_graph(model, X, masks={}) for model in (plain, cut)]

    assert [c.parameter for c in graphs[0].weighted] == [c.parameter for c in graphs[1].weighted]
    assert ng.sweep(graphs[0]).consistent.tolist() == ng.sweep(graphs[1]).consistent.tolist()


@pytest.mark.parametrize(("build", "line"), [(BranchOnSum, r"if h\.sum"), (NumberFromTensor, r"float\(x\.max")])
def test_python_that_reads_values_is_refused_or_followed_along_the_example(build, line):
    with pytest.raises(pa.TraceError, match=rf"depends on a value at test_hard_patterns\.py:\d+: .*{line}"):
        pa.to_graph(build(), X)
    torch.manual_seed(0)
    model = build().eval()
    graph = pa.to_graph(model, X, masks={}, follow="example")

    assert any("a value was read at test_hard_patterns.py" in note for note in graph.notes)
    check_against_gradients(model, X, graph, densities=(0.5,))


def test_dictionaries_in_and_out():
    torch.manual_seed(0)
    graph = pa.to_graph(Inputs(), ({"x": X},))

    assert set(graph.edge_parameters) == {"a.weight", "b.weight", "c.weight"}
    assert len(graph.outputs) == 3 + 8


@pytest.mark.parametrize(
    ("select", "words"),
    [
        (lambda h: h.masked_select(h > 0), "how many elements are left|depends on a value"),
        (lambda h: h.as_strided((2, 2), (1, 2)), r"aten\.as_strided"),
    ],
)
def test_what_no_graph_can_tell_is_refused(select, words):
    class Selecting(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            return select(super().forward(x))

    for follow in (None, "example"):
        with pytest.raises(pa.TraceError, match=words):
            pa.to_graph(Selecting(6, 6), X, follow=follow)


def test_a_selection_of_unknown_size_is_refused_unless_followed():
    class Selecting(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            h = super().forward(x)
            return h[h > 0]

    with pytest.raises(pa.TraceError, match="depends on a value"):
        pa.to_graph(Selecting(6, 6), X)

    assert ng.co_accessible(pa.to_graph(Selecting(6, 6), X, follow="example")).all()
