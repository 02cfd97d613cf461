"""The CUDA kernels on blocks, run on this processor: they agree with numpy in every mode, dtype and tile."""

import ctypes
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.testing import assert_allclose

from cuda_shim import MODES, compiled, run

every_mode = pytest.mark.parametrize("mode", MODES, ids=["late", "late-reverse", "eager", "eager-reverse"])
CODES = {"float32": 0, "float64": 1, "float16": 2, "bfloat16": 3}
BOUNDS = {"float32": 1e-5, "float64": 1e-13, "float16": 2e-3, "bfloat16": 1.6e-2}
TILES = {0: (256, 64), 1: (128, 64), 2: (64, 64), 3: (64, 32), 4: (32, 48), 5: (16, 16)}
"""Number of a tile: a width and a depth of blocks that suit it."""


@pytest.fixture(scope="module")
def shim() -> ctypes.CDLL:
    return compiled("blocks.cpp")


def stored(numbers: np.ndarray, dtype: str) -> np.ndarray:
    """Return numbers as the kernel reads them."""
    if dtype == "bfloat16":
        bits = numbers.astype(np.float32).view(np.uint32)
        return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16)
    return numbers.astype(dtype)


def read(numbers: np.ndarray, dtype: str) -> np.ndarray:
    """Return what stored numbers are."""
    if dtype == "bfloat16":
        numbers = (numbers.astype(np.uint32) << 16).view(np.float32)
    return numbers.astype(np.float64)


@dataclass
class Blocks:
    """A structure, its values and everything that the kernels make of them, by numpy in float64."""

    dtype: str
    batch: int
    width: int
    depth: int
    degrees: tuple[int, ...] = (2, 0, 3)
    n_others: int = 4

    def __post_init__(self) -> None:
        rng = np.random.default_rng(1)
        self.ptr = np.concatenate([[0], np.cumsum(self.degrees)]).astype(np.int32)
        reads = [np.sort(rng.choice(self.n_others, d, replace=False)) for d in self.degrees]
        self.idx = np.concatenate(reads).astype(np.int32)
        self.groups = np.repeat(np.arange(len(self.degrees)), self.degrees).astype(np.int32)
        order = np.lexsort((self.groups, self.idx))
        self.t_perm, self.t_idx = order.astype(np.int32), self.groups[order]
        self.t_ptr = np.concatenate([[0], np.cumsum(np.bincount(self.idx, minlength=self.n_others))]).astype(np.int32)
        self.values = self.draw(rng, len(self.idx), self.width, self.depth)
        self.x = self.draw(rng, self.batch, self.n_others * self.depth)
        self.grad = self.draw(rng, self.batch, len(self.degrees) * self.width)
        self.bias = self.draw(rng, len(self.degrees) * self.width)

    def draw(self, rng: np.random.Generator, *size: int) -> np.ndarray:
        return stored(rng.standard_normal(size), self.dtype)

    def weight(self) -> np.ndarray:
        found = np.zeros((len(self.degrees), self.n_others, self.width, self.depth))
        found[self.groups, self.idx] = read(self.values, self.dtype)
        return found.transpose(0, 2, 1, 3).reshape(len(self.degrees) * self.width, self.n_others * self.depth)

    def gradient(self, dense: np.ndarray) -> np.ndarray:
        """Return the blocks of a dense gradient."""
        cut = dense.reshape(len(self.degrees), self.width, self.n_others, self.depth).transpose(0, 2, 1, 3)
        return cut[self.groups, self.idx]

    def empty(self, *size: int) -> np.ndarray:
        return stored(np.full(size, np.nan), self.dtype)


def check(found: np.ndarray, wanted: np.ndarray, dtype: str) -> None:
    assert_allclose(read(found, dtype), wanted, rtol=0, atol=BOUNDS[dtype] * max(1, np.abs(wanted).max(initial=0)))


def forward(shim, case: Blocks, mode, tile=-1, bias=True) -> None:
    y = case.empty(case.batch, len(case.degrees) * case.width)
    sizes = np.array([len(case.degrees), case.n_others, len(case.idx), case.batch, case.width, case.depth], np.int64)
    own = case.bias if bias else None
    tables = case.ptr, case.idx, None
    code = CODES[case.dtype]
    error = run(shim, "run_rows", code, case.x, case.values, own, y, *tables, sizes, 0, tile, mode=mode)

    assert error is None
    wanted = read(case.x, case.dtype) @ case.weight().T + (read(case.bias, case.dtype) if bias else 0)
    check(y, wanted, case.dtype)


def input_gradient(shim, case: Blocks, mode, tile=-1) -> None:
    dx = case.empty(case.batch, case.n_others * case.depth)
    sizes = np.array([case.n_others, len(case.degrees), len(case.idx), case.batch, case.depth, case.width], np.int64)
    tables = case.t_ptr, case.t_idx, case.t_perm
    code = CODES[case.dtype]
    error = run(shim, "run_rows", code, case.grad, case.values, None, dx, *tables, sizes, 1, tile, mode=mode)

    assert error is None
    check(dx, read(case.grad, case.dtype) @ case.weight(), case.dtype)


def value_gradient(shim, case: Blocks, mode, splits=1) -> None:
    dv = case.empty(len(case.idx), case.width, case.depth)
    wide = np.float64 if case.dtype == "float64" else np.float32
    partial = np.full((splits, *dv.shape), np.nan, wide) if splits > 1 else None
    sizes = np.array([len(case.degrees), case.n_others, len(case.idx), case.batch, case.width, case.depth], np.int64)
    arrays = case.grad, case.x, dv, partial, case.ptr, case.idx, sizes
    error = run(shim, "run_sampled", CODES[case.dtype], *arrays, splits, mode=mode)

    assert error is None
    check(dv, case.gradient(read(case.grad, case.dtype).T @ read(case.x, case.dtype)), case.dtype)


@every_mode
@pytest.mark.parametrize("dtype", CODES)
def test_forward_and_gradients_agree_with_numpy(shim, dtype, mode) -> None:
    case = Blocks(dtype, batch=70, width=16, depth=24)

    forward(shim, case, mode)
    input_gradient(shim, case, mode)
    value_gradient(shim, case, mode)
    value_gradient(shim, case, mode, splits=3)


@every_mode
@pytest.mark.parametrize("tile", TILES)
def test_every_tile(shim, tile, mode) -> None:
    width, depth = TILES[tile]
    case = Blocks(["float16", "bfloat16"][tile % 2], 130, width, depth, (1, 2), 2)
    turned = Blocks(case.dtype, 130, depth, width, (1, 2), 2)

    forward(shim, case, mode, tile, bias=tile % 2 == 0)
    input_gradient(shim, turned, mode, tile)


@every_mode
@pytest.mark.parametrize("width", [16, 32, 64, 128])
@pytest.mark.parametrize("depth", [16, 64])
def test_every_tile_of_the_gradient_of_values(shim, width, depth, mode) -> None:
    case = Blocks("bfloat16", 150, width, depth, (2, 0, 1), 2)

    value_gradient(shim, case, mode)
    value_gradient(shim, case, mode, splits=2)


@pytest.mark.parametrize("dtype", CODES)
@pytest.mark.parametrize(("width", "depth"), [(3, 5), (12, 8), (20, 7), (48, 80), (96, 16)])
def test_blocks_of_any_size(shim, dtype, width, depth) -> None:
    case = Blocks(dtype, 33, width, depth)

    forward(shim, case, MODES[0])
    input_gradient(shim, case, MODES[0])
    value_gradient(shim, case, MODES[0], splits=2)


@pytest.mark.parametrize("batch", [0, 1, 63, 64, 65, 129])
def test_any_batch(shim, batch) -> None:
    case = Blocks("bfloat16", batch, 32, 16)

    forward(shim, case, MODES[0])
    input_gradient(shim, case, MODES[0])
    value_gradient(shim, case, MODES[0])


@pytest.mark.parametrize("degrees", [(0, 0), (4, 4, 4), (0, 3), (1,)])
def test_groups_that_read_nothing_or_everything(shim, degrees) -> None:
    case = Blocks("bfloat16", 20, 16, 32, degrees)

    forward(shim, case, MODES[0])
    input_gradient(shim, case, MODES[0])
    value_gradient(shim, case, MODES[0])


def test_tables_that_lie_touch_no_foreign_memory(shim) -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        case = Blocks("bfloat16", 20, 16, 16)
        for table in (case.ptr, case.idx):
            table[:] = (
                rng.integers(-(2**31), 2**31, table.shape) if rng.random() < 0.5 else rng.integers(-3, 9, table.shape)
            )
        lying = rng.integers(-9, 9, len(case.idx)).astype(np.int32)
        y, dv = case.empty(20, 48), case.empty(*case.values.shape)
        sizes = np.array([3, 4, len(case.idx), 20, 16, 16], np.int64)

        arrays = case.x, case.values, None, y, case.ptr, case.idx, lying
        assert run(shim, "run_rows", 3, *arrays, sizes, 0, -1) is None
        assert run(shim, "run_sampled", 3, case.grad, case.x, dv, None, case.ptr, case.idx, sizes, 1) is None


def test_the_batch_is_split_where_blocks_are_few(shim) -> None:
    shim.splits.restype = ctypes.c_int64

    def splits(groups: int, blocks: int, batch: int, width: int) -> int:
        sizes = np.array([groups, groups, blocks, batch, width, width], np.int64)
        return shim.splits(sizes.ctypes.data_as(ctypes.c_void_p))

    assert [splits(32, 128, 8192, 128), splits(32, 64, 8192, 128), splits(32, 1024, 8192, 128)] == [1, 2, 1]
    assert [splits(1, 1, 8192, 16), splits(1, 1, 511, 16), splits(0, 0, 8192, 16)] == [16, 1, 1]
