"""Sparse linear layers to test with: random plans, and what goes into their operators."""

import torch

import prune_adapters as pa
from layer_checks import drawn


def random_plan(rows: int, columns: int, density: float = 0.3, panel: int | None = None) -> pa.SparsePlan:
    mask = torch.rand(rows, columns, generator=torch.Generator().manual_seed(rows)) < density
    return pa.SparsePlan.from_mask(mask, panel=panel, t_panel=panel)


def sample(rows: int = 6, columns: int = 9, batch: int = 5, dtype: torch.dtype = torch.float64) -> tuple:
    """Return a plan, and x, values and bias that want gradients."""
    plan = random_plan(rows, columns, panel=4)
    return plan, *drawn(plan, (plan.n_values,), batch, dtype)


def numbers(plan: pa.SparsePlan) -> tuple[int, int, int]:
    return plan.shape[1], plan.panel, plan.t_panel
