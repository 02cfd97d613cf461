"""Masks on a model: what they survive, what they leave alone, and how they go."""

import copy
import io
import warnings
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import nn

import prune_adapters as pa
from prune_adapters.apply import remembered_masks
from prune_adapters.masks import parameter_owners

Parameters = Iterator[nn.Parameter]
Loss = Callable[[], torch.Tensor]


class Attention(nn.Module):
    """Self-attention over a batch of short sequences."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x.reshape(-1, 2, 4)
        return self.attention(x, x, x, need_weights=False)[0]


class Recurrent(nn.Module):
    """Two layers of LSTM over a batch of short sequences."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(4, 3, num_layers=2, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.lstm(x.reshape(-1, 2, 4))[0]


class Raw(nn.Module):
    """A matrix held by no layer."""

    def __init__(self) -> None:
        super().__init__()
        self.matrix = nn.Parameter(torch.randn(8, 3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x @ self.matrix


def mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 3))


def convolution() -> nn.Module:
    image = nn.Sequential(nn.Unflatten(1, (2, 2, 2)), nn.Conv2d(2, 4, 2), nn.BatchNorm2d(4), nn.Flatten())
    return image.to(memory_format=torch.channels_last)


def tied() -> nn.Module:
    model = nn.Sequential(nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 8))
    model[2].weight = model[0].weight
    return model


def weight_norm() -> nn.Module:
    return nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(8, 5)), nn.Linear(5, 2))


MODELS = [mlp, convolution, tied, weight_norm, Attention, Recurrent, Raw]
OPTIMIZERS = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.1),
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.1, weight_decay=0.1, amsgrad=True),
    "foreach": lambda p: torch.optim.AdamW(p, lr=0.1, foreach=True),
    "fused": lambda p: torch.optim.AdamW(p, lr=0.1, fused=True),
    "rmsprop": lambda p: torch.optim.RMSprop(p, lr=0.01, momentum=0.9, centered=True),
    "adagrad": lambda p: torch.optim.Adagrad(p, lr=0.1, initial_accumulator_value=0.1),
}


@pytest.fixture(params=MODELS, ids=lambda build: build.__name__)
def model(request: pytest.FixtureRequest) -> nn.Module:
    torch.manual_seed(0)
    return request.param()


def random_masks(model: nn.Module, seed: int = 0) -> dict[str, torch.Tensor]:
    scores = pa.random_scores(model, seed=seed)
    return dict(pa.masks_from_scores(scores, sparsity=0.5, scope="layer"))


def weights(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: held[0][0].get_parameter(held[0][1]).detach() for name, held in parameter_owners(model).items()}


def loss_of(model: nn.Module, seed: int = 0) -> torch.Tensor:
    x = torch.randn(16, 8, generator=torch.Generator().manual_seed(seed)).to(next(model.parameters()).dtype)
    return model(x).square().mean()


def step(model: nn.Module, optimizer: torch.optim.Optimizer, seed: int = 0) -> None:
    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = loss_of(model, seed)
        loss.backward()
        return loss

    optimizer.step(closure)


def assert_removed_are_zero(model: nn.Module, masks: dict[str, torch.Tensor]) -> None:
    """Hold that removed weights are +0.0 to the bit, and that not everything is."""
    for name, mask in masks.items():
        removed = weights(model)[name][~mask]
        torch.testing.assert_close(removed, torch.zeros_like(removed), rtol=0, atol=0)
        assert not torch.signbit(removed).any()
        assert weights(model)[name][mask].abs().min() > 0


def test_drawn_weight() -> None:
    layer = nn.Linear(2, 2, bias=False)
    layer.weight.data.copy_(torch.tensor([[1.0, -2.0], [float("inf"), 4.0]]))
    pa.apply_masks(layer, {"weight": torch.tensor([[True, False], [False, True]])})

    assert layer.weight.tolist() == [[1.0, 0.0], [0.0, 4.0]]


def test_apply_zeroes_in_place_and_remembers(model: nn.Module) -> None:
    masks = random_masks(model)
    before = {name: (weight, weight.clone()) for name, weight in weights(model).items()}
    keys = list(model.state_dict())
    same = pa.apply_masks(model, masks)

    assert same is model
    assert list(model.state_dict()) == keys
    assert_removed_are_zero(model, masks)
    torch.testing.assert_close(remembered_masks(model), masks)
    for name, (weight, value) in before.items():
        assert weights(model)[name].data_ptr() == weight.data_ptr()
        kept = masks.get(name, torch.ones_like(value, dtype=torch.bool))
        torch.testing.assert_close(weights(model)[name][kept], value[kept], rtol=0, atol=0)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16, torch.complex64])
@pytest.mark.parametrize("value", [float("inf"), float("nan"), -1.0, -0.0])
def test_any_value_of_any_dtype_becomes_plus_zero(dtype: torch.dtype, value: float) -> None:
    raw = nn.Module()
    raw.matrix = nn.Parameter(torch.full((3, 5), value, dtype=dtype))
    pa.apply_masks(raw, {"matrix": torch.zeros(3, 5, dtype=torch.bool)})

    torch.testing.assert_close(raw.matrix.detach(), torch.zeros(3, 5, dtype=dtype))
    assert not torch.signbit(torch.view_as_real(raw.matrix) if dtype.is_complex else raw.matrix).any()


def test_masks_are_copied() -> None:
    layer, mask = nn.Linear(2, 1), torch.tensor([[True, False]])
    pa.apply_masks(layer, {"weight": mask})
    mask.fill_(False)

    assert remembered_masks(layer)["weight"].tolist() == [[True, False]]


def test_a_second_mask_replaces_the_first_and_leaves_the_others() -> None:
    model = mlp()
    first, second = random_masks(model), random_masks(model, seed=1)
    pa.apply_masks(model, first)
    pa.apply_masks(model, {"0.weight": second["0.weight"]})

    torch.testing.assert_close(remembered_masks(model), {"0.weight": second["0.weight"], "2.weight": first["2.weight"]})


def test_nothing_happens_when_one_mask_is_wrong() -> None:
    model = mlp()
    before = copy.deepcopy(model.state_dict())

    with pytest.raises(pa.MaskError, match=r"mask for '2.weight': expected shape \(3, 6\), got \(1,\)"):
        pa.apply_masks(model, random_masks(model) | {"2.weight": torch.tensor([True])})
    torch.testing.assert_close(model.state_dict(), before)
    assert remembered_masks(model) == {}


def test_a_row_without_direction_is_an_error() -> None:
    name = "0.parametrizations.weight.original1"
    mask = torch.ones(5, 8, dtype=torch.bool)
    mask[2] = False

    with pytest.raises(pa.MaskError, match=rf"mask for '{name}': removes all weights of 1 of 5 rows, by whose"):
        pa.apply_masks(weight_norm(), {name: mask})


def test_weight_norm_has_zeros_where_its_direction_has() -> None:
    model = weight_norm()
    masks = random_masks(model)
    pa.apply_masks(model, masks)

    torch.testing.assert_close(model[0].weight != 0, masks["0.parametrizations.weight.original1"])


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


def test_a_pickled_model_carries_the_masks(model: nn.Module) -> None:
    if any(isinstance(m, nn.utils.parametrize.ParametrizationList) for m in model.modules()):
        pytest.skip("torch does not pickle parametrized modules")
    masks = random_masks(model)
    file = io.BytesIO()
    torch.save(pa.apply_masks(model, masks), file)
    file.seek(0)
    loaded = torch.load(file, weights_only=False)

    torch.testing.assert_close(remembered_masks(loaded), masks)
    loaded.load_state_dict({name: torch.ones_like(value) for name, value in loaded.state_dict().items()})
    assert_removed_are_zero(loaded, masks)


def test_state_dicts_go_both_ways_and_a_dense_one_is_masked_again(model: nn.Module) -> None:
    masks = random_masks(model)
    dense = copy.deepcopy(model)
    other = copy.deepcopy(model)
    pa.apply_masks(model, masks)
    model.load_state_dict(dense.state_dict())
    assert_removed_are_zero(model, masks)
    other.load_state_dict(model.state_dict())

    torch.testing.assert_close(other.state_dict(), model.state_dict(), rtol=0, atol=0)
    assert remembered_masks(other) == {}


def test_loading_a_part_or_assigning_masks_again() -> None:
    model = mlp()
    dense = copy.deepcopy(model)
    masks = random_masks(model)
    twin = copy.deepcopy(pa.apply_masks(model, masks))
    model[0].load_state_dict(dense[0].state_dict())
    twin.load_state_dict(dense.state_dict(), assign=True)

    assert_removed_are_zero(model, masks)
    assert_removed_are_zero(twin, masks)


def test_moving_and_casting() -> None:
    model = mlp()
    masks = random_masks(model)
    pa.apply_masks(model, masks)
    model.double()
    optimizer = OPTIMIZERS["adamw"](model.parameters())
    pa.keep_masks(model, optimizer)
    step(model, optimizer)

    assert_removed_are_zero(model, masks)
    assert remembered_masks(model)["0.weight"].dtype == torch.bool
    assert remembered_masks(model.to("meta"))["0.weight"].device.type == "meta"


def test_compile_sees_a_dense_model() -> None:
    model = mlp()
    masks = random_masks(model)
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    optimizer = OPTIMIZERS["adamw"](compiled.parameters())
    step(compiled, optimizer)
    pa.apply_masks(compiled, masks)
    pa.keep_masks(compiled, optimizer)
    step(compiled, optimizer)
    explained = torch._dynamo.explain(model)(torch.ones(2, 8))

    assert_removed_are_zero(model, masks)
    assert explained.graph_break_count == 0
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_data_parallel_names() -> None:
    model = mlp()
    masks = {f"module.{name}": mask for name, mask in random_masks(model).items()}
    pa.apply_masks(nn.DataParallel(model), masks)

    assert list(remembered_masks(nn.DataParallel(model))) == ["0.weight", "2.weight"]


def test_any_name_of_a_shared_weight_will_do() -> None:
    model = tied()
    mask = random_masks(model)["0.weight"]
    pa.apply_masks(model, {"2.weight": mask})

    assert_removed_are_zero(model, {"0.weight": mask})
    assert list(remembered_masks(model)) == ["0.weight"]
    assert model[0]._kept_weight is model[2]._kept_weight


def test_remove_is_the_exact_inverse(model: nn.Module) -> None:
    def everything() -> list[dict[str, list]]:
        inside = [{k: v for k, v in vars(m).items() if isinstance(v, dict | set)} for m in model.modules()]
        return [{k: list(v) for k, v in attributes.items()} for attributes in inside]

    before = everything()
    masks = random_masks(model)
    optimizer = OPTIMIZERS["sgd"](model.parameters())
    pa.keep_masks(pa.apply_masks(model, masks), optimizer)
    same = pa.remove_masks(model)

    assert same is model
    assert everything() == before
    assert not optimizer._optimizer_step_post_hooks
    assert_removed_are_zero(model, masks)
    pa.remove_masks(model)
    step(model, optimizer)
    assert any(weights(model)[name][~mask].any() for name, mask in masks.items())


def test_parametrizing_a_masked_weight_is_noticed() -> None:
    model = mlp()
    optimizer = OPTIMIZERS["sgd"](pa.apply_masks(model, random_masks(model)).parameters())
    pa.keep_masks(model, optimizer)
    nn.utils.parametrizations.weight_norm(model[0])

    with pytest.raises(pa.MaskError, match=r"ParametrizedLinear remembers a mask for 'weight', which is no parameter"):
        optimizer.step()
    pa.remove_masks(model)
    optimizer.step()


def test_empty_and_whole_masks() -> None:
    model = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 1))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.append(nn.Linear(0, 2))
    masks = {"0.weight": torch.zeros(2, 3, dtype=torch.bool), "2.weight": torch.zeros(2, 0, dtype=torch.bool)}
    pa.apply_masks(model, masks)

    assert not model[0].weight.any()
    assert pa.apply_masks(model, {}) is model
