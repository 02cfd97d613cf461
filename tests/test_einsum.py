"""Einstein sums with parameters: whatever the equation, an edge for each element that autograd sees."""

import pytest
import torch
from torch import Tensor, nn

import netgraph as ng
import prune_adapters as pa
from agreement import check_against_gradients

X, SEQUENCE = torch.ones(2, 4), torch.ones(2, 3, 4)
EQUATIONS: dict[str, tuple[Tensor, tuple[tuple[int, ...], ...]]] = {
    "bi,oi->bo": (X, ((5, 4),)),
    "...i,oi->...o": (SEQUENCE, ((5, 4),)),
    "...i,ij": (X, ((4, 5),)),
    "bti,hoi->btho": (SEQUENCE, ((2, 3, 4),)),
    "bi,ij,jk->bk": (X, ((4, 3), (3, 5))),
    "bi,ij,kj->bk": (X, ((4, 3), (5, 3))),
    "bi,ij->bj": (X, ((4, 5),)),
    "bti,tio->bto": (SEQUENCE, ((3, 4, 5),)),
    "bti,tio->bo": (SEQUENCE, ((3, 4, 5),)),
    "bi,bj,ijk->bk": (X, ((4, 4, 5),)),
    "bi,ij,bj->b": (X, ((4, 4),)),
    "bi,i->bi": (X, ((4,),)),
    "bi,io->b": (X, ((4, 5),)),
}
PLACES = {"bti,tio->bto", "bti,tio->bo"}
"""Units are told apart by position here, as every position has weights of its own."""
WIDER = {"bi,i->bi": "a parameter that is not summed over is a gate, and gates are not edges"}


class Summed(nn.Module):
    """A linear layer, an einsum with parameters, a readout."""

    def __init__(self, equation: str) -> None:
        super().__init__()
        inputs, shapes = EQUATIONS[equation]
        self.equation = equation
        self.entry, self.second = nn.Linear(4, 4), nn.Linear(4, 4)
        self.factors = nn.ParameterList(torch.randn(*shape) for shape in shapes)
        with torch.no_grad():
            self.out = nn.Linear(self.flat(inputs).shape[-1], 3)

    def summed(self, x: Tensor) -> Tensor:
        hidden, factors = self.entry(x), list(self.factors)
        if self.equation == "bi,ij,bj->b":
            operands = [hidden, *factors, self.second(x)]
        elif self.equation == "bi,bj,ijk->bk":
            operands = [hidden, self.second(x), *factors]
        else:
            operands = [hidden, *factors]
        result = torch.einsum(self.equation, *operands)
        return result[:, None] if result.dim() == 1 else result

    def flat(self, x: Tensor) -> Tensor:
        result = self.summed(x)
        return result.flatten(2) if x.dim() == 3 and result.dim() > 2 else result

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.flat(x))


def built(equation: str) -> tuple[nn.Module, Tensor]:
    torch.manual_seed(0)
    return Summed(equation).eval(), EQUATIONS[equation][0]


@pytest.mark.parametrize("follow", [None, "example"])
@pytest.mark.parametrize("equation", EQUATIONS)
def test_kept_elements_are_those_with_a_gradient(equation, follow):
    model, inputs = built(equation)
    dims = {"input" if follow else "x": [1, 2] if equation in PLACES else -1}
    positions = "split" if equation in PLACES else "join"
    graph = pa.to_graph(model, inputs, masks={}, follow=follow, unit_dims=dims, positions=positions)

    if equation not in WIDER:
        assert {f"factors.{i}" for i in range(len(model.factors))} < set(graph.edge_parameters)
    check_against_gradients(model, inputs, graph, densities=(0.6,), questions=("drop_dead",))


def test_the_parameter_may_come_first():
    class First(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.randn(5, 4))

        def forward(self, x: Tensor) -> Tensor:
            return torch.einsum("oi,bi->bo", self.weight, x)

    graph = pa.to_graph(First(), X)

    assert [(c.rows, c.columns) for c in graph.weighted] == [(5, 4)]


def test_weights_between_positions_join_positions():
    class Mixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight, self.out = nn.Parameter(torch.randn(3, 6)), nn.Linear(4, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.out(torch.einsum("btd,ts->bsd", x, self.weight))

    graph = pa.to_graph(Mixed(), SEQUENCE, unit_dims={"x": -1})

    assert [(c.rows, c.columns) for c in graph.uses("weight")] == [(6, 3)]
    assert ng.sweep(graph).consistent.tolist() == [18, 8]


def test_a_parameter_that_bears_a_label_twice_is_refused():
    class Diagonal(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.randn(4, 4))

        def forward(self, x: Tensor) -> Tensor:
            return torch.einsum("bi,ii->b", x, self.weight)

    with pytest.raises(pa.TraceError, match="a parameter bears a label twice"):
        pa.to_graph(Diagonal(), X)
