"""What the tracer builds: layers, wiring and roles of small networks, drawn by hand."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import netgraph as ng
import prune_adapters as pa
from networks import CASES
from prune_adapters.trace import registry
from prune_adapters.trace.wires import block_pattern


def joined(graph: ng.NetGraph) -> list[tuple[str, str, str]]:
    """Return (source, target, parameter or kind of wiring) of every connection."""
    return [(c.source, c.target, c.parameter or c.kind) for c in graph.connections]


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(3, 3), nn.Linear(3, 3)
        self.norm = nn.BatchNorm1d(3)

    def forward(self, x: Tensor) -> Tensor:
        hidden = F.relu(self.first(x))
        return hidden + self.norm(self.second(hidden))


def test_a_residual_is_wired_by_identity_and_a_norm_is_part_of_its_layer():
    graph = pa.to_graph(Residual(), torch.zeros(1, 3))

    assert dict(graph.layers) == {"x": 3, "first": 3, "second": 3, "add": 3}
    assert joined(graph) == [
        ("x", "first", "first.weight"),
        ("first", "second", "second.weight"),
        ("first", "add", "identity"),
        ("second", "add", "identity"),
    ]
    assert graph.inputs.tolist() == [0, 1, 2]
    assert graph.outputs.tolist() == [9, 10, 11]
    assert {name: info.role for name, info in graph.parameters.items()} == {
        "first.weight": "edge",
        "first.bias": "constant",
        "second.weight": "edge",
        "second.bias": "constant",
        "norm.weight": "gate",
        "norm.bias": "constant",
    }
    assert [(u.parameter, u.role) for u in graph.unit_parameters if u.layer == "second"] == [
        ("second.bias", "shift"),
        ("norm.running_mean", "shift"),
        ("norm.weight", "gate"),
        ("norm.bias", "shift"),
    ]


def test_masks_of_gates_and_shifts_act_in_their_order():
    nothing = torch.zeros(3, dtype=torch.bool)
    masks = {"norm.weight": torch.tensor([True, False, False]), "norm.bias": torch.tensor([False, True, False])}
    graph = pa.to_graph(Residual(), torch.zeros(1, 3), masks=masks)
    without_mean = pa.to_graph(Residual(), torch.zeros(1, 3), masks=masks | {"norm.running_mean": nothing})

    second = graph.slices["second"]
    assert ng.unit_classes(graph)[second].tolist() == [2, 1, 0]
    assert ng.unit_classes(without_mean)[second].tolist() == [2, 1, 0]
    assert graph.gate[second].tolist() == [True, False, False]


def test_flattened_channels_are_taps_of_one_edge():
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(2 * 4, 3))
    graph = pa.to_graph(model, torch.zeros(1, 1, 4, 4))
    linear = graph.uses("2.weight")[0]

    assert (linear.rows, linear.columns, linear.taps) == (3, 2, 4)
    assert (linear.source, linear.target) == ("0", "2")


def test_a_channel_shuffle_is_a_gathering_of_units():
    model = nn.Sequential(nn.Conv2d(1, 4, 1), nn.ChannelShuffle(2), nn.Conv2d(4, 2, 1))
    graph = pa.to_graph(model, torch.zeros(1, 1, 2, 2))
    wiring = graph.wiring[0]

    assert wiring.kind == "pairs"
    assert dict(zip(*(side.tolist() for side in wiring.edges()), strict=True)) == {0: 0, 1: 2, 2: 1, 3: 3}


def test_a_grouped_transposed_convolution_knows_its_elements():
    model = nn.ConvTranspose2d(4, 6, 3, groups=2)
    graph = pa.to_graph(model, torch.zeros(1, 4, 2, 2))
    connection = graph.uses("weight")[0]
    flat = torch.arange(model.weight.numel()).reshape(2, 2, 3, 9)

    assert (connection.rows, connection.columns, connection.taps, connection.groups) == (6, 2, 9, 2)
    np.testing.assert_array_equal(connection.elements(), flat.transpose(1, 2).reshape(6, 2, 9).numpy())


def test_assigning_to_a_slice_changes_the_tensor_behind_it():
    class Patched(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.left, self.right, self.out = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 1)

        def forward(self, x: Tensor) -> Tensor:
            hidden = self.left(x).clone()
            hidden[:, :2] = self.right(x)[:, 2:]
            return self.out(hidden.relu_())

    graph = pa.to_graph(Patched(), torch.zeros(1, 4))
    dead = [
        graph.layer_of(unit) + str(unit - graph.slices[graph.layer_of(unit)].start) for unit in ng.dead_units(graph)
    ]

    assert dead == ["left0", "left1", "right0", "right1"]


def test_a_product_needs_both_factors():
    class Gated(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.value, self.gate = nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False)

        def forward(self, x: Tensor) -> Tensor:
            return self.value(x) * self.gate(x)

    masks = {
        "value.weight": torch.eye(2, dtype=torch.bool),
        "gate.weight": torch.tensor([[True, True], [False, False]]),
    }
    graph = pa.to_graph(Gated(), torch.zeros(1, 2), masks=masks)

    assert graph.products == {"mul"}
    assert ng.unit_classes(graph)[graph.slices["mul"]].tolist() == [2, 0]
    assert pa.to_masks(ng.trim(graph))["value.weight"].tolist() == [[True, False], [False, False]]


@pytest.mark.parametrize(
    "pick",
    [
        lambda hidden: torch.topk(hidden, 2)[0],
        lambda hidden: torch.sort(hidden)[0],
        lambda hidden: torch.kthvalue(hidden, 2)[0],
        lambda hidden: hidden.argmax(1),
        lambda hidden: hidden.max(),
    ],
)
def test_what_comes_first_depends_on_all(pick):
    class Picked(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            return pick(super().forward(x))

    graph = pa.to_graph(Picked(4, 3), torch.zeros(2, 4))

    assert list(graph.layers.values()) == [4, 3, 1]
    assert ng.co_accessible(graph).all()


@pytest.mark.parametrize(
    ("model", "shape", "dims", "size"),
    [
        (nn.Conv2d(3, 4, 1), (2, 3, 5, 5), None, 3),
        (nn.Conv1d(3, 4, 1), (2, 3, 5), None, 3),
        (nn.Linear(5, 4), (2, 3, 5), None, 5),
        (nn.Sequential(nn.Flatten(), nn.Linear(12, 4)), (2, 3, 2, 2), None, 12),
        (nn.Sequential(nn.Flatten(), nn.Linear(12, 4)), (2, 3, 2, 2), 1, 3),
        (nn.Sequential(nn.Flatten(), nn.Linear(12, 4)), (2, 3, 2, 2), (2, 3), 4),
    ],
)
def test_units_of_an_input_lie_where_it_is_first_read(model, shape, dims, size):
    unit_dims = None if dims is None else {"input": dims}
    graph = pa.to_graph(model, torch.zeros(shape), unit_dims=unit_dims)

    assert next(iter(graph.layers.values())) == size


def test_unit_dims_of_an_unknown_input():
    with pytest.raises(KeyError, match="unit_dims for 'y': no such input; the model has 'input'"):
        pa.to_graph(nn.Linear(2, 2), torch.zeros(1, 2), unit_dims={"y": 1})


@pytest.mark.parametrize("option", ["positions", "norm", "unknown", "follow"])
def test_an_unknown_option_lists_the_known_ones(option):
    with pytest.raises(ValueError, match=f"{option}: expected .* got 'wrong'"):
        pa.to_graph(nn.Linear(2, 2), torch.zeros(1, 2), **{option: "wrong"})


@pytest.mark.parametrize("name", CASES)
def test_masks_to_graph_to_masks_is_the_identity(name):
    model, inputs = CASES[name].model(), CASES[name].inputs()
    edges = pa.to_graph(model, inputs).edge_parameters
    draw = torch.Generator().manual_seed(0)
    masks = {n: torch.rand(p.shape, generator=draw) < 0.3 for n, p in model.named_parameters() if n in edges}
    found = pa.to_masks(pa.to_graph(model, inputs, masks=masks))

    assert found.keys() == masks.keys()
    assert all(torch.equal(found[n], masks[n]) for n in masks)


@pytest.mark.parametrize("name", ["vgg_bn", "torch_vit"])
def test_the_model_is_left_as_it_was(name):
    model, inputs = CASES[name].model().train(), CASES[name].inputs()
    model[0].eval() if isinstance(model, nn.Sequential) else next(model.children()).eval()
    before = {n: t.clone() for n, t in model.state_dict().items()}
    training = [module.training for module in model.modules()]
    for follow in (None, "example"):
        pa.to_graph(model, inputs, follow=follow)

    assert [module.training for module in model.modules()] == training
    assert all(torch.equal(before[n], t) for n, t in model.state_dict().items())


@torch.library.custom_op("netgraph_tests::doubled", mutates_args=())
def doubled(x: Tensor) -> Tensor:
    return 2 * x


@doubled.register_fake
def _(x: Tensor) -> Tensor:
    return torch.empty_like(x)


class Doubling(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(2, 2)

    def forward(self, x: Tensor) -> Tensor:
        return doubled(self.linear(x))


def test_a_rule_of_ones_own_teaches_a_new_operator(monkeypatch):
    monkeypatch.setattr(registry, "_RULES", dict(registry._RULES))
    with pytest.raises(pa.TraceError, match=r"netgraph_tests.doubled in the model's own forward .*register_rule"):
        pa.to_graph(Doubling(), torch.zeros(1, 2))
    pa.register_rule("netgraph_tests.doubled")(lambda op: op.units(op.first.ids))
    graph = pa.to_graph(Doubling(), torch.zeros(1, 2))

    assert "netgraph_tests.doubled" in pa.known_operators()
    assert dict(graph.layers) == {"x": 2, "linear": 2}


def test_the_skeleton_in_the_error_runs_as_it_is(monkeypatch):
    monkeypatch.setattr(registry, "_RULES", dict(registry._RULES))
    with pytest.raises(pa.TraceError) as error:
        pa.to_graph(Doubling(), torch.zeros(1, 2))
    exec(str(error.value).split("To start from:")[1], {})

    assert dict(pa.to_graph(Doubling(), torch.zeros(1, 2)).layers) == {"x": 2, "linear": 2}


def test_a_rule_that_refuses_gives_way_to_mixing():
    class Selected(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x).as_strided((2, 2), (1, 2))

    graph = pa.to_graph(Selected(2, 2), torch.zeros(2, 2), unknown="mix")

    assert ng.co_accessible(graph).all()
    assert any("unknown='mix'" in note for note in graph.notes)


@pytest.mark.parametrize(
    ("factor", "dead"),
    [
        (lambda x: torch.tensor([1.0, 0.0]), [1]),
        (lambda x: torch.zeros(2), [0, 1]),
        (lambda x: x.new_zeros(2), [0, 1]),
        (lambda x: torch.bernoulli(torch.full((2,), 1e-9)), []),
        (lambda x: torch.empty(2), []),
    ],
    ids=["mask", "zeros", "zeros_like_it", "random", "unwritten"],
)
def test_a_fixed_factor_of_zero_closes_its_unit_and_a_random_one_does_not(factor, dead):
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.out = nn.Linear(3, 2, bias=False), nn.Linear(2, 1)

        def forward(self, x: Tensor) -> Tensor:
            return self.out(self.first(x) * factor(x))

    graph = pa.to_graph(Scaled(), torch.zeros(1, 3))
    found = pa.to_masks(ng.drop_dead(graph))["first.weight"]

    assert [row for row in range(2) if not found[row].any()] == dead


def test_a_buffer_counts_as_present_whatever_its_value():
    class Stored(nn.Linear):
        def __init__(self) -> None:
            super().__init__(3, 2, bias=False)
            self.register_buffer("scale", torch.tensor([1.0, 0.0]))
            self.register_buffer("table", torch.zeros(4, 2))

        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) * self.scale.float() + self.table[:1]

    nothing = {"weight": torch.zeros(2, 3, dtype=torch.bool)}
    graph = pa.to_graph(Stored(), torch.zeros(1, 3))
    empty = pa.to_graph(Stored(), torch.zeros(1, 3), masks=nothing)

    assert ng.co_accessible(graph)[3:5].all()
    assert ng.unit_classes(empty)[-2:].tolist() == [1, 1]


def test_a_second_rule_for_an_operator_is_refused():
    with pytest.raises(ValueError, match=r"rule for 'aten.relu': registered already"):
        pa.register_rule("aten.relu")(lambda op: op.first)


def test_pooling_of_channels_last_images_is_followed_by_running():
    """torch gives the pooled tensor new strides in place; this once raised TraceError."""
    model = nn.Sequential(nn.Conv2d(2, 3, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 1))
    image = torch.zeros(1, 2, 4, 4).to(memory_format=torch.channels_last)

    graph = pa.to_graph(model, image, follow="example")

    assert dict(graph.layers) == {"input": 2, "0": 3, "3": 1}
    assert joined(graph) == joined(pa.to_graph(model, image))


def test_new_strides_that_move_elements_are_refused():
    class Transposing(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x).as_strided_((2, 2), (1, 2))

    with pytest.raises(pa.TraceError, match=r"operator aten\.as_strided_"):
        pa.to_graph(Transposing(2, 2), torch.zeros(2, 2), follow="example")


@pytest.mark.parametrize(
    ("sources", "targets", "kind"),
    [
        ([0, 1, 2], [4, 5, 6], "identity"),
        ([3, 3, 4, 4], [0, 1, 2, 3], "repeat"),
        ([0, 1, 2, 3], [0, 0, 1, 1], "grouped"),
        ([0, 0, 1, 1], [0, 1, 0, 1], "mix"),
        ([0, 1, 2], [2, 0, 1], "pairs"),
        ([], [], "pairs"),
    ],
)
def test_wiring_is_recognised(sources, targets, kind):
    sources, targets = np.array(sources, dtype=np.int64), np.array(targets, dtype=np.int64)
    wiring = ng.Wiring("a", "b", **block_pattern(sources, targets))
    order = np.lexsort((wiring.edges()[1], wiring.edges()[0]))

    assert wiring.kind == kind
    np.testing.assert_array_equal(wiring.edges()[0][order], sources)
    np.testing.assert_array_equal(wiring.edges()[1][order], targets)
