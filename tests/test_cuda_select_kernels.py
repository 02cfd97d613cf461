"""Selection, band-stop masks and reach steps on CUDA, on this processor in every mode of the shim, against numpy.

Arrays are followed by elements that must stay as they are.
"""

import ctypes

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from cuda_shim import compiled, every_mode, run
from small_numbers import NUMBERS, TOLERANCE, read, stored

ELEMENTS = {"float64": 0, "float32": 1, "float16": 2, "bfloat16": 3, "uint8": 4, "bits": -1}
FLOATS = ["float64", "float32", "float16", "bfloat16"]


@pytest.fixture
def shim() -> ctypes.CDLL:
    return compiled("select.cpp", "select", "reach", "band_stop")


def packed(flags: np.ndarray) -> np.ndarray:
    return np.packbits(flags.reshape(-1), bitorder="little")


def drawn(rng: np.random.Generator, size: int, kind: str) -> np.ndarray:
    values = rng.standard_normal(size)
    if kind == "few values":
        return np.round(values * 2) / 2
    if kind == "signed zeros":
        return np.where(values < 0, -0.0, 0.0)
    if kind == "wide":
        return np.clip(values * np.exp(3 * rng.standard_normal(size)), -6e4, 6e4)
    return np.where(rng.random(size) < 0.2, np.copysign(np.inf, values), values) if kind == "infinite" else values


class Selection:
    """Tensors, which of their elements compete, and what the kernels find."""

    def __init__(self, arrays: list[np.ndarray], masks: list[np.ndarray] | None, dtype: str) -> None:
        self.arrays, self.dtype = [stored(array, dtype) for array in arrays], dtype
        self.masks = masks
        self.bound = np.zeros(1, self.arrays[0].dtype)

    def keep(self, shim: ctypes.CDLL, count: int, *, magnitude: bool, mode: tuple[bool, bool]) -> np.ndarray:
        """Return which elements are kept, of all tensors one after the other."""
        bits = [packed(mask) for mask in self.masks] if self.masks else []
        kept = [np.full((array.size + 7) // 8 + 1, 255, np.uint8) for array in self.arrays]
        given = [*self.arrays, *(bits or [None] * len(kept)), *kept]
        addresses = np.array([0 if one is None else one.ctypes.data for one in given], np.uint64)
        sizes = np.array([array.size for array in self.arrays], np.int64)
        numbers = len(sizes), count, int(magnitude), self.bound

        assert run(shim, "run_select", ELEMENTS[self.dtype], addresses, sizes, *numbers, mode=mode) is None
        assert all(own[-1] == 255 for own in kept)
        flags = [np.unpackbits(own[:-1], bitorder="little") for own in kept]
        assert not any(own[size:].any() for own, size in zip(flags, sizes, strict=True))
        return np.concatenate([own[:size] for own, size in zip(flags, sizes, strict=True)]).astype(bool)

    def largest(self, count: int, *, magnitude: bool) -> tuple[float, np.ndarray]:
        """Return the bound and which elements are kept, by sorting."""
        values = np.concatenate([read(array, self.dtype) for array in self.arrays])
        values = np.abs(values) if magnitude else values
        competing = np.concatenate(self.masks) if self.masks else np.ones(values.size, bool)
        order = np.argsort(-values, kind="stable")
        chosen = order[competing[order]][:count]
        kept = np.zeros(values.size, bool)
        kept[chosen] = True
        return values[chosen[-1]], kept


@every_mode
@pytest.mark.parametrize("kind", ["plain", "few values", "signed zeros", "wide", "infinite"])
@pytest.mark.parametrize("dtype", FLOATS)
def test_the_largest_are_those_that_sorting_finds(shim, mode, dtype, kind) -> None:
    rng = np.random.default_rng(len(kind))
    for sizes in ([1], [7, 0, 65], [4100, 33]):
        arrays, total = [drawn(rng, size, kind) for size in sizes], sum(sizes)
        for masks in (None, [rng.random(size) < 0.6 for size in sizes]):
            selection = Selection(arrays, masks, dtype)
            there = total if masks is None else sum(int(mask.sum()) for mask in masks)
            for count in {min(1, there), there // 2, there} - {0}:
                magnitude = bool(count % 2)
                kept = selection.keep(shim, count, magnitude=magnitude, mode=mode)
                bound, expected = selection.largest(count, magnitude=magnitude)

                assert_array_equal(kept, expected)
                assert read(selection.bound, dtype)[0] == bound


@every_mode
def test_many_tensors_take_several_launches(shim, mode) -> None:
    rng = np.random.default_rng(0)
    selection = Selection([np.round(rng.standard_normal(size), 1) for size in [3] * 120 + [33_000]], None, "float32")
    kept = selection.keep(shim, 16_000, magnitude=False, mode=mode)

    assert_array_equal(kept, selection.largest(16_000, magnitude=False)[1])


@pytest.mark.parametrize("dtype", FLOATS)
def test_a_nan_leaves_nothing_kept_unless_it_does_not_compete(shim, dtype) -> None:
    values, others = np.ones(300), np.arange(300) != 170
    values[170] = -np.nan
    for masks, found, n_kept in ((None, np.nan, 0), ([others], 1, 5)):
        selection = Selection([values], masks, dtype)
        kept = selection.keep(shim, 5, magnitude=True, mode=(False, False))

        assert_array_equal(read(selection.bound, dtype), [found])
        assert kept.sum() == kept[:n_kept].sum() == n_kept


@pytest.mark.parametrize("dtype", FLOATS)
def test_none_or_all_are_kept(shim, dtype) -> None:
    selection = Selection([np.arange(-9.0, 9.0)], [np.arange(18) % 2 == 0], dtype)

    assert not selection.keep(shim, 0, magnitude=False, mode=(False, False)).any()
    assert read(selection.bound, dtype)[0] == np.inf
    assert_array_equal(selection.keep(shim, 12, magnitude=False, mode=(False, False)), selection.masks[0])
    assert read(selection.bound, dtype)[0] == -np.inf


def psi(w: np.ndarray, threshold: float, sharpness: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the mask and its derivative by w, in long doubles."""
    w = w.astype(np.longdouble)
    u, exponent = sharpness * w * w, sharpness * (np.abs(w) - threshold) * (np.abs(w) + threshold)
    passed, stopped = 1 / (1 + np.exp(-exponent)), 1 / (1 + np.exp(exponent))
    return -np.expm1(-u) * passed, 2 * sharpness * w * passed * (np.exp(-u) * passed + stopped)


@pytest.mark.parametrize("dtype", NUMBERS)
@pytest.mark.parametrize(("threshold", "sharpness"), [(0.0, 1.0), (0.5, 30.0), (0.0, 0.25)])
@pytest.mark.parametrize("count", [0, 1, 257])
@pytest.mark.filterwarnings("ignore:overflow")
def test_band_stop_and_its_gradient(shim, dtype, threshold, sharpness, count) -> None:
    rng, numbers = np.random.default_rng(0), np.array([threshold, sharpness])
    weight, grad, grad_mask = (stored(rng.standard_normal(count), dtype) for _ in range(3))
    masked, mask, result = (np.full(count + 1, 9, weight.dtype) for _ in range(3))
    number, bound = NUMBERS.index(dtype), {"rtol": 2 * TOLERANCE[dtype], "atol": TOLERANCE[dtype]}

    assert run(shim, "run_band_stop", number, weight, numbers, count, masked, mask) is None
    w, g, g_mask = (read(array, dtype) for array in (weight, grad, grad_mask))
    value, slope = psi(w, threshold, sharpness)
    assert_allclose(read(mask[:-1], dtype), value.astype(float), **bound)
    assert_allclose(read(masked[:-1], dtype), (w * value).astype(float), **bound)
    by_grad, by_mask = (g * (value + w * slope)).astype(float), (g_mask * slope).astype(float)
    for first, second, expected in (
        (grad, grad_mask, by_grad + by_mask),
        (grad, None, by_grad),
        (None, grad_mask, by_mask),
    ):
        arguments = number, first, second, weight, numbers.astype(np.float32), count, result
        assert run(shim, "run_band_stop_backward", *arguments) is None
        scale = 1 + np.abs(by_grad) + np.abs(by_mask)
        assert (np.abs(read(result[:-1], dtype) - expected) <= 2 * TOLERANCE[dtype] * scale).all()
    assert masked[-1] == mask[-1] == result[-1] == 9


@every_mode
@pytest.mark.parametrize("dtype", ELEMENTS)
@pytest.mark.parametrize(
    "shape", [(1, 1, 1, 1), (70, 130, 1, 1), (6, 5, 9, 1), (130, 3, 9, 2), (65, 1, 9, 65), (4, 0, 3, 2), (0, 4, 1, 1)]
)
def test_reach_steps(shim, mode, dtype, shape) -> None:
    rows, columns, taps, groups = shape
    rng = np.random.default_rng(rows + columns)
    for density in (0.0, 0.02, 0.5):
        kept = rng.random((rows, columns, taps)) < density
        values = np.where(kept, rng.choice([-1.5, 2.0, np.nan] if "float" in dtype else [1], kept.shape), -0.0)
        weight = packed(kept) if dtype == "bits" else stored(values, dtype)
        live, co = rng.random(groups * columns) < 0.5, rng.random(rows) < 0.5
        targets, sources = np.full(rows + 1, 7, np.uint8), np.full(groups * columns + 1, 7, np.uint8)
        edges = kept.reshape(groups, rows // groups, columns, taps)
        edges_from, edges_to = edges & live.reshape(groups, 1, columns, 1), edges & co.reshape(groups, -1, 1, 1)
        count, start = np.zeros(2, np.int64), (weight, ELEMENTS[dtype], np.array(shape, np.int64))

        assert run(shim, "run_targets", *start, live, targets, mode=mode) is None
        assert run(shim, "run_sources", *start, co, sources, mode=mode) is None
        assert run(shim, "run_count", *start, live, co, count, mode=mode) is None
        assert_array_equal(targets[:-1], edges_from.any(axis=(2, 3)).reshape(-1))
        assert_array_equal(sources[:-1], edges_to.any(axis=(1, 3)).reshape(-1))
        assert count.tolist() == [(edges_from & edges_to).sum(), 0]
        assert targets[-1] == sources[-1] == 7
