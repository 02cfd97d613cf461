"""Programs that tracers stumble over: each is traced as autograd says, or refused with the reason."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import netgraph as ng
import prune_adapters as pa
from agreement import check_against_gradients
from networks import edge_names
from networks.derived import Adapted
from networks.hard_patterns import (
    AnyArguments,
    Attended,
    BothWays,
    BranchOnSum,
    Checkpointed,
    FrozenStem,
    GroupedQueries,
    InPlace,
    Inputs,
    LookedUpByIndex,
    LoopOnShape,
    NoGradStem,
    NumberFromTensor,
    OneHot,
    OwnFunction,
    RawParameters,
    SharedTwice,
    ShuffledGroups,
    SliceAssignment,
    Tied,
    UpAndDown,
    encoder,
    weight_normed,
    wrapped,
)

X = torch.ones(2, 6)
IMAGE = torch.ones(2, 3, 8, 8)
TOKENS = torch.arange(8)[None]
UNEVEN = "the readout sees only the first position, and units are shared over positions"
SAME_SCORES = "a score that is the same for every key changes no softmax, on paper; rounding decides"
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
    with pytest.raises(pa.TraceError, match=rf"depends on a value at hard_patterns\.py:\d+: .*{line}"):
        pa.to_graph(build(), X)
    torch.manual_seed(0)
    model = build().eval()
    graph = pa.to_graph(model, X, masks={}, follow="example")

    assert any("a value was read at hard_patterns.py" in note for note in graph.notes)
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
