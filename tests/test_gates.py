"""Gates and other products against finite differences: a unit is live, constant or zero, and so is what it feeds.

No gradient is used here: inputs and single weights are moved, and the output is looked at. Squeeze and excitation and
GLU with sigmoids are in `test_exactness.py` too; here are all forms, with dead factors on purpose.
"""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import netgraph as ng
import prune_adapters as pa
from agreement import check_against_gradients, masked
from networks import edge_names
from oracle import random_masks, value_classes
from positive import SCALE, draw_units, positive_copy


class Excited(nn.Module):
    """Squeeze and excitation of a convolution."""

    def __init__(self, gate: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.conv, self.down, self.up = nn.Conv2d(2, 5, 3, padding=1), nn.Conv2d(5, 3, 1), nn.Conv2d(3, 5, 1)
        self.out, self.gate = nn.Conv2d(5, 2, 1), gate

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv(x)
        return self.out(h * self.gate(self.up(self.down(h.mean((2, 3), keepdim=True)).relu())))


class Gated(nn.Module):
    """A gated layer of a transformer: ``f(gate(x)) * value(x)``."""

    def __init__(self, gate: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.value, self.opened, self.out, self.gate = nn.Linear(4, 5), nn.Linear(4, 5), nn.Linear(5, 3), gate

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.gate(self.opened(x)) * self.value(x))


class GatedConvolution(nn.Module):
    """Two convolutions, one of which gates the other (WaveNet)."""

    def __init__(self) -> None:
        super().__init__()
        self.joint, self.out = nn.Conv1d(3, 8, 3, padding=1), nn.Conv1d(4, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        value, gate = self.joint(x).chunk(2, 1)
        return self.out(value.tanh() * gate.sigmoid())


class Highway(nn.Module):
    """A gate between a layer and its input: ``g * h + (1 - g) * x``."""

    def __init__(self) -> None:
        super().__init__()
        self.entry, self.layer, self.opened, self.out = (nn.Linear(*s) for s in ((4, 5), (5, 5), (5, 5), (5, 3)))

    def forward(self, x: Tensor) -> Tensor:
        x = self.entry(x)
        gate = self.opened(x).sigmoid()
        return self.out(gate * self.layer(x).relu() + (1 - gate) * x)


class Attention(nn.Module):
    """One head without biases: dead queries, keys and values are zero."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v = (nn.Linear(4, 3, bias=False) for _ in range(3))
        self.out = nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(F.scaled_dot_product_attention(self.q(x), self.k(x), self.v(x)))


class Modulated(nn.Module):
    """Scale and shift computed from a second input (FiLM)."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.scale, self.shift, self.out = (nn.Linear(*s) for s in ((4, 5), (3, 5), (3, 5), (5, 2)))

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        return self.out((1 + self.scale(condition)) * self.layer(x) + self.shift(condition))


FLAT, SEQUENCE = torch.ones(2, 4), torch.ones(2, 5, 4)
NETWORKS: dict[str, tuple[Callable[[], nn.Module], object]] = {
    "squeeze_sigmoid": (lambda: Excited(torch.sigmoid), torch.ones(2, 2, 6, 6)),
    "squeeze_hard": (lambda: Excited(F.hardsigmoid), torch.ones(2, 2, 6, 6)),
    "squeeze_plain": (lambda: Excited(lambda g: g), torch.ones(2, 2, 6, 6)),
    "glu": (lambda: Gated(torch.sigmoid), FLAT),
    "swiglu": (lambda: Gated(F.silu), FLAT),
    "geglu": (lambda: Gated(F.gelu), FLAT),
    "reglu": (lambda: Gated(torch.relu), FLAT),
    "bilinear_glu": (lambda: Gated(lambda g: g), FLAT),
    "gated_convolution": (GatedConvolution, torch.ones(2, 3, 9)),
    "highway": (Highway, FLAT),
    "attention": (Attention, SEQUENCE),
    "modulated": (Modulated, (FLAT, torch.ones(2, 3))),
}
LIFTS = {"squeeze_sigmoid", "squeeze_hard", "glu", "gated_convolution", "highway", "attention", "modulated"}


def built(name: str) -> tuple[nn.Module, object, ng.NetGraph]:
    torch.manual_seed(0)
    build, inputs = NETWORKS[name]
    model = build().eval()
    return model, inputs, pa.to_graph(model, inputs, masks={})


@pytest.mark.parametrize("name", NETWORKS)
def test_kept_elements_are_those_with_a_gradient(name):
    model, inputs, graph = built(name)
    questions = ("drop_dead",) if name in LIFTS else ("trim", "drop_dead")

    check_against_gradients(model, inputs, graph, densities=(0.6, 0.35), seeds=range(4), questions=questions)


@pytest.mark.parametrize("name", NETWORKS)
def test_an_element_matters_iff_moving_it_moves_the_output(name):
    """Each kept weight is doubled in turn, on the copy with positive weights."""
    model, inputs, graph = built(name)
    masks = random_masks(model, edge_names(model), 0.45, seed=3)
    found = pa.to_masks(ng.drop_dead(masked(graph, masks)))
    copy = positive_copy(model, masks)
    draw_units(copy, set(masks), torch.Generator().manual_seed(1), constants=SCALE)
    args = [uneven(t) for t in (inputs if isinstance(inputs, tuple) else (inputs,))]
    before = copy(*args).detach()
    for parameter, mask in masks.items():
        weight = copy.get_parameter(parameter).detach().view(-1)
        for element in torch.nonzero(mask.view(-1)).view(-1).tolist():
            kept = float(weight[element])
            weight[element] = 3 * kept
            moved = bool((copy(*args) != before).any())
            weight[element] = kept

            assert moved <= bool(found[parameter].view(-1)[element]), (parameter, element)
            assert moved or not found[parameter].view(-1)[element], (parameter, element)


def uneven(tensor: Tensor) -> Tensor:
    """Return positive inputs of the size of one, all different."""
    draw = torch.rand(tensor.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    return draw + 0.5


@pytest.mark.parametrize("name", ["squeeze_sigmoid", "swiglu", "glu", "highway", "modulated", "gated_convolution"])
def test_what_the_gate_lets_through_has_the_class_that_biases_show(name):
    model, inputs, graph = built(name)
    read = graph.uses("out.weight")[0]
    first = graph.slices[read.source].start + read.source_start
    for seed in range(3):
        masks = random_masks(model, edge_names(model), 0.3, seed=seed)
        shown = value_classes(model, inputs, masks, ["out"], at="input")["out"]
        classes = ng.unit_classes(masked(graph, masks))[first : first + read.columns]

        assert classes.tolist() == shown.tolist(), seed


@pytest.mark.parametrize(
    ("removed", "dead"),
    [("q", {"q", "k"}), ("k", {"q", "k"}), ("v", {"q", "k", "v", "out"})],
)
def test_attention_without_one_of_its_parts(removed, dead):
    """Without queries all scores are alike: keys are dead, values still flow. Without values nothing does."""
    _, _, graph = built("attention")
    masks = {f"{removed}.weight": torch.zeros(3, 4, dtype=torch.bool)}
    found = pa.to_masks(ng.drop_dead(masked(graph, masks)))

    assert {name.split(".")[0] for name, mask in found.items() if not mask.any()} == dead


def test_a_closed_gate_kills_both_its_sides():
    """The plain product: a masked row of the gate makes the value's row dead, and its own."""
    _, _, graph = built("bilinear_glu")
    closed = torch.ones(5, 4, dtype=torch.bool)
    closed[2] = False
    masks = {"opened.weight": closed, "opened.bias": torch.tensor([True, True, False, True, True])}
    found = pa.to_masks(ng.drop_dead(masked(graph, masks)))

    assert found["value.weight"].any(1).tolist() == [True, True, False, True, True]
    assert found["out.weight"].any(0).tolist() == [True, True, False, True, True]
