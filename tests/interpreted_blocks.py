"""Runs the Triton kernels in their interpreter (TRITON_INTERPRET=1): float32 only, bfloat16 goes wrong there (3.6)."""

import torch

from prune_adapters.ops import triton_blocks
from prune_adapters.ops.triton_tiles import Config, boxed_configs
from test_cuda_blocks import Case, near, some


def check(width: int, depth: int, batch: int, described: bool) -> None:
    """Compare forward, both gradients and a bias with the dense layer."""
    case = Case(some(3, 4), width, depth, batch, torch.float32)
    ptr, idx, t_ptr, t_idx, t_perm = case.tables
    weight, x, grad = case.weight(), case.x.double(), case.grad.double()
    sides = [min(side & -side, 64) for side in (width, depth)]
    own, turned = (Config(64, *pair, described=described) for pair in (sides, sides[::-1]))

    y = triton_blocks.rows(case.x, case.values, case.bias, (ptr, idx, None), False, own)
    near(y, x @ weight.T + case.bias.double(), case.dtype)
    dx = triton_blocks.rows(case.grad, case.values, None, (t_ptr, t_idx, t_perm), True, turned)
    near(dx, grad @ weight, case.dtype)
    dv = triton_blocks.sampled(case.grad, case.x, (ptr, idx), width, depth)
    near(dv, case.cut(grad.T @ x), case.dtype)
    for config in boxed_configs(width, depth) if described else []:
        dv = triton_blocks.sampled(case.grad, case.x, (ptr, idx), width, depth, config)
        near(dv, case.cut(grad.T @ x), case.dtype)


if __name__ == "__main__":
    for width, depth, batch in ((16, 32, 33), (64, 64, 70), (48, 80, 20), (128, 64, 1100)):
        check(width, depth, batch, described=False)
    check(64, 64, 70, described=True)
    check(128, 64, 70, described=True)
    check(256, 128, 300, described=True)
