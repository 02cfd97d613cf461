"""Soft masks: the layer reads zeros, the weights live on, and nothing is left when they go."""

import copy

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize

import prune_adapters as pa


class Attention(nn.Module):
    """Self-attention over a batch of short sequences."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x.reshape(-1, 2, 4)
        return self.attention(x, x, x, need_weights=False)[0]


def mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 3))


def convolution() -> nn.Module:
    return nn.Sequential(nn.Unflatten(1, (2, 2, 2)), nn.Conv2d(2, 4, 2), nn.BatchNorm2d(4), nn.Flatten())


def tied() -> nn.Module:
    model = nn.Sequential(nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 8))
    model[2].weight = model[0].weight
    return model


MODELS = [mlp, convolution, tied, Attention]
GRADIENTS = ["all", "kept"]


@pytest.fixture(params=MODELS, ids=lambda build: build.__name__)
def model(request: pytest.FixtureRequest) -> nn.Module:
    torch.manual_seed(0)
    return request.param()


def random_masks(model: nn.Module) -> dict[str, torch.Tensor]:
    return dict(pa.masks_from_scores(pa.random_scores(model, seed=0), sparsity=0.5, scope="layer"))


def loss_of(model: nn.Module) -> torch.Tensor:
    return model(torch.randn(6, 8, generator=torch.Generator().manual_seed(1))).square().mean()


def gradients(model: nn.Module) -> dict[str, torch.Tensor]:
    """Return the gradients under the names that the parameters have without a parametrization."""
    plain = {n.replace("parametrizations.", "").removesuffix(".original"): p for n, p in model.named_parameters()}
    return {name: parameter.grad for name, parameter in sorted(plain.items())}


def test_drawn_layer() -> None:
    """Input 2 and 3, gradient of the output 1: a removed weight gets 3 or nothing."""
    for gradient, expected in (("all", [[2.0, 3.0]]), ("kept", [[2.0, 0.0]])):
        layer = nn.Linear(2, 1, bias=False)
        layer.weight.data.copy_(torch.tensor([[5.0, 7.0]]))
        weight = layer.weight
        pa.apply_soft_masks(layer, {"weight": torch.tensor([[True, False]])}, gradient=gradient)
        output = layer(torch.tensor([2.0, 3.0]))
        output.backward()

        assert output.item() == 10.0
        assert weight.tolist() == [[5.0, 7.0]]
        assert weight.grad.tolist() == expected


@pytest.mark.parametrize("gradient", GRADIENTS)
def test_output_and_gradients_are_those_of_hard_masks(model: nn.Module, gradient: str) -> None:
    masks = random_masks(model)
    hard, soft = (copy.deepcopy(model) for _ in range(2))
    pa.apply_masks(hard, masks)
    pa.apply_soft_masks(soft, masks, gradient=gradient)
    for network in (hard, soft):
        loss_of(network).backward()
    if gradient == "kept":
        for name, mask in masks.items():
            hard.get_parameter(name).grad[~mask] = 0

    torch.testing.assert_close(loss_of(soft), loss_of(hard))
    torch.testing.assert_close(gradients(soft), gradients(hard))


@pytest.mark.parametrize("gradient", GRADIENTS)
def test_removal_is_the_exact_inverse(model: nn.Module, gradient: str) -> None:
    before = {name: (parameter, parameter.clone()) for name, parameter in model.named_parameters()}
    keys, kinds = list(model.state_dict()), [type(module) for module in model.modules()]
    same = pa.remove_soft_masks(pa.apply_soft_masks(model, random_masks(model), gradient=gradient))

    assert same is model
    assert sorted(model.state_dict()) == sorted(keys)
    assert [type(module) for module in model.modules()] == kinds
    assert pa.soft_masks(model) == {}
    for name, parameter in model.named_parameters():
        assert parameter is before[name][0]
        torch.testing.assert_close(parameter, before[name][1], rtol=0, atol=0)


def test_masks_come_back_under_plain_names(model: nn.Module) -> None:
    masks = random_masks(model)

    torch.testing.assert_close(pa.soft_masks(pa.apply_soft_masks(model, masks)), masks)


def test_removed_weights_learn_and_come_back() -> None:
    model = mlp()
    masks = random_masks(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    before = {name: model.get_parameter(name).detach().clone() for name in masks}
    pa.apply_soft_masks(model, masks)
    for _ in range(2):
        optimizer.zero_grad()
        loss_of(model).backward()
        optimizer.step()
    pa.soft_masks(model)["2.weight"].fill_(True)
    assert not model[0].weight[~masks["0.weight"]].any()
    assert model[2].weight.all()
    pa.remove_soft_masks(model)

    for name, mask in masks.items():
        assert (model.get_parameter(name) != before[name])[~mask].any()


def test_infinite_weights_read_as_zero_and_nothing_more_is_saved() -> None:
    layer = nn.Linear(2, 1, bias=False)
    layer.weight.data.copy_(torch.tensor([[1.0, float("inf")]]))
    pa.apply_soft_masks(layer, {"weight": torch.tensor([[True, False]])})
    saved: list[torch.Tensor] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: saved.append(t) or t, lambda t: t):
        weight = layer.weight

    assert weight.tolist() == [[1.0, 0.0]]
    assert saved == []


@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")  # by torch.compile 2.13 itself
def test_soft_masks_are_saved_copied_and_compiled(model: nn.Module) -> None:
    other = copy.deepcopy(model)
    masks = random_masks(model)
    pa.apply_soft_masks(model, masks)
    pa.apply_soft_masks(other, {name: ~mask for name, mask in masks.items()})
    other.load_state_dict(model.state_dict())
    twin = copy.deepcopy(model)
    torch._dynamo.reset()
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
    loss_of(compiled).backward()

    for network in (other, twin):
        torch.testing.assert_close(pa.soft_masks(network), masks)
        torch.testing.assert_close(loss_of(network), loss_of(model))
    torch.testing.assert_close(loss_of(compiled), loss_of(model))


def test_what_cannot_be_masked_softly() -> None:
    lstm, normed, masked = nn.LSTM(2, 2), nn.utils.parametrizations.weight_norm(nn.Linear(2, 2)), nn.Linear(2, 2)
    mask = torch.eye(2, dtype=torch.bool)
    pa.apply_masks(masked, {"weight": mask})

    with pytest.raises(
        pa.MaskError, match=r"mask for 'weight_ih_l0': recurrent layers do not read parametrized weights"
    ):
        pa.apply_soft_masks(lstm, {"weight_ih_l0": torch.ones(8, 2, dtype=torch.bool)})
    with pytest.raises(
        pa.MaskError, match=r"'parametrizations.weight.original1': already parametrized; use apply_masks"
    ):
        pa.apply_soft_masks(normed, {"parametrizations.weight.original1": mask})
    with pytest.raises(pa.MaskError, match=r"mask for 'weight': the model remembers another one; call remove_masks"):
        pa.apply_soft_masks(masked, {"weight": mask})
    with pytest.raises(ValueError, match=r"gradient: expected one of 'all', 'kept', got 'none'"):
        pa.apply_soft_masks(nn.Linear(2, 2), {"weight": mask}, gradient="none")
    assert not any(parametrize.is_parametrized(module) for module in (lstm, masked))


def test_other_parametrizations_stay() -> None:
    model = nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(8, 6)), nn.Linear(6, 3))
    pa.apply_soft_masks(model, {"1.weight": torch.rand(3, 6) < 0.5})
    pa.remove_soft_masks(model)

    assert parametrize.is_parametrized(model[0])
    assert not parametrize.is_parametrized(model[1])
