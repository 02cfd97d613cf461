"""Masks on a model: what they survive, what they leave alone, and how they go."""

import copy
import io
import warnings

import pytest
import torch
from torch import nn

import prune_adapters as pa
from masked import (
    MODELS,
    OPTIMIZERS,
    assert_removed_are_zero,
    convolution,
    mlp,
    random_masks,
    step,
    tied,
    weight_norm,
    weights,
)
from prune_adapters.apply import remembered_masks


@pytest.fixture(params=MODELS, ids=lambda build: build.__name__)
def model(request: pytest.FixtureRequest) -> nn.Module:
    torch.manual_seed(0)
    return request.param()


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


def test_remembered_masks_are_copies() -> None:
    layer, mask = nn.Linear(2, 1), torch.tensor([[True, False]])
    remembered_masks(pa.apply_masks(layer, {"weight": mask}))["weight"].fill_(True)

    torch.testing.assert_close(remembered_masks(layer), {"weight": mask})


def test_a_mask_takes_a_bit_a_weight_and_is_no_buffer() -> None:
    model = convolution()
    buffers = list(model.buffers())
    pa.apply_masks(model, random_masks(model))
    bits = model[1]._kept_bits["weight"]

    assert bits.untyped_storage().nbytes() == model[1].weight.numel() / 8
    assert list(model.buffers()) == buffers


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


def test_masks_outlive_a_model_without_values() -> None:
    model = mlp()
    masks = random_masks(model)
    dense = model.state_dict()
    pa.apply_masks(model, masks).to("meta")
    assert remembered_masks(model)["0.weight"].is_meta
    model.to_empty(device="cpu").load_state_dict(dense)

    assert_removed_are_zero(model, masks)
    torch.testing.assert_close(remembered_masks(model), masks)


@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_another_memory_layout_after_masking(layout: torch.memory_format) -> None:
    model = convolution()
    masks = random_masks(model)
    dense = copy.deepcopy(model)
    pa.apply_masks(model, masks).to(memory_format=layout)

    assert_removed_are_zero(model, masks)
    torch.testing.assert_close(remembered_masks(model), masks)
    model.load_state_dict(dense.state_dict())
    assert_removed_are_zero(model, masks)


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
    assert model[0]._kept_bits["weight"] is model[2]._kept_bits["weight"]


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
