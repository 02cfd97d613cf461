"""Sparse convolutions on CUDA, on this processor in every mode of the shim, against numpy."""

import ctypes

import numpy as np
import pytest
from numpy.testing import assert_allclose

import conv_oracle
from cuda_shim import compiled, every_mode, run
from small_numbers import NUMBERS, TOLERANCE, read, stored

CASES = [  # outputs, inputs, kernel, batch, image, (stride, padding, dilation), density
    (1, 1, (1, 1), 1, (1, 1), ((1, 1), (0, 0), (1, 1)), 1.0),
    (3, 5, (3, 3), 2, (9, 7), ((1, 1), (1, 1), (1, 1)), 0.5),
    (5, 3, (3, 2), 3, (8, 9), ((2, 3), (2, 0), (1, 2)), 0.6),
    (4, 2, (1, 5), 1, (3, 20), ((1, 4), (0, 3), (3, 1)), 0.4),
    (2, 6, (2, 2), 5, (4, 4), ((3, 1), (1, 2), (2, 1)), 0.0),
    (2, 3, (3, 3), 0, (5, 5), ((1, 1), (0, 0), (1, 1)), 1.0),
    (2, 2, (3, 3), 1, (20, 21), ((1, 1), (1, 1), (1, 1)), 1.0),
]


@pytest.fixture
def shim() -> ctypes.CDLL:
    return compiled("conv.cpp", "conv")


class Conv:
    """A drawn convolution of one family, its inputs as the kernels read them, and its results."""

    def __init__(self, case: tuple, family: str, dtype: str) -> None:
        outputs, inputs, kernel, batch, image, self.window, density = case
        rng = np.random.default_rng(0)
        shape = (outputs, inputs, *kernel) if family == "sparse" else (outputs, inputs)
        self.mask = rng.random(shape) < density
        self.tables = conv_oracle.tables(family, self.mask)
        self.family, self.dtype, self.kernel = family, dtype, kernel
        size = [conv_oracle.out_size(image[d], kernel[d], *(w[d] for w in self.window)) for d in range(2)]
        self.x, self.grad, self.bias, self.values = (
            stored(rng.standard_normal(shape), dtype)
            for shape in (
                (batch, inputs, *image),
                (batch, outputs, *size),
                (outputs,),
                conv_oracle.values_shape(family, self.mask, kernel, (1, 1)),
            )
        )
        count = len(self.tables[1])
        numbers = [NUMBERS.index(dtype), outputs, inputs, count, family == "sparse", batch, *image, *kernel]
        self.sizes = np.array([*numbers, *np.concatenate(self.window)], np.int64)
        self.addresses = np.array([table.ctypes.data for table in self.tables], np.uint64)

    def weight(self) -> np.ndarray:
        return conv_oracle.dense(self.family, self.mask, read(self.values, self.dtype), self.kernel, (1, 1))

    def forward(self, shim: ctypes.CDLL, bias: np.ndarray | None, mode: tuple[bool, bool]) -> np.ndarray:
        y = np.full(self.grad.size + 1, 9, self.x.dtype)
        given = self.sizes, self.addresses, self.x, self.values, bias, y

        assert run(shim, "run_forward", *given, mode=mode) is None
        assert y[-1] == 9
        return read(y[:-1], self.dtype).reshape(self.grad.shape)

    def backward(self, shim: ctypes.CDLL, mode: tuple[bool, bool]) -> list[np.ndarray]:
        like = self.x, self.values, self.bias
        found = [np.full(array.size + 1, 9, self.x.dtype) for array in like]
        given = self.sizes, self.addresses, self.grad, self.x, self.values, *found

        assert run(shim, "run_backward", *given, mode=mode) is None
        assert all(array[-1] == 9 for array in found)
        return [read(array[:-1], self.dtype).reshape(own.shape) for array, own in zip(found, like, strict=True)]


@every_mode
@pytest.mark.parametrize("dtype", NUMBERS)
@pytest.mark.parametrize("family", ["pair", "sparse"])
def test_convolutions_and_their_gradients(shim, mode, family, dtype) -> None:
    for case in CASES:
        conv = Conv(case, family, dtype)
        x, grad, bias = (read(array, dtype) for array in (conv.x, conv.grad, conv.bias))
        weight = conv.weight()
        bound = {"rtol": 0, "atol": TOLERANCE[dtype] * 4 * (1 + grad[:, 0].size) ** 0.5}
        expected = conv_oracle.gradients(grad, x, weight, conv.window)
        to_x, to_values, to_bias = conv.backward(shim, mode)

        with_bias = conv_oracle.forward(x, weight, bias, conv.window)
        assert_allclose(conv.forward(shim, conv.bias, mode), with_bias, **bound)
        assert_allclose(conv.forward(shim, None, mode), with_bias - bias[:, None, None], **bound)
        assert_allclose(to_x, expected[0], **bound)
        assert_allclose(to_values, conv_oracle.values_of(family, conv.mask, expected[1], (1, 1)), **bound)
        assert_allclose(to_bias, expected[2], **bound)


@pytest.mark.parametrize("family", ["pair", "sparse"])
@pytest.mark.parametrize("table", range(5), ids=["ptr", "idx", "t_ptr", "t_idx", "t_perm"])
def test_damaged_tables_touch_no_foreign_memory(shim, family, table) -> None:
    """Numbers of 32 bits lead to memory that is not mapped, most of the time."""
    for seed in range(10):
        conv, rng = Conv(CASES[1 + seed % 2], family, "float32"), np.random.default_rng(seed)
        damaged = conv.tables[table]
        damaged[rng.integers(damaged.size, size=4)] = rng.integers(-(2**31), 2**31 - 1, 4, np.int32)
        conv.forward(shim, conv.bias, (False, False))
        conv.backward(shim, (False, False))
