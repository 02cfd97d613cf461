"""Sparse convolutions of each family with everything drawn, and the dense ones that do the same."""

from dataclasses import dataclass

import pytest
import torch
import torch.nn.functional as F

import conv_oracle as oracle
from prune_adapters import ops

OPERATORS = torch.ops.prune_adapters
FUNCTIONS = {"pair": ops.pair_conv2d, "sparse": ops.sparse_conv2d, "block": ops.block_conv2d}
each_family = pytest.mark.parametrize("family", oracle.FAMILIES)


@dataclass(frozen=True)
class Case:
    """A sparse convolution with everything drawn."""

    family: str
    mask: torch.Tensor
    tables: tuple[torch.Tensor, ...]
    kernel: tuple[int, int]
    blocks: tuple[int, int]
    x: torch.Tensor
    values: torch.Tensor
    bias: torch.Tensor
    window: tuple[list[int], list[int], list[int]] = ([2, 1], [1, 1], [1, 2])

    @property
    def name(self) -> str:
        return f"{self.family}_conv2d"

    @property
    def numbers(self) -> list[list[int]]:
        """What follows the tables in the operator."""
        return [list(self.kernel)] * (self.family == "sparse") + list(self.window)

    def __call__(self, x: torch.Tensor, values: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
        return FUNCTIONS[self.family](x, values, bias, *self.tables, *self.numbers)

    def dense(self, x: torch.Tensor, values: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
        """The same with a dense weight, through torch's convolution."""
        if self.family == "sparse":
            weight = values.new_zeros(self.mask.shape).masked_scatter(self.mask, values)
        else:
            weight = values.new_zeros(*self.mask.shape, *values.shape[1:])
            weight = weight.index_put(tuple(self.mask.nonzero().T), values)
        if self.family == "block":
            weight = weight.transpose(1, 2).flatten(2, 3).flatten(0, 1)
        return F.conv2d(x, weight, bias, *self.window)


def draw(
    family: str, *, density: float = 0.5, batch: int = 3, dtype: torch.dtype = torch.float64, seed: int = 0
) -> Case:
    generator = torch.Generator().manual_seed(seed)
    kernel, blocks = (3, 2), (2, 3) if family == "block" else (1, 1)
    mask = torch.rand(5, 4, *(kernel if family == "sparse" else ()), generator=generator) < density
    tables = tuple(torch.from_numpy(table) for table in oracle.tables(family, mask.numpy()))
    shapes = (batch, 4 * blocks[1], 6, 7), oracle.values_shape(family, mask.numpy(), kernel, blocks), (5 * blocks[0],)
    x, values, bias = (torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype) for shape in shapes)
    return Case(family, mask, tables, kernel, blocks, x, values, bias)


def leaves(case: Case) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    x, values, bias = (tensor.clone().requires_grad_() for tensor in (case.x, case.values, case.bias))
    return x, values, bias
