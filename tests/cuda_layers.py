"""Sparse linear layers on the device, for the tests for a GPU."""

import numpy as np
import torch

from cuda_device import DEVICE, ON_HOST, OPERATORS, drawn
from cuda_tables import Panels

SHAPES = [(1, 1, 1, 1.0), (13, 70, 70, 0.3), (40, 33, 8, 0.5), (9, 50, 16, 0.0), (20, 3, 2, 1.0)]
SHAPES += [(50, 200, 128, 0.1) if ON_HOST else (300, 700, 256, 0.1)]


class Layer:
    """A sparse linear layer with drawn inputs on the device, and its dense twin in float64."""

    def __init__(self, shape: tuple[int, int, int, float], batch: int, dtype: torch.dtype, t_panel: int = 16) -> None:
        rows, columns, panel, density = shape
        self.matrix = Panels(rows, columns, panel, density)
        turned, perm = self.matrix.transposed(t_panel)
        tables = (self.matrix.ptr, self.matrix.idx, turned.ptr, turned.idx, perm)
        self.tables = [torch.from_numpy(table).to(DEVICE) for table in tables]
        self.panels = (panel, t_panel)
        self.x, self.grad = drawn(dtype, batch, columns, seed=1), drawn(dtype, batch, rows, seed=2)
        self.values, self.bias = drawn(dtype, self.matrix.n_values, seed=3), drawn(dtype, rows, seed=4)

    def forward(self, bias: bool = True) -> torch.Tensor:
        shape = (self.x.shape[1], *self.panels)
        return OPERATORS.csr_linear(self.x, self.values, self.bias if bias else None, *self.tables, *shape)

    def backward(self, needs: list[bool]) -> tuple[torch.Tensor, ...]:
        return OPERATORS.csr_linear_backward(self.grad, self.x, self.values, *self.tables, *self.panels, needs)

    def arguments(self, name: str) -> tuple[object, ...]:
        """Return what the operator of this name takes."""
        with_bias = (self.x, self.values, self.bias, *self.tables, self.x.shape[1], *self.panels)
        return {
            "csr_linear": with_bias,
            "csr_linear_backward": (self.grad, self.x, self.values, *self.tables, *self.panels, [True, True, True]),
            "sddmm": (self.grad, self.x, *self.tables[:2], self.panels[0]),
        }[name]

    def sampled(self) -> torch.Tensor:
        return OPERATORS.sddmm(self.grad, self.x, *self.tables[:2], self.panels[0])

    def dense(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Return x, grad and bias in float64, and the matrix."""
        x, grad, values, bias = (t.double().cpu().numpy() for t in (self.x, self.grad, self.values, self.bias))
        return x, grad, bias, self.matrix.dense(values)
