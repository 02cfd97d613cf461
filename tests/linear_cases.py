"""Sparse linear layers to test with: random plans, and what goes into their operators."""

import torch

import prune_adapters as pa

OPERATORS = torch.ops.prune_adapters
BOUND = {torch.float32: 2e-5, torch.float64: 1e-12}


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def random(*size: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(size, generator=generator(seed), dtype=dtype)


def random_plan(rows: int, columns: int, density: float = 0.3, panel: int | None = None) -> pa.SparsePlan:
    mask = torch.rand(rows, columns, generator=generator(rows)) < density
    return pa.SparsePlan.from_mask(mask, panel=panel, t_panel=panel)


def sample(rows: int = 6, columns: int = 9, batch: int = 5, dtype: torch.dtype = torch.float64) -> tuple:
    """Return a plan, and x, values and bias that want gradients."""
    plan = random_plan(rows, columns, panel=4)
    sizes = (batch, columns), (plan.n_values,), (rows,)
    return plan, *[random(*size, seed=k, dtype=dtype).requires_grad_() for k, size in enumerate(sizes)]


def numbers(plan: pa.SparsePlan) -> tuple[int, int, int]:
    return plan.shape[1], plan.panel, plan.t_panel


def close(found: torch.Tensor, expected: torch.Tensor) -> None:
    bound = BOUND[expected.dtype]
    torch.testing.assert_close(found, expected, rtol=bound, atol=bound * (1 + expected.abs().max().item()))
