"""Masks of torch.nn.utils.prune taken over: nothing of torch's is left, and the network computes the same."""

import copy
from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.nn.utils import prune

import prune_adapters as pa

Prepare = Callable[[nn.Module], None]


class Sequences(nn.Module):
    """Attention and a recurrent layer over a batch of short sequences."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)
        self.lstm = nn.LSTM(4, 3, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x.reshape(-1, 2, 4)
        return self.lstm(self.attention(x, x, x, need_weights=False)[0])[0]


def network() -> nn.Sequential:
    torch.manual_seed(0)
    image = (nn.Unflatten(1, (2, 2, 2)), nn.Conv2d(2, 4, 2), nn.BatchNorm2d(4), nn.Flatten())
    return nn.Sequential(*image, nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 4), Sequences()).eval()


def global_magnitude(model: nn.Module) -> None:
    places = [(model[1], "weight"), (model[4], "weight"), (model[6], "weight")]
    prune.global_unstructured(places, pruning_method=prune.L1Unstructured, amount=0.5)


def structured(model: nn.Module) -> None:
    prune.ln_structured(model[1], "weight", amount=1, n=2, dim=0)
    prune.random_structured(model[4], "weight", amount=3, dim=1)


def stacked(model: nn.Module) -> None:
    prune.ln_structured(model[4], "weight", amount=2, n=1, dim=0)
    prune.l1_unstructured(model[4], "weight", amount=0.5)
    prune.random_unstructured(model[4], "weight", amount=3)


def biases(model: nn.Module) -> None:
    prune.l1_unstructured(model[4], "bias", amount=3)
    prune.l1_unstructured(model[4], "weight", amount=3)


def attention(model: nn.Module) -> None:
    prune.l1_unstructured(model[-1].attention, "in_proj_weight", amount=0.5)
    prune.l1_unstructured(model[-1].attention.out_proj, "weight", amount=0.5)


def recurrent(model: nn.Module) -> None:
    for key in ("weight_hh_l0", "weight_ih_l0", "bias_hh_l0"):
        prune.random_unstructured(model[-1].lstm, key, amount=0.5)


def nothing_removed(model: nn.Module) -> None:
    prune.identity(model[4], "weight")


WAYS = [global_magnitude, structured, stacked, biases, attention, recurrent, nothing_removed]


@pytest.fixture(params=WAYS, ids=lambda prepare: prepare.__name__)
def prepare(request: pytest.FixtureRequest) -> Prepare:
    return request.param


def loss_of(model: nn.Module) -> torch.Tensor:
    return model(torch.randn(6, 8, generator=torch.Generator().manual_seed(1))).square().mean()


def test_drawn_layer() -> None:
    layer = nn.Linear(3, 1)
    layer.weight.data.copy_(torch.tensor([[1.0, -2.0, 3.0]]))
    prune.l1_unstructured(layer, "weight", amount=1)
    pa.from_torch_prune(layer)

    assert layer.weight.tolist() == [[0.0, -2.0, 3.0]]
    assert pa.remembered_masks(layer)["weight"].tolist() == [[False, True, True]]


def test_the_network_computes_the_same_under_its_old_names(prepare: Prepare) -> None:
    model = network()
    names = [name for name, _ in model.named_parameters()]
    prepare(model)
    masks = {name.removesuffix("_mask"): mask != 0 for name, mask in model.named_buffers() if name.endswith("_mask")}
    with torch.no_grad():
        before = loss_of(model)
    same = pa.from_torch_prune(model)

    assert same is model
    assert not prune.is_pruned(model)
    assert [name for name, _ in model.named_parameters()] == names
    assert list(model.state_dict()) == list(network().state_dict())
    assert pa.remembered_masks(model).keys() == masks.keys()
    for name, mask in masks.items():
        torch.testing.assert_close(pa.remembered_masks(model)[name], mask)
        assert not model.get_parameter(name)[~mask].any()
    torch.testing.assert_close(loss_of(model), before)


def test_training_goes_on_with_the_same_optimizer(prepare: Prepare) -> None:
    """The parameters are the same objects, their momentum is kept, and removed weights do not move."""
    model = network().train()
    prepare(model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1, weight_decay=0.1)
    loss_of(model).backward()
    optimizer.step()
    pa.keep_masks(pa.from_torch_prune(model), optimizer)
    masks = pa.remembered_masks(model)
    before = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    optimizer.zero_grad()
    loss_of(model).backward()
    optimizer.step()

    assert {id(p) for p in optimizer.param_groups[0]["params"]} == {id(p) for p in model.parameters()}
    for name, mask in masks.items():
        weight = model.get_parameter(name).detach()
        assert not weight[~mask].any()
        assert (weight[mask] != before[name][mask]).any()
        assert not optimizer.state[model.get_parameter(name)]["exp_avg"][~mask].any()


def test_a_model_can_be_copied_again_and_loads_dense_checkpoints(prepare: Prepare) -> None:
    model = network()
    prepare(model)
    loss_of(model).backward()
    twin = copy.deepcopy(pa.from_torch_prune(model))
    twin.load_state_dict(network().state_dict())

    for name, mask in pa.remembered_masks(twin).items():
        assert not twin.get_parameter(name)[~mask].any()


def test_other_hooks_stay() -> None:
    model, calls = network(), []
    model[4].register_forward_pre_hook(lambda *_: calls.append("first"))
    prune.l1_unstructured(model[4], "weight", amount=1)
    model[4].register_forward_pre_hook(lambda *_: calls.append("second"))
    loss_of(pa.from_torch_prune(model))

    assert calls == ["first", "second"]


def test_wrapped_models() -> None:
    model = network()
    global_magnitude(model)
    wrapped = pa.from_torch_prune(nn.DataParallel(model))

    assert list(pa.remembered_masks(wrapped)) == ["1.weight", "4.weight", "6.weight"]


def tied() -> nn.Sequential:
    model = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8))
    model[1].weight = model[0].weight
    return model


def test_a_shared_weight_masked_alike_in_all_places() -> None:
    model = tied()
    mask = torch.rand(8, 8) < 0.5
    for layer in model:
        prune.custom_from_mask(layer, "weight", mask)
    pa.from_torch_prune(model)

    assert model[0].weight is model[1].weight
    torch.testing.assert_close(pa.remembered_masks(model), {"0.weight": mask})


def test_a_shared_weight_masked_in_one_place_only() -> None:
    model = tied()
    prune.l1_unstructured(model[0], "weight", amount=3)
    keys = list(model.state_dict())

    with pytest.raises(pa.MaskError, match=r"mask for '0.weight': the same parameter is used without one as 1.weight"):
        pa.from_torch_prune(model)
    assert list(model.state_dict()) == keys


def test_a_shared_weight_masked_in_two_ways() -> None:
    model = tied()
    for number, layer in enumerate(model):
        prune.l1_unstructured(layer, "weight", amount=3 + number)

    with pytest.raises(pa.MaskError, match=r"mask for '1.weight': differs from the one for '0.weight', the same param"):
        pa.from_torch_prune(model)


def test_a_mask_that_scales() -> None:
    layer = nn.Linear(2, 1)
    prune.custom_from_mask(layer, "weight", torch.tensor([[0.5, 1.0]]))

    with pytest.raises(
        pa.MaskError, match=r"mask for 'weight': 1 of 2 values are neither 0 nor 1; torch.nn.utils.prune"
    ):
        pa.from_torch_prune(layer)
    assert prune.is_pruned(layer)


def test_a_model_without_such_masks() -> None:
    with pytest.raises(ValueError, match=r"no parameter has been pruned with torch.nn.utils.prune"):
        pa.from_torch_prune(nn.Linear(2, 1))
