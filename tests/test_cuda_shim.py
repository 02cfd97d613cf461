"""The shim under the CUDA kernels: it computes what a GPU would, and sees planted mistakes."""

import ctypes

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from cuda_shim import MODES, compiled, every_mode, run


@pytest.fixture
def shim() -> ctypes.CDLL:
    return compiled("planted.cpp")


def drawn(*size: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(size).astype(np.float32)


def transposed(shim, mode, bug=0):
    matrix, found = drawn(64, 64), np.full((64, 64), np.nan, np.float32)
    error = run(shim, "run_transpose", matrix, found, bug, mode=mode)
    return error, np.array_equal(found, matrix.T)


def piped(shim, mode, bug=0):
    numbers, found = drawn(5, 64, 4), np.full(64, np.nan, np.float32)
    error = run(shim, "run_pipeline", numbers, found, 5, bug, mode=mode)
    numbers[:, 60:, 1:] = 0
    return error, np.allclose(found, np.roll(numbers, -33, axis=1).sum((0, 2)), atol=1e-5)


def summed(shim, mode, bug=0):
    numbers, found, negative = drawn(3, 2, 32), np.full((3, 2, 32), np.nan, np.float32), np.zeros((3, 2, 32), np.int32)
    error = run(shim, "run_sum", numbers, found, negative, 3, bug, mode=mode)
    right = np.allclose(found, numbers.sum(2, keepdims=True), atol=1e-5)
    return error, right and np.array_equal(negative, np.broadcast_to((numbers < 0).sum(2, keepdims=True), (3, 2, 32)))


def small(numbers: np.ndarray, half: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return numbers as 16-bit floats, and what these are."""
    if half:
        return numbers.astype(np.float16).view(np.uint16), numbers.astype(np.float16).astype(np.float32)
    bits = (numbers.view(np.uint32) + 0x8000) >> 16
    return bits.astype(np.uint16), (bits << 16).view(np.float32)


def product(shim, mode, half, loaded, bug=0):
    (a, a_read), (b, b_read) = small(drawn(16, 16), half), small(drawn(16, 8) - 1, half)
    found = np.full((16, 8), np.nan, np.float32)
    error = run(shim, "run_product", a, b if loaded else b.T.copy(), found, half, loaded, bug, mode=mode)
    return error, np.allclose(found, a_read @ b_read, atol=1e-4)


KERNELS = {
    "transpose": transposed,
    "pipeline": piped,
    "sum of a warp": summed,
    "bfloat16 product": lambda shim, mode, bug=0: product(shim, mode, False, False, bug),
    "half product": lambda shim, mode, bug=0: product(shim, mode, True, False, bug),
    "bfloat16 product, loaded": lambda shim, mode, bug=0: product(shim, mode, False, True, bug),
    "half product, loaded": lambda shim, mode, bug=0: product(shim, mode, True, True, bug),
}

BUGS = {
    ("transpose", 1): "a barrier is missing after the write",
    ("transpose", 2): "a barrier is missing after the read",
    ("transpose", 3): "half a warp meets a barrier",
    ("transpose", 4): "one thread meets another barrier",
    ("transpose", 5): "a write beyond the array",
    ("transpose", 6): "a row that nobody writes is read",
    ("transpose", 7): "some threads have ended before the barrier",
    ("pipeline", 1): "no wait",
    ("pipeline", 2): "the last copy is not waited for",
    ("pipeline", 3): "a barrier is missing before the use",
    ("pipeline", 4): "a barrier is missing after the use",
    ("sum of a warp", 1): "a wrong distance",
    ("sum of a warp", 2): "a shuffle from a lane that its mask leaves out",
    ("sum of a warp", 3): "a lane that its own mask leaves out",
    ("sum of a warp", 4): "a lane that has ended",
    ("half product", 1): "rows of the left fragment swapped",
    ("half product", 2): "a wrong column of the right fragment",
    ("bfloat16 product", 3): "halves of the right fragment swapped",
    ("half product, loaded", 1): "no barrier between the write and the load",
}

SAID = {
    ("transpose", 3): "threads of a block wait at different barriers",
    ("transpose", 4): "threads of a block wait at different barriers",
    ("transpose", 5): "a write beyond a shared array",
    ("transpose", 7): "__syncthreads is reached by part of the block only",
    ("sum of a warp", 2): "a shuffle from a lane that takes no part",
    ("sum of a warp", 3): "a lane that its own mask leaves out",
    ("sum of a warp", 4): "a warp barrier that some of its lanes never reach",
}


@every_mode
@pytest.mark.parametrize("kernel", KERNELS)
def test_right_kernels_are_right(shim, kernel, mode) -> None:
    assert KERNELS[kernel](shim, mode) == (None, True)


@pytest.mark.parametrize(("kernel", "bug"), BUGS, ids=BUGS.values())
def test_a_planted_bug_is_seen_in_some_mode(shim, kernel, bug) -> None:
    results = [KERNELS[kernel](shim, mode, bug) for mode in MODES]

    assert set(results) != {(None, True)}
    if (kernel, bug) in SAID:
        assert all(SAID[kernel, bug] in str(error) for error, _ in results)


@every_mode
def test_tf32_keeps_ten_bits_of_the_fraction(shim, mode) -> None:
    a, b, found = drawn(16, 8), drawn(8, 8) + 1, np.full((16, 8), np.nan, np.float32)

    def kept(numbers: np.ndarray) -> np.ndarray:
        return ((numbers.view(np.uint32) + 0x1000) & ~np.uint32(0x1FFF)).view(np.float32)

    assert run(shim, "run_product_tf32", a, b, found, mode=mode) is None
    assert_allclose(found, kept(a) @ kept(b), atol=1e-5)


@every_mode
def test_grids_of_three_dimensions(shim, mode) -> None:
    grid, threads = np.array([3, 2, 4], np.uint32), np.array([5, 3, 2], np.uint32)
    found = np.full((24, 30), -1, np.int32)

    assert run(shim, "run_numbers", found, grid, threads, mode=mode) is None
    assert_array_equal(found, np.arange(24)[:, None] * 1000 + np.arange(30)[::-1])


@pytest.mark.parametrize("threads", [[0, 1, 1], [1025, 1, 1]])
def test_a_launch_that_no_gpu_accepts(shim, threads) -> None:
    sizes = np.array([1, 1, 1], np.uint32), np.array(threads, np.uint32)

    assert run(shim, "run_numbers", np.zeros(2000, np.int32), *sizes) == "a launch that no GPU accepts"


def test_small_floats_round_as_numpy_does(shim) -> None:
    rng = np.random.default_rng(0)
    numbers = np.exp2(rng.uniform(-30, 17, 5000)).astype(np.float32) * rng.choice([-1, 1], 5000).astype(np.float32)
    ties = (np.arange(2, 64, dtype=np.float32) + 0.5) * np.float32(2.0**-24)
    shim.half_to_float.restype = shim.bfloat16_to_float.restype = ctypes.c_float
    shim.float_to_half.restype = shim.float_to_bfloat16.restype = ctypes.c_uint16
    every = np.arange(1 << 16, dtype=np.uint16)
    with np.errstate(over="ignore"):
        for number in [*numbers, *ties, np.float32(65519.99), np.float32(65520), np.float32(np.inf), np.float32(0)]:
            assert shim.float_to_half(ctypes.c_float(number)) == number.astype(np.float16).view(np.uint16)
    assert_array_equal([shim.half_to_float(int(bits)) for bits in every], every.view(np.float16).astype(np.float32))
    assert_array_equal(
        [shim.bfloat16_to_float(int(bits)) for bits in every], (every.astype(np.uint32) << 16).view(np.float32)
    )
    finite = every[np.isfinite((every.astype(np.uint32) << 16).view(np.float32))]
    back = [shim.float_to_bfloat16(ctypes.c_float((np.uint32(b) << 16).view(np.float32))) for b in finite]
    assert_array_equal(back, finite)
    assert shim.float_to_bfloat16(ctypes.c_float(1 + 2**-8)) == 0x3F80  # a tie goes to the even one
    assert shim.float_to_bfloat16(ctypes.c_float(1 + 3 * 2**-8)) == 0x3F82
