"""What users of other pruning tools reported, each held here with the number of the report: graphs.

Elsewhere: control flow on data in tests/test_bad_input.py, the live set against autograd in tests/test_exactness.py,
budgets and collapse in tests/test_acceptance_budgets.py.
"""

import copy
import re
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import netgraph as ng
import prune_adapters as pa
from networks import CASES, Case

ROLES = {"edge", "gate", "constant", "unused"}
FAMILIES = ("resnet20_a", "se_resnet", "vit_class", "tied_embedding")


class FrozenNorm(nn.Module):
    """Batch norm whose statistics and scale are all buffers, as detection models have it."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("weight", torch.full((channels,), 0.5))
        self.register_buffer("bias", torch.ones(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        scale = self.weight * (self.running_var + 1e-5).rsqrt()
        bias = self.bias - self.running_mean * scale
        return x * scale.reshape(1, -1, 1, 1) + bias.reshape(1, -1, 1, 1)


class Mixture(nn.Module):
    """A parameter of each kind: frozen, used without gradients, unused, tied, scale, table; and a frozen norm."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm = nn.Conv2d(3, 4, 3, bias=False), FrozenNorm(4)
        self.middle = nn.Conv2d(4, 6, 1).requires_grad_(False)
        self.batch_norm = nn.BatchNorm2d(6)
        self.spare, self.tied, self.head = nn.Linear(3, 3), nn.Linear(6, 6), nn.Linear(6, 6)
        self.head.weight = self.tied.weight
        self.scale, self.table = nn.Parameter(torch.ones(6)), nn.Parameter(torch.zeros(6))

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.norm(self.stem(x)))
        with torch.no_grad():
            x = self.middle(x)
        x = self.batch_norm(x).mean((2, 3)) * self.scale + self.table
        return self.head(torch.relu(self.tied(x)))


class Clamp(torch.autograd.Function):
    """A function with a backward pass of its own."""

    @staticmethod
    def forward(context: torch.autograd.function.FunctionCtx, x: Tensor) -> Tensor:
        return x.clamp(min=0)

    @staticmethod
    def backward(context: torch.autograd.function.FunctionCtx, gradient: Tensor) -> Tensor:
        return gradient


class OwnFunction(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.entry, self.head = nn.Linear(3, 4), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(Clamp.apply(self.entry(x)))


class Decomposed(nn.Module):
    """Eigenvalues of a matrix of activations: no rule says how units pass through."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.linalg.svdvals(x)


def same(graph: ng.NetGraph) -> tuple:
    """Return all of a graph that a user sees."""
    return repr(graph), graph.bits.tolist(), dict(graph.parameters), graph.gate.tolist(), graph.shift.tolist()


# (9) Every parameter is reported


@pytest.mark.parametrize("case", CASES.values(), ids=list(CASES))
def test_every_parameter_has_a_role(case: Case) -> None:
    """VainF/Torch-Pruning#188, #211, #167, #184, #298: layers silently absent, parameters without an owner.

    tianyic/only_train_once_personal_footprint#57: nothing pruned, with no reason.
    """
    model = case.model()
    graph = pa.to_graph(model, case.inputs())
    rows = pa.report(graph).parameters

    assert sorted(graph.parameters) == sorted(name for name, _ in model.named_parameters())
    assert [row.parameter for row in rows] == list(graph.parameters)
    assert {row.role for row in rows} <= ROLES
    assert {row.parameter: row.shape for row in rows} == {n: tuple(p.shape) for n, p in model.named_parameters()}
    assert {row.parameter for row in rows if row.role == "edge"} == set(pa.to_masks(graph))


def test_frozen_unused_and_tied_parameters_are_reported() -> None:
    """VainF/Torch-Pruning#188, #211: a frozen layer or norm vanishes from the graph, and so do those before it."""
    model = Mixture()
    graph = pa.to_graph(model, torch.ones(1, 3, 8, 8))
    roles = {name: info.role for name, info in graph.parameters.items()}

    assert roles == {
        "scale": "gate",
        "table": "constant",
        "stem.weight": "edge",
        "middle.weight": "edge",
        "middle.bias": "constant",
        "batch_norm.weight": "gate",
        "batch_norm.bias": "constant",
        "spare.weight": "unused",
        "spare.bias": "unused",
        "tied.weight": "edge",
        "tied.bias": "constant",
        "head.bias": "constant",
    }
    assert len(graph.uses("tied.weight")) == 2
    assert list(graph.buffers) == ["batch_norm.running_mean"]
    assert ng.effective_sparsity(graph) == 0
    assert "2 unused (spare.weight, spare.bias)" in str(pa.report(graph))


def test_the_bias_of_a_frozen_norm_is_a_constant() -> None:
    """VainF/Torch-Pruning#211: FrozenBN. Its channels emit a constant where the convolution before is pruned away."""
    masks = {"stem.weight": torch.ones(4, 3, 3, 3, dtype=torch.bool)}
    masks["stem.weight"][1] = False
    graph = pa.to_graph(Mixture(), torch.ones(1, 3, 8, 8), masks=masks)
    why = pa.explain(graph, "stem[1]")

    assert (why.state, why.value) == ("constant", "constant")
    assert "None of the 27 weights into it is kept." in why.text


# (10) An operator without a rule is named


@pytest.mark.parametrize("place", [nn.Sequential(Decomposed()), Decomposed()], ids=["nested", "flat"])
def test_an_unknown_operator_is_an_error_with_name_module_and_line(place: nn.Module) -> None:
    """microsoft/nni#4885, #5435, #5445, #5474: one unsupported operator after another.

    tianyic/only_train_once_personal_footprint#5: an unknown operator silently changes the result.
    """
    model = nn.Sequential(nn.Linear(6, 4), place, nn.Linear(2, 3))
    module = "1.0" if isinstance(place, nn.Sequential) else "1"
    with pytest.raises(pa.TraceError) as error:
        pa.to_graph(model, torch.randn(2, 6))

    assert re.search(
        rf"operator aten\.\w*svd\w* in module '{module}' \(test_acceptance_graph\.py:\d+: ", str(error.value)
    )
    assert "register_rule('aten." in str(error.value)
    assert "unknown='mix'" in str(error.value)


def test_mixing_through_an_unknown_operator_is_explicit() -> None:
    """tianyic/only_train_once_personal_footprint#5: all depends on all only on request, and a note says so."""
    model = nn.Sequential(nn.Linear(6, 4), Decomposed(), nn.Linear(2, 3))
    graph = pa.to_graph(model, torch.randn(2, 6), unknown="mix")

    assert ng.effective_sparsity(graph) == 0
    assert any("every output is taken to depend on every input" in note for note in graph.notes)


def test_a_function_with_its_own_backward_is_followed() -> None:
    """VainF/Torch-Pruning#5: a custom autograd.Function."""
    graph = pa.to_graph(OwnFunction(), torch.ones(1, 3))

    assert graph.edge_parameters == ("entry.weight", "head.weight")
    assert ng.effective_sparsity(graph) == 0


# (11) The graph does not depend on what trains


def frozen(model: nn.Module) -> nn.Module:
    return model.requires_grad_(False)


def half_frozen(model: nn.Module) -> nn.Module:
    for parameter in list(model.parameters())[::2]:
        parameter.requires_grad_(False)
    return model


STATES: dict[str, Callable[[nn.Module], nn.Module]] = {
    "frozen": frozen,
    "half frozen": half_frozen,
    "training": lambda model: model.train(),
    "frozen training": lambda model: frozen(model).train(),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_frozen_and_training_models_trace_alike(family: str) -> None:
    """VainF/Torch-Pruning#188, #211: what does not require a gradient is missing from graphs built by autograd."""
    model, inputs = CASES[family].model(), CASES[family].inputs()
    expected = same(pa.to_graph(model, inputs))
    for name, change in STATES.items():
        changed = change(copy.deepcopy(model))
        modes = [module.training for module in changed.modules()]
        needs = [parameter.requires_grad for parameter in changed.parameters()]

        assert same(pa.to_graph(changed, inputs)) == expected, name
        assert [module.training for module in changed.modules()] == modes
        assert [parameter.requires_grad for parameter in changed.parameters()] == needs


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_models_trace_alike_without_gradients(context: Callable) -> None:
    """VainF/Torch-Pruning#188: a graph asked for inside no_grad is the same graph."""
    model, inputs = CASES["resnet20_a"].model(), CASES["resnet20_a"].inputs()
    expected = same(pa.to_graph(model, inputs))
    with context():
        found = same(pa.to_graph(model, inputs))

    assert found == expected
