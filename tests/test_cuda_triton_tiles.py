"""Every tile of the Triton kernels, in a process of its own on the device."""

import importlib.util

import pytest
import torch

from cuda_device import ON_HOST
from test_cuda_blocks import Case, near, some

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(ON_HOST or not importlib.util.find_spec("triton"), reason="needs a GPU and triton"),
]
SIDES = [(64, 64), (128, 128), (128, 64), (256, 64), (64, 192)]


def two_of_each(groups: int) -> torch.Tensor:
    """Return a mask of blocks with two in each row and column."""
    own = torch.eye(groups, dtype=torch.bool)
    return own | own.roll(1, 0)


@pytest.mark.parametrize(("width", "depth"), SIDES)
@pytest.mark.parametrize("batch", [1, 300, 1100])
def test_tiles_of_rows(width, depth, batch) -> None:
    from prune_adapters.ops import triton_blocks

    case = Case(two_of_each(5), width, depth, batch, torch.bfloat16, "cuda")
    ptr, idx, t_ptr, t_idx, t_perm = case.tables
    wanted = case.x.double() @ case.weight().T + case.bias.double()
    for config in configs(width, depth, case.x):
        near(triton_blocks.rows(case.x, case.values, case.bias, (ptr, idx, None), False, config), wanted, case.dtype)
    wanted = case.grad.double() @ case.weight()
    for config in configs(depth, width, case.x):
        dx = triton_blocks.rows(case.grad, case.values, None, (t_ptr, t_idx, t_perm), True, config)
        near(dx, wanted, case.dtype)


def configs(width: int, depth: int, x: torch.Tensor) -> list:
    """Return all tiles by TMA, where the device has it, and one without."""
    from prune_adapters.ops import triton_tiles

    plain = triton_tiles.row_configs(width, depth, x, tma=False)[:1]
    if not triton_tiles.has_tma(x):
        return plain
    return list(dict.fromkeys([*plain, *triton_tiles.row_configs(width, depth, x)]))


@pytest.mark.parametrize(("width", "depth"), SIDES)
@pytest.mark.parametrize("batch", [1, 300, 1100])
@pytest.mark.parametrize("mask", [two_of_each(5), some(5, 4)], ids=["regular", "irregular"])
def test_tiles_of_the_gradient_of_values(width, depth, batch, mask) -> None:
    from prune_adapters.ops import triton_blocks, triton_tiles

    case = Case(mask, width, depth, batch, torch.bfloat16, "cuda")
    ptr, idx, *_ = case.tables
    plain = triton_tiles.sampled_configs(width, depth, case.x, tma=False)
    for config in dict.fromkeys([*plain, *triton_tiles.sampled_configs(width, depth, case.x)]):
        dv = triton_blocks.sampled(case.grad, case.x, (ptr, idx), width, depth, config)
        near(dv, case.cut(case.grad.double().T @ case.x.double()), case.dtype)
