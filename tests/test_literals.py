"""Constants that a program makes itself: zeros count as zeros, what is learned or stored never does."""

import pytest
import torch
from torch import Tensor, nn

import netgraph as ng
import prune_adapters as pa
from agreement import compared
from oracle import random_masks


class Combined(nn.Linear):
    """A linear layer without bias beside something that the program makes."""

    def __init__(self, combine) -> None:
        super().__init__(2, 2, bias=False)
        self.combine = combine
        self.register_buffer("stored", torch.zeros(2))

    def forward(self, x: Tensor) -> Tensor:
        return self.combine(super().forward(x), self)


def written(hidden: Tensor, part: slice) -> Tensor:
    result = torch.zeros(len(hidden), 4)
    result[:, part] = hidden
    return result


SELECTED = torch.tensor([[True, False]])

ZERO, CONSTANT, LIVE = 0, 1, 2


@pytest.mark.parametrize(
    ("combine", "classes"),
    [
        (lambda h, m: h + torch.zeros(2), [LIVE, ZERO]),
        (lambda h, m: h + torch.zeros_like(h), [LIVE, ZERO]),
        (lambda h, m: h + torch.tensor([0.0, 0.0]), [LIVE, ZERO]),
        (lambda h, m: h + torch.ones(2), [LIVE, CONSTANT]),
        (lambda h, m: h + m.stored, [LIVE, CONSTANT]),
        (lambda h, m: h + 0 * m.stored, [LIVE, CONSTANT]),
        (lambda h, m: h + torch.rand(2), [LIVE, CONSTANT]),
        (lambda h, m: h.exp() * torch.zeros(2), []),
        (lambda h, m: h.exp() * m.stored, [LIVE, CONSTANT]),
        (lambda h, m: torch.where(SELECTED, h, torch.zeros(())), [LIVE]),
        (lambda h, m: torch.where(SELECTED, h, torch.ones(())), [LIVE]),
        (lambda h, m: h.masked_fill(SELECTED, 0.0), [ZERO]),
        (lambda h, m: h.masked_fill(SELECTED, 1.0), [ZERO]),
        (lambda h, m: torch.cat([h, torch.zeros(1, 1)], 1), [LIVE, ZERO]),
        (lambda h, m: written(h, slice(0, 2)), [LIVE, ZERO]),
    ],
)
@pytest.mark.parametrize("follow", [None, "example"])
def test_classes_of_what_comes_out(combine, classes, follow):
    masks = {"weight": torch.tensor([[True, True], [False, False]])}
    graph = pa.to_graph(Combined(combine), torch.zeros(1, 2), masks=masks, follow=follow)

    assert ng.unit_classes(graph)[graph.outputs].tolist() == classes


class Scan(nn.Module):
    """A state that starts at zero, decays by a gate and takes in a product, step by step (a selective scan)."""

    def __init__(self, width: int = 6) -> None:
        super().__init__()
        self.value, self.rate, self.out = nn.Linear(4, width), nn.Linear(4, width), nn.Linear(width, 3)
        self.decay = nn.Parameter(torch.rand(width))

    def forward(self, x: Tensor) -> Tensor:
        value, rate = self.value(x), nn.functional.softplus(self.rate(x))
        state, seen = torch.zeros(len(x), value.shape[-1], dtype=x.dtype), []
        for step in range(x.shape[1]):
            state = torch.exp(-self.decay.exp() * rate[:, step]) * state + rate[:, step] * value[:, step]
            seen.append(state)
        return self.out(torch.stack(seen, 1))


def test_a_scan_from_zero_is_followed_exactly():
    torch.manual_seed(0)
    model, x = Scan().eval(), torch.ones(1, 3, 4)
    graph = pa.to_graph(model, x)
    roles = {name: info.role for name, info in graph.parameters.items() if info.role != "edge"}
    for seed in range(4):
        masks = random_masks(model, graph.edge_parameters, 0.3, seed=seed)
        for constants in ("drop_dead", "bare"):
            assert compared(model, x, graph, masks, constants, roles=roles) == {}, f"seed {seed}, {constants}"


class KeyBias(nn.Module):
    """A bias of which a part is set to zero before it is added, as Swin V2 does for its keys."""

    def __init__(self, fill) -> None:
        super().__init__()
        self.entry, self.bias, self.fill = nn.Linear(2, 4, bias=False), nn.Parameter(torch.ones(4)), fill

    def forward(self, x: Tensor) -> Tensor:
        bias = self.bias.clone()
        self.fill(bias)
        return self.entry(x) + bias


@pytest.mark.parametrize(
    ("fill", "classes", "masked"),
    [
        (lambda bias: bias[1:3].zero_(), [CONSTANT, ZERO, ZERO, CONSTANT], [ZERO] * 4),
        (lambda bias: bias[1:3].copy_(bias[2:4].clone()), [CONSTANT] * 4, [ZERO] * 4),
        (lambda bias: bias[1:3].fill_(1.0), [CONSTANT] * 4, [ZERO, CONSTANT, CONSTANT, ZERO]),
    ],
)
def test_a_bias_that_is_partly_written_over_stays_a_bias(fill, classes, masked):
    none = {"entry.weight": torch.zeros(4, 2, dtype=torch.bool)}
    no_bias = none | {"bias": torch.zeros(4, dtype=torch.bool)}
    for masks, expected in ((none, classes), (no_bias, masked)):
        graph = pa.to_graph(KeyBias(fill), torch.zeros(1, 2), masks=masks)

        assert graph.parameters["bias"].role == "constant"
        assert ng.unit_classes(graph)[graph.outputs].tolist() == expected


@pytest.mark.parametrize(
    ("shift", "masked"),
    [
        (lambda a, b: a + b, ZERO),
        (lambda a, b: torch.cat([a[:1], b[1:]]) * 2 - a.exp() * b, ZERO),
        (lambda a, b: (a + b).reshape(1, 2).expand(1, 2), ZERO),
        (lambda a, b: a + b + 1, CONSTANT),
        (lambda a, b: a + b.exp(), CONSTANT),
        (lambda a, b: torch.sigmoid(a), CONSTANT),
    ],
)
def test_masks_take_a_computed_shift_away_only_if_it_is_zero_without_its_parameters(shift, masked):
    class Shifted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.entry = nn.Linear(2, 2, bias=False)
            self.a, self.b = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))

        def forward(self, x: Tensor) -> Tensor:
            return self.entry(x) + shift(self.a, self.b)

    weights = {"entry.weight": torch.zeros(2, 2, dtype=torch.bool)}
    none = {name: torch.zeros(2, dtype=torch.bool) for name in ("a", "b")}
    whole, without = (pa.to_graph(Shifted(), torch.zeros(1, 2), masks=weights | m) for m in ({}, none))

    assert ng.unit_classes(whole)[whole.outputs].tolist() == [CONSTANT] * 2
    assert ng.unit_classes(without)[without.outputs].tolist() == [masked] * 2


@pytest.mark.parametrize(
    ("middle", "masked"),
    [
        (lambda m: torch.zeros(2), [ZERO, ZERO, ZERO]),
        (lambda m: torch.ones(2), [ZERO, CONSTANT, CONSTANT]),
        (lambda m: m.stored, [ZERO, CONSTANT, CONSTANT]),
    ],
)
@pytest.mark.parametrize("gate", [False, True])
def test_a_bias_with_a_constant_inside(middle, masked, gate):
    """BEiT puts a buffer of zeros, its key bias, between two parameters: a buffer may be anything."""

    class Joined(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.entry, self.bias = nn.Linear(2, 3, bias=False), nn.Parameter(torch.ones(1))
            self.register_buffer("stored", torch.zeros(2))

        def forward(self, x: Tensor) -> Tensor:
            joined = torch.cat([self.bias, middle(self)])
            return torch.sigmoid(self.entry(x)) * joined if gate else self.entry(x) + joined

    masks = {"entry.weight": torch.zeros(3, 2, dtype=torch.bool), "bias": torch.zeros(1, dtype=torch.bool)}
    graph = pa.to_graph(Joined(), torch.zeros(1, 2), masks=masks)
    found = ng.unit_classes(graph)[graph.outputs]

    assert (found >= masked).all()
    assert gate or found.tolist() == masked


def test_zeros_of_an_integer_may_be_an_index():
    """T5 compares its relative positions with zeros of their kind before it looks its bias up."""

    class Relative(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Embedding(4, 2)

        def forward(self, x: Tensor) -> Tensor:
            steps = torch.arange(2)
            return x + self.table(torch.min(steps - 1, torch.zeros_like(steps)) + 1)

    graph = pa.to_graph(Relative(), torch.zeros(1, 2, 2))

    assert graph.parameters["table.weight"].role == "constant"
