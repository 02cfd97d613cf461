"""Masks kept while a model trains, with every kind of optimizer."""

import copy
from collections.abc import Callable

import pytest
import torch
from torch import nn

import prune_adapters as pa
from masked import (
    MODELS,
    OPTIMIZERS,
    Parameters,
    assert_removed_are_zero,
    convolution,
    loss_of,
    mlp,
    random_masks,
    step,
    tied,
)
from prune_adapters import keep
from prune_adapters.apply import remembered_masks
from prune_adapters.masks import parameter_owners


@pytest.fixture(params=MODELS, ids=lambda build: build.__name__)
def model(request: pytest.FixtureRequest) -> nn.Module:
    torch.manual_seed(0)
    return request.param()


@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=list(OPTIMIZERS))
@pytest.mark.parametrize("built", ["before", "after"])
def test_removed_weights_and_their_state_stay_zero(
    model: nn.Module, make: Callable[[Parameters], torch.optim.Optimizer], built: str
) -> None:
    masks = random_masks(model)
    optimizer = make(model.parameters())
    if built == "before":
        step(model, optimizer)
    pa.apply_masks(model, masks)
    if built == "after":
        optimizer = make(model.parameters())
    pa.keep_masks(model, optimizer)
    for seed in range(3):
        step(model, optimizer, seed)
        assert_removed_are_zero(model, masks)

    for name, mask in masks.items():
        module, key = parameter_owners(model)[name][0]
        for state in optimizer.state.get(module.get_parameter(key), {}).values():
            if isinstance(state, torch.Tensor) and state.shape == mask.shape:
                assert not state[~mask].any()


def test_an_optimizer_with_closures() -> None:
    torch.manual_seed(0)
    model = mlp()
    masks = random_masks(model)
    optimizer = torch.optim.LBFGS(pa.apply_masks(model, masks).parameters(), lr=0.1, max_iter=3)
    pa.keep_masks(model, optimizer)
    before = loss_of(model).item()
    for _ in range(3):
        step(model, optimizer)

    assert_removed_are_zero(model, masks)
    assert loss_of(model).item() < before


def test_state_from_before_is_zeroed_at_once() -> None:
    model = mlp()
    optimizer = OPTIMIZERS["sgd"](model.parameters())
    step(model, optimizer)
    masks = random_masks(model)
    pa.keep_masks(pa.apply_masks(model, masks), optimizer)

    momentum = optimizer.state[model[0].weight]["momentum_buffer"]
    assert not momentum[~masks["0.weight"]].any()
    assert momentum[masks["0.weight"]].any()


def test_kept_weights_train_as_without_masks() -> None:
    """With plain SGD a masked network moves its kept weights exactly as a copy that is zeroed by hand."""
    torch.manual_seed(0)
    model = mlp()
    masks = random_masks(model)
    pa.apply_masks(model, masks)
    plain = copy.deepcopy(model)
    optimizer, other = (torch.optim.SGD(m.parameters(), lr=0.1) for m in (model, plain))
    pa.keep_masks(model, optimizer)
    for seed in range(5):
        step(model, optimizer, seed)
        step(plain, other, seed)
        with torch.no_grad():
            for name, mask in masks.items():
                plain.get_parameter(name)[~mask] = 0

    torch.testing.assert_close(model.state_dict(), plain.state_dict(), rtol=0, atol=0)


def test_gradients_are_left_alone() -> None:
    model = mlp()
    masks = random_masks(model)
    optimizer = OPTIMIZERS["adamw"](model.parameters())
    pa.keep_masks(pa.apply_masks(model, masks), optimizer)
    step(model, optimizer)

    assert model[2].weight.grad[~masks["2.weight"]].any()


def test_gradient_accumulation_and_parameter_groups() -> None:
    model = mlp()
    masks = random_masks(model)
    pa.apply_masks(model, masks)
    groups = [{"params": model[0].parameters(), "lr": 0.1}, {"params": model[2].parameters(), "weight_decay": 0.5}]
    optimizer = torch.optim.AdamW(groups)
    pa.keep_masks(model, optimizer)
    for seed in range(3):
        loss_of(model, seed).backward()
    optimizer.step()

    assert_removed_are_zero(model, masks)


def test_two_optimizers_hold_each_their_part() -> None:
    model = mlp()
    masks = random_masks(model)
    pa.apply_masks(model, masks)
    optimizers = [torch.optim.AdamW(model[i].parameters(), lr=0.1) for i in (0, 2)]
    for optimizer in optimizers:
        pa.keep_masks(model, optimizer)
    loss_of(model).backward()
    for optimizer in optimizers:
        optimizer.step()

    assert_removed_are_zero(model, masks)


def test_masks_applied_later_hold_from_the_next_step_on() -> None:
    model = mlp()
    optimizer = OPTIMIZERS["adamw"](model.parameters())
    pa.keep_masks(pa.apply_masks(model, random_masks(model)), optimizer)
    step(model, optimizer)
    later = random_masks(model, seed=1)
    pa.apply_masks(model, {name: mask & remembered_masks(model)[name] for name, mask in later.items()})
    step(model, optimizer)

    assert_removed_are_zero(model, remembered_masks(model))


def test_a_keeper_can_be_removed_or_used_in_a_with_statement() -> None:
    model = mlp()
    masks = random_masks(model)
    optimizer = OPTIMIZERS["adamw"](pa.apply_masks(model, masks).parameters())
    with pa.keep_masks(model, optimizer):
        step(model, optimizer)
    assert_removed_are_zero(model, masks)
    pa.keep_masks(model, optimizer).remove()
    step(model, optimizer)

    assert model[0].weight[~masks["0.weight"]].any()


def test_keep_without_masks_or_for_another_model_is_an_error() -> None:
    model = mlp()
    optimizer = OPTIMIZERS["sgd"](model.parameters())

    with pytest.raises(ValueError, match=r"the model remembers no masks; call apply_masks\(model, masks\) first"):
        pa.keep_masks(model, optimizer)
    pa.apply_masks(model, random_masks(model))
    with pytest.raises(
        ValueError, match=r"the optimizer holds none of the masked parameters; build it from this model"
    ):
        pa.keep_masks(copy.deepcopy(model), optimizer)


@pytest.mark.parametrize("moment", ["fresh", "after forward", "after backward", "after step"])
def test_a_deep_copy_keeps_the_masks_and_needs_its_own_keeper(model: nn.Module, moment: str) -> None:
    masks = random_masks(model)
    optimizer = OPTIMIZERS["adamw"](pa.apply_masks(model, masks).parameters())
    pa.keep_masks(model, optimizer)
    loss = loss_of(model) if moment != "fresh" else None
    if moment in ("after backward", "after step"):
        loss.backward()
    if moment == "after step":
        optimizer.step()
    twin = copy.deepcopy(model)
    other = OPTIMIZERS["adamw"](twin.parameters())
    pa.keep_masks(twin, other)
    step(twin, other)

    assert_removed_are_zero(twin, masks)
    torch.testing.assert_close(remembered_masks(twin), masks)
    pa.remove_masks(twin)
    assert list(remembered_masks(model)) == list(masks)


@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=list(OPTIMIZERS))
def test_another_memory_layout_between_steps(make: Callable[[Parameters], torch.optim.Optimizer]) -> None:
    """Weights and state can lie in different layouts, and the bits are in the order of neither."""
    torch.manual_seed(0)
    model = convolution()
    masks = random_masks(model)
    optimizer = make(pa.apply_masks(model, masks).parameters())
    pa.keep_masks(model, optimizer)
    for layout in (torch.contiguous_format, torch.channels_last, torch.contiguous_format):
        step(model.to(memory_format=layout), optimizer)

        assert_removed_are_zero(model, masks)
        for state in optimizer.state[model[1].weight].values():
            if isinstance(state, torch.Tensor) and state.shape == masks["1.weight"].shape:
                assert not state[~masks["1.weight"]].any()
                assert state[masks["1.weight"]].any()


def test_bits_are_reordered_once_for_each_mask(monkeypatch: pytest.MonkeyPatch) -> None:
    reordered = []
    permuted = keep._permuted
    monkeypatch.setattr(keep, "_permuted", lambda *given: reordered.append(given) or permuted(*given))
    model = convolution()
    optimizer = OPTIMIZERS["adamw"](pa.apply_masks(model, random_masks(model)).parameters())
    pa.keep_masks(model, optimizer)
    for seed in range(4):
        if seed == 2:
            pa.apply_masks(model, random_masks(model, seed=1))
        step(model, optimizer, seed)

    assert len(reordered) == 2
    assert_removed_are_zero(model, remembered_masks(model))


def test_weights_with_gaps_between_them() -> None:
    model = mlp()
    masks = random_masks(model)
    wide = nn.Parameter(torch.randn(6, 16)[:, ::2])
    model[0].weight = wide
    optimizer = OPTIMIZERS["sgd"](pa.apply_masks(model, masks).parameters())
    pa.keep_masks(model, optimizer)
    step(model, optimizer)

    assert not wide.is_contiguous()
    assert_removed_are_zero(model, masks)


def test_a_shared_weight_is_zeroed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    zeroed = []
    monkeypatch.setattr(keep, "zero", zeroed.append)
    model = tied()
    pa.keep_masks(pa.apply_masks(model, random_masks(model)), OPTIMIZERS["adamw"](model.parameters()))

    assert [weight for weight, _ in zeroed[0]] == [model[0].weight]
