"""Norms that count removed channels give what the dense norm gives for the channels that are left."""

import copy
import pickle
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from prune_adapters.compact.counted import CountedGroupNorm, CountedLayerNorm, CountedRMSNorm
from prune_adapters.compact.rebuild import shrink

BOUNDS = {torch.float64: 1e-12, torch.float32: 1e-5}

KINDS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "layer": (lambda: nn.LayerNorm(12), (5, 12)),
    "layer without bias": (lambda: nn.LayerNorm(12, bias=False), (5, 12)),
    "layer of tokens": (lambda: nn.LayerNorm(12, eps=1e-3), (3, 4, 12)),
    "bare layer": (lambda: nn.LayerNorm(12, elementwise_affine=False), (5, 12)),
    "rms": (lambda: nn.RMSNorm(12), (5, 12)),
    "rms with eps": (lambda: nn.RMSNorm(12, eps=1e-2), (2, 3, 12)),
    "bare rms": (lambda: nn.RMSNorm(12, elementwise_affine=False), (5, 12)),
    "group of images": (lambda: nn.GroupNorm(4, 12), (2, 12, 3, 4)),
    "group of vectors": (lambda: nn.GroupNorm(3, 12), (5, 12)),
    "one group": (lambda: nn.GroupNorm(1, 12, affine=False), (2, 12, 7)),
}

KEEPS = {
    "some": [1, 0, 1, 1, 0, 1, 0, 0, 1, 1, 1, 1],
    "a group gone": [0, 0, 0, 0, 0, 1, 1, 0, 1, 1, 1, 1],
    "one left": [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0],
}


def built(name: str, dtype: torch.dtype, seed: int = 0) -> nn.Module:
    """Return a norm with random scale and bias."""
    norm, generator = KINDS[name][0](), torch.Generator().manual_seed(seed)
    for parameter in norm.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator)
    return norm.to(dtype)


def filled(name: str, keep: Tensor, constants: Tensor, dtype: torch.dtype) -> tuple[Tensor, int]:
    """Return an input whose removed channels have these values, and the dimension of the channels."""
    shape = KINDS[name][1]
    dim = 1 if "group" in name else len(shape) - 1
    x = torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64) + 0.3
    size = [-1 if d == dim else 1 for d in range(len(shape))]
    return torch.where(keep.reshape(size), x, constants.reshape(size)).to(dtype), dim


def shrunk(norm: nn.Module, keep: Tensor, constants: Tensor | None) -> nn.Module:
    small = copy.deepcopy(norm)
    shrink(small, keep.numpy(), keep.numpy(), None if constants is None else constants.numpy())
    return small


def constants_of(how: str) -> Tensor:
    values = torch.randn(12, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    return {"zero": torch.zeros_like(values), "any": values, "large": 30 + values}[how]


@pytest.mark.parametrize("dtype", BOUNDS)
@pytest.mark.parametrize("how", ["zero", "any", "large"])
@pytest.mark.parametrize("kept", KEEPS)
@pytest.mark.parametrize("name", KINDS)
def test_a_counted_norm_gives_what_the_dense_one_gives(name, kept, how, dtype):
    keep, constants = torch.tensor(KEEPS[kept], dtype=torch.bool), constants_of(how)
    norm = built(name, dtype)
    x, dim = filled(name, keep, constants, dtype)
    expected = norm(x).index_select(dim, keep.nonzero().flatten())
    found = shrunk(norm, keep, constants)(x.index_select(dim, keep.nonzero().flatten()))

    assert found.dtype == dtype
    assert (found - expected).abs().max() < BOUNDS[dtype] * expected.abs().max()


def test_statistics_by_hand():
    """Of 2, 4, 0, 0 the mean is 1.5 and the mean square 5, so the variance is 2.75; with 6, 6 they are 4.5 and 23."""
    keep, x = torch.tensor([True, True, False, False]), torch.tensor([[2.0, 4.0]], dtype=torch.float64)
    norm = nn.LayerNorm(4, eps=0.0, dtype=torch.float64)
    zeros, sixes = (shrunk(norm, keep, torch.full((4,), value, dtype=torch.float64)) for value in (0.0, 6.0))

    torch.testing.assert_close(zeros(x), (x - 1.5) / 2.75**0.5, rtol=1e-14, atol=0)
    torch.testing.assert_close(sixes(x), (x - 4.5) / 2.75**0.5, rtol=1e-14, atol=0)
    assert list(zeros.state_dict()) == ["weight", "bias"]
    assert {k: v.tolist() for k, v in sixes.state_dict().items() if "removed" in k} == {
        "removed_average": [6.0],
        "removed_spread": [0.0],
    }
    assert str(zeros) == "CountedLayerNorm((2,), eps=0.0, elementwise_affine=True, bias=True, original_size=4)"


def test_a_mean_far_from_zero_costs_no_digits():
    """E[x^2] - E[x]^2 would lose all of them in float32."""
    keep = torch.arange(12) < 8
    x = 4000 + torch.randn(6, 12, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x[:, 8:] = 4000.25
    norm = nn.LayerNorm(12, dtype=torch.float64)
    expected, small = norm(x)[:, :8], shrunk(norm, keep, torch.full((12,), 4000.25, dtype=torch.float64)).float()
    dense_error = (norm.float()(x.float())[:, :8] - expected).abs().max()

    assert (small(x[:, :8].float()) - expected).abs().max() < 3 * dense_error


@pytest.mark.parametrize("name", KINDS)
def test_nothing_removed_leaves_torch_s_own_norm(name):
    norm = built(name, torch.float32)

    assert type(shrunk(norm, torch.ones(12, dtype=torch.bool), None)) is type(norm)


def test_whole_groups_gone_leave_torch_s_own_norm():
    keep = torch.tensor([1, 1, 1, 0, 0, 0, 1, 1, 1, 0, 0, 0], dtype=torch.bool)
    norm = shrunk(built("group of images", torch.float32), keep, None)

    assert type(norm) is nn.GroupNorm
    assert (norm.num_groups, norm.num_channels) == (2, 6)


def test_groups_lose_different_numbers_of_channels():
    norm = shrunk(built("group of images", torch.float32), torch.tensor(KEEPS["a group gone"], dtype=torch.bool), None)

    assert isinstance(norm, CountedGroupNorm)
    assert (norm.group_sizes, norm.original_size, norm.num_groups, norm.num_channels) == ((1, 2, 3), 3, 3, 6)


@pytest.mark.parametrize("name", KINDS)
def test_half_precision_is_as_good_as_torch_s(name):
    keep, constants = torch.tensor(KEEPS["some"], dtype=torch.bool), constants_of("zero")
    norm = built(name, torch.float64)
    x, dim = filled(name, keep, constants, torch.bfloat16)
    exact = copy.deepcopy(norm).bfloat16().double()(x.double()).index_select(dim, keep.nonzero().flatten())
    found = shrunk(norm, keep, constants).bfloat16()(x.index_select(dim, keep.nonzero().flatten()))

    assert found.dtype == torch.bfloat16
    assert (found - exact).abs().max() < 2**-8 * exact.abs().max()


@pytest.mark.parametrize("name", ["layer", "rms", "group of images", "bare layer"])
def test_copies_files_and_exports_keep_everything(name):
    keep, constants = torch.tensor(KEEPS["some"], dtype=torch.bool), constants_of("any")
    norm = built(name, torch.float32)
    small, again = shrunk(norm, keep, constants), shrunk(built(name, torch.float32, 5), keep, constants + 1)
    again.load_state_dict(small.state_dict())
    x, dim = filled(name, keep, constants, torch.float32)
    x = x.index_select(dim, keep.nonzero().flatten())
    exported = torch.export.export(small, (x,), strict=False).module()

    for other in (again, copy.deepcopy(small), pickle.loads(pickle.dumps(small)), exported):
        torch.testing.assert_close(other(x), small(x), rtol=0, atol=0)


@pytest.mark.parametrize("name", ["layer", "rms", "group of vectors"])
def test_gradients_are_those_of_the_dense_norm(name):
    keep, constants = torch.tensor(KEEPS["some"], dtype=torch.bool), constants_of("any")
    norm = built(name, torch.float64)
    small = shrunk(norm, keep, constants)
    x, dim = filled(name, keep, constants, torch.float64)
    index = keep.nonzero().flatten()
    inputs = [x.clone().requires_grad_(), x.index_select(dim, index).requires_grad_()]
    norm(inputs[0]).index_select(dim, index).pow(3).sum().backward()
    small(inputs[1]).pow(3).sum().backward()

    torch.testing.assert_close(inputs[1].grad, inputs[0].grad.index_select(dim, index), rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(small.weight.grad, norm.weight.grad[index], rtol=1e-10, atol=1e-12)


def test_every_kind_has_its_own_type():
    keep = torch.tensor(KEEPS["some"], dtype=torch.bool)
    types = {name: type(shrunk(built(name, torch.float32), keep, None)) for name in ("layer", "rms", "one group")}

    assert types == {"layer": CountedLayerNorm, "rms": CountedRMSNorm, "one group": CountedGroupNorm}
