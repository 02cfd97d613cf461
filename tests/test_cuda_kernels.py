"""The CUDA kernels on this processor, in every mode of the shim, against numpy.

Arrays end where their memory ends or are followed by elements that must stay as they are.
"""

import ctypes

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from cuda_shim import compiled, every_mode, run
from cuda_tables import Panels
from small_numbers import NUMBERS, TOLERANCE, read, stored

UNITS = {0: "u1", 1: "u2", 2: "u4", 3: "u8", 4: "c16"}


@pytest.fixture
def masks() -> ctypes.CDLL:
    return compiled("masks.cpp", "masks")


@pytest.fixture
def csr() -> ctypes.CDLL:
    return compiled("csr.cpp", "csr", "dense")


def addresses(arrays) -> np.ndarray:
    return np.array([array.ctypes.data for array in arrays], np.uint64)


def elements(log_size: int, count: int, seed: int = 0) -> np.ndarray:
    octets = np.random.default_rng(seed).integers(0, 256, count << log_size, dtype=np.uint8)
    return octets.view(UNITS[log_size])


def octets_of(array: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(array).view(np.uint8).reshape(array.size, array.itemsize)


@every_mode
def test_many_runs_are_cleared_in_one_launch_or_several(masks, mode) -> None:
    rng = np.random.default_rng(0)
    counts = [0, 1, 7, 33, 1024, 8191, 8192, 8193, 20000, *rng.integers(1, 300, 100)]
    log_sizes = [k % 5 for k in range(len(counts))]
    before = [elements(log, count, seed) for seed, (log, count) in enumerate(zip(log_sizes, counts, strict=True))]
    kept = [rng.random(count) < rng.choice([0.0, 0.1, 0.9, 1.0]) for count in counts]
    bits = [np.packbits(flags, bitorder="little") for flags in kept]
    after = [array.copy() for array in before]
    lists = addresses(after), addresses(bits), np.array(counts, np.int64), np.array(log_sizes, np.int64)

    assert run(masks, "run_clear", *lists, len(counts), mode=mode) is None
    for found, array, flags in zip(after, before, kept, strict=True):
        assert_array_equal(octets_of(found), octets_of(array) * flags[:, None])


@every_mode
@pytest.mark.parametrize("skipped", [1, 2, 3])
def test_bits_that_do_not_begin_at_a_word(masks, mode, skipped) -> None:
    flags = np.random.default_rng(0).random(2100) < 0.5
    whole = np.zeros(skipped + 263, np.uint8)
    whole[skipped:] = np.packbits(flags, bitorder="little")
    values = np.arange(1, 2101, dtype=np.float32)
    lists = addresses([values]), addresses([whole[skipped:]]), np.array([2100]), np.array([2])

    assert run(masks, "run_clear", *lists, 1, mode=mode) is None
    assert_array_equal(values, np.arange(1, 2101) * flags)


@every_mode
@pytest.mark.parametrize("log_size", UNITS)
@pytest.mark.parametrize(
    "layout",
    [
        lambda a: a.transpose(0, 3, 1, 2),
        lambda a: a.transpose(3, 2, 1, 0),
        lambda a: a[:, 1:],
        lambda a: a[:, :, ::2, 1::2],
        lambda a: a[..., :1],
        lambda a: a[:0],
        lambda a: a[2:3, 1:2, 3:4, 4:5],
    ],
)
def test_any_layout(masks, mode, log_size, layout) -> None:
    whole = elements(log_size, 5 * 6 * 7 * 8).reshape(5, 6, 7, 8)
    before, view = whole.copy(), layout(whole)
    flags = np.random.default_rng(1).random(view.shape) < 0.5
    sizes, strides = (np.array(numbers, np.int64) for numbers in (view.shape, view.strides))
    address = np.array([view.ctypes.data], np.uint64)
    bits = np.packbits(flags.reshape(-1), bitorder="little")
    where = ctypes.c_void_p(int(address[0]))
    masks.shim_mode(*mode)
    masks.run_clear_strided.restype = ctypes.c_char_p
    layout_of = [ctypes.c_void_p(array.ctypes.data) for array in (sizes, strides // (1 << log_size))]
    error = masks.run_clear_strided(
        where, ctypes.c_void_p(bits.ctypes.data), ctypes.c_int64(view.size), log_size, ctypes.c_int64(4), *layout_of
    )
    kept = np.ones(whole.shape, bool)
    layout(kept)[...] = flags

    assert error is None
    assert_array_equal(octets_of(whole), octets_of(before) * kept.reshape(-1, 1))


def test_a_layout_that_is_too_odd_is_refused(masks) -> None:
    values, bits = np.ones(1 << 14, np.float32), np.zeros(1 << 10, np.uint8)
    sizes, strides = np.full(13, 2, np.int64), 1 << np.arange(13, dtype=np.int64)

    assert run(masks, "run_clear_strided", values, bits, 1 << 13, 2, 13, sizes, strides) == "too many dimensions"
    assert (values == 1).all()


@every_mode
@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 63, 64, 65, 2047, 2048, 2049, 5000])
@pytest.mark.parametrize("skipped", [0, 1])
def test_flags_are_packed_and_unpacked(masks, mode, count, skipped) -> None:
    whole = np.zeros(count + skipped, np.uint8)
    flags = whole[skipped:]
    flags[:] = np.random.default_rng(count).random(count) < 0.5
    bits, back = np.full((count + 7) // 8 + 1, 255, np.uint8), np.full(count + 1 + skipped, 255, np.uint8)[skipped:]

    assert run(masks, "run_pack", flags, count, bits, mode=mode) is None
    assert run(masks, "run_unpack", bits, count, back, mode=mode) is None
    assert_array_equal(bits[:-1], np.packbits(flags, bitorder="little"))
    assert_array_equal(back[:-1], flags)
    assert bits[-1] == back[-1] == 255


def sizes_of(matrix: Panels, dtype: str, batch: int) -> np.ndarray:
    numbers = [NUMBERS.index(dtype), *matrix.shape, matrix.panel, len(matrix.ptr), matrix.n_values, batch]
    return np.array(numbers, np.int64)


SHAPES = [(1, 1, 1, 1.0), (13, 70, 70, 0.3), (40, 33, 8, 0.5), (9, 50, 16, 0.0), (20, 3, 2, 1.0), (3, 400, 128, 0.7)]


@every_mode
@pytest.mark.parametrize("dtype", NUMBERS)
@pytest.mark.parametrize("batch", [0, 1, 3, 8, 9, 40, 70, 130])
def test_products_with_a_sparse_matrix(csr, mode, dtype, batch) -> None:
    for rows, columns, panel, density in SHAPES:
        matrix, rng = Panels(rows, columns, panel, density), np.random.default_rng(batch)
        values, x, bias = (stored(rng.standard_normal(n), dtype) for n in (matrix.n_values, batch * columns, rows))
        perm = rng.permutation(matrix.n_values).astype(np.int32)
        x = x.reshape(batch, columns)
        given = x.T.copy() if batch > 8 else x
        expected = read(x, dtype) @ matrix.dense(read(values, dtype)[perm]).T + read(bias, dtype)
        y = np.full((batch + 1, rows), 9, values.dtype)
        tables = sizes_of(matrix, dtype, batch), matrix.ptr, matrix.idx, perm

        assert run(csr, "run_multiply", *tables, values, given, bias, y, mode=mode) is None
        scale = 1 + np.sqrt(columns)
        assert_allclose(read(y[:-1], dtype), expected, rtol=0, atol=TOLERANCE[dtype] * scale)
        assert (y[-1] == 9).all()


@every_mode
@pytest.mark.parametrize("dtype", NUMBERS)
@pytest.mark.parametrize("batch", [0, 1, 8, 9, 40, 70])
def test_products_at_the_places_of_a_matrix(csr, mode, dtype, batch) -> None:
    for rows, columns, panel, density in SHAPES:
        matrix, rng = Panels(rows, columns, panel, density), np.random.default_rng(batch)
        grad, x = (stored(rng.standard_normal((batch, n)), dtype) for n in (rows, columns))
        given = [array.T.copy() if batch > 8 else array for array in (grad, x)]
        found = np.full(matrix.n_values + 1, 9, grad.dtype)
        expected = (read(grad, dtype).T @ read(x, dtype))[matrix.rows_of, matrix.columns_of]

        tables = sizes_of(matrix, dtype, batch), matrix.ptr, matrix.idx
        assert run(csr, "run_products", *tables, *given, found, mode=mode) is None
        assert_allclose(read(found[:-1], dtype), expected, rtol=0, atol=TOLERANCE[dtype] * (1 + np.sqrt(batch)) * 2)
        assert found[-1] == 9


@pytest.mark.parametrize("batch", [1, 5, 40])
@pytest.mark.parametrize("table", ["ptr", "idx", "perm"])
def test_damaged_tables_touch_no_foreign_memory(csr, table, batch) -> None:
    """Indices of 32 bits lead to memory that is not mapped, most of the time."""
    for seed in range(20):
        matrix, rng = Panels(13, 70, 16, 0.3), np.random.default_rng(seed)
        values, x, grad, y = (rng.random(n, np.float32) for n in (matrix.n_values, batch * 70, batch * 13, batch * 13))
        perm = np.arange(matrix.n_values, dtype=np.int32)
        damaged = {"ptr": matrix.ptr, "idx": matrix.idx, "perm": perm}[table]
        limits = np.iinfo(damaged.dtype)
        damaged.flat[rng.integers(damaged.size, size=9)] = rng.integers(limits.min, limits.max, 9, damaged.dtype)
        sizes = sizes_of(matrix, "float32", batch)
        found = np.zeros_like(values)

        assert run(csr, "run_multiply", sizes, matrix.ptr, matrix.idx, perm, values, x, None, y) is None
        assert run(csr, "run_products", sizes, matrix.ptr, matrix.idx, grad, x, found) is None


@every_mode
@pytest.mark.parametrize("dtype", ["u2", "u4", "u8"])
@pytest.mark.parametrize("shape", [(0, 3), (1, 1), (32, 32), (33, 70), (100, 5)])
def test_transposed(csr, mode, dtype, shape) -> None:
    matrix = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
    found = np.full(shape[::-1], 9999, dtype)

    assert run(csr, "run_transpose", matrix.itemsize, matrix, found, *shape, mode=mode) is None
    assert_array_equal(found, matrix.T)


@every_mode
@pytest.mark.parametrize("dtype", NUMBERS)
@pytest.mark.parametrize("shape", [(0, 3), (1, 1), (9, 70), (100, 5)])
def test_sums_of_rows(csr, mode, dtype, shape) -> None:
    matrix = stored(np.random.default_rng(0).standard_normal(shape), dtype)
    found = np.full(shape[1], 9, matrix.dtype)

    assert run(csr, "run_sum_rows", NUMBERS.index(dtype), matrix, found, *shape, mode=mode) is None
    assert_allclose(read(found, dtype), read(matrix, dtype).sum(0), rtol=0, atol=TOLERANCE[dtype] * 20)
