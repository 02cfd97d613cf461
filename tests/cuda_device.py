"""What the tests for a GPU share. Without a GPU they run on the CPU, through the shim: test_cuda_on_host.py."""

import os

import numpy as np
import pytest
import torch

ON_HOST = "CUDA_ON_HOST" in os.environ
DEVICE = torch.device("cpu" if ON_HOST else "cuda")
OPERATORS = torch.ops.prune_adapters
needs_gpu = pytest.mark.skipif(ON_HOST, reason="needs a GPU, not a shim")

FLOATS = [torch.float32, torch.float64, torch.float16, torch.bfloat16]
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-12, torch.float16: 2e-3, torch.bfloat16: 1.6e-2}


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def random_mask(*size: int, density: float = 0.5, seed: int = 0) -> torch.Tensor:
    return (torch.rand(size, generator=generator(seed)) < density).to(DEVICE)


def drawn(dtype: torch.dtype, *size: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(size, generator=generator(seed), dtype=torch.float64).to(dtype).to(DEVICE)


def assert_near(found: torch.Tensor, expected: np.ndarray | torch.Tensor, *, terms: int) -> None:
    """Hold that sums of so many products of normal numbers are what they are in float64."""
    assert found.device.type == DEVICE.type
    bound = TOLERANCE[found.dtype] * 2 * (1 + terms) ** 0.5
    torch.testing.assert_close(found.cpu().double(), torch.as_tensor(expected).cpu().double(), rtol=0, atol=bound)


def assert_opcheck(name: str, arguments: tuple[object, ...]) -> None:
    found = torch.library.opcheck(getattr(OPERATORS, name).default, arguments)

    assert set(found.values()) == {"SUCCESS"}


def damage(table: torch.Tensor, seed: int) -> None:
    """Write any numbers to some places of a table."""
    limits, at = torch.iinfo(table.dtype), torch.randint(table.numel(), (9,), generator=generator(seed))
    numbers = torch.randint(limits.min, limits.max, (9,), generator=generator(seed), dtype=table.dtype)
    table.view(-1)[at.to(DEVICE)] = numbers.to(DEVICE)


def synchronize() -> None:
    if not ON_HOST:
        torch.cuda.synchronize()
