"""Selection, band-stop masks and reach steps by themselves, without torch: against numpy, on each instruction set.

`.ci/sanitize` runs this file, so the arrays end where their memory ends.
"""

import ctypes
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import netgraph

LIBRARY = Path(netgraph.__file__).parents[1] / "prune_adapters" / "lib" / "libprune_adapters.so"
ELEMENTS = {"float64": 0, "float32": 1, "float16": 2, "bfloat16": 3, "uint8": 4, "bits": -1}
KEY, NAN, LOWEST = range(3)


@pytest.fixture(params=["generic", "avx2", "avx512"])
def kernels(request):
    """The library, set to one instruction set after the other."""
    if not LIBRARY.exists():
        pytest.skip("the compiled operators are missing")
    library = ctypes.CDLL(str(LIBRARY))
    library.prune_adapters_isa.restype = ctypes.c_char_p
    library.prune_adapters_count_consistent.restype = ctypes.c_int64
    before = library.prune_adapters_isa()
    if not library.prune_adapters_use_isa(request.param.encode()):
        pytest.skip(f"this processor has no {request.param}")
    yield library
    library.prune_adapters_use_isa(before)


def at(array):
    return array.ctypes.data_as(ctypes.c_void_p)  # holds the array, too


def last(array, skipped=1):
    """Return a copy that begins `skipped` elements after the start of its memory and ends with it."""
    whole = np.empty(array.size + skipped, dtype=array.dtype)
    whole[skipped:] = array.reshape(-1)
    return whole[skipped:]


def packed(flags):
    return np.packbits(np.asarray(flags, dtype=bool).reshape(-1), bitorder="little")


def stored(values, format_):
    """Return values as they lie in memory: a bfloat16 is the upper half of a float."""
    if format_ == "bfloat16":
        return (np.asarray(values, dtype=np.float32).view(np.uint32) >> 16).astype(np.uint16)
    return np.asarray(values).astype(format_)


def read(memory, format_):
    if format_ == "bfloat16":
        return (memory.astype(np.uint32) << 16).view(np.float32).astype(np.float64)
    return memory.astype(np.float64)


def keys_of(memory):
    """Return the integers that the kernels compare, from the bits of floats."""
    bits = memory.view(f"i{memory.itemsize}").astype(np.int64)
    sign = -(1 << (8 * memory.itemsize - 1))
    return np.where(bits < 0, -(bits - sign), bits)


def keep_largest(kernels, arrays, format_, keep, *, magnitude, candidates):
    """Return kind and key of the bound, and the bits of each array."""
    table = []
    for array, bits in zip(arrays, candidates, strict=True):
        table += [array.ctypes.data, None if bits is None else bits.ctypes.data, array.size]
    out = [last(np.full((array.size + 7) // 8, 255, np.uint8)) for array in arrays]
    key = ctypes.c_int64()
    kind = kernels.prune_adapters_keep_largest(
        (ctypes.c_void_p * len(table))(*table),
        ctypes.c_int64(len(arrays)),
        ELEMENTS[format_],
        magnitude,
        ctypes.c_int64(keep),
        ctypes.byref(key),
        (ctypes.c_void_p * len(out))(*(bits.ctypes.data for bits in out)),
    )
    return kind, key.value, out


def expected_selection(arrays, keep, *, magnitude, candidates):
    """Return the key of the bound and which elements are kept, by sorting."""
    keys = np.concatenate([keys_of(array) for array in arrays])
    keys = np.abs(keys) if magnitude else keys
    competing = np.concatenate(
        [
            np.ones(array.size, bool) if bits is None else np.unpackbits(bits, count=array.size, bitorder="little") > 0
            for array, bits in zip(arrays, candidates, strict=True)
        ]
    )
    order = np.argsort(-keys, kind="stable")
    chosen = order[competing[order]][:keep]
    kept = np.zeros(keys.size, bool)
    kept[chosen] = True
    return keys[chosen[-1]], np.split(kept, np.cumsum([array.size for array in arrays])[:-1])


def drawn(rng, size, kind):
    values = rng.standard_normal(size)
    if kind == "few values":
        values = np.round(values * 2) / 2
    if kind == "mostly zero":
        values *= rng.random(size) < 0.1
    if kind == "signed zeros":
        values = np.where(values < 0, -0.0, 0.0)
    if kind == "wide":
        values *= np.exp(8 * rng.standard_normal(size))
    if kind == "infinite":
        values = np.where(rng.random(size) < 0.2, np.copysign(np.inf, values), values)
    return np.sort(values) if kind == "sorted" else values


@pytest.mark.parametrize("kind", ["plain", "few values", "mostly zero", "signed zeros", "wide", "infinite", "sorted"])
@pytest.mark.parametrize("format_", ["float64", "float32", "float16", "bfloat16"])
@pytest.mark.filterwarnings("ignore:overflow")
def test_the_largest_are_those_that_sorting_finds(kernels, format_, kind):
    rng = np.random.default_rng([ELEMENTS[format_], len(kind)])
    for sizes in ([1], [7, 0, 65], [4096, 4097, 3], [40_000, 33, 9_000]):
        arrays = [last(stored(drawn(rng, size, kind), format_)) for size in sizes]
        total = sum(sizes)
        for keep in {1, total, total // 2 + 1, total // 100 + 1}:
            for magnitude in (False, True):
                for share in (None, 0.6):
                    masks = [None if share is None else rng.random(size) < share for size in sizes]
                    bits = [None if mask is None else last(packed(mask)) for mask in masks]
                    there = total if share is None else sum(int(mask.sum()) for mask in masks)
                    if keep > there:
                        continue
                    kind_found, key, found = keep_largest(
                        kernels, arrays, format_, keep, magnitude=magnitude, candidates=bits
                    )
                    wanted_key, wanted = expected_selection(arrays, keep, magnitude=magnitude, candidates=bits)

                    assert (kind_found, key) == (KEY, wanted_key)
                    for own, kept in zip(found, wanted, strict=True):
                        assert_array_equal(own, packed(kept))


@pytest.mark.parametrize("size", [1, 100, 20_000])
@pytest.mark.parametrize("format_", ["float64", "float32", "float16", "bfloat16"])
def test_a_nan_leaves_nothing_kept_unless_it_does_not_compete(kernels, format_, size):
    values = np.ones(size)
    values[size // 2] = np.nan
    arrays, others = [last(stored(values, format_))], last(packed(np.arange(size) != size // 2))
    kind, _, (bits,) = keep_largest(kernels, arrays, format_, 1, magnitude=True, candidates=[None])

    assert kind == NAN
    assert not bits.any()
    if size > 1:
        kind, _, (bits,) = keep_largest(kernels, arrays, format_, 1, magnitude=True, candidates=[others])
        assert kind == KEY
        assert_array_equal(bits, packed(np.arange(size) == 0))


def test_none_or_all_are_kept(kernels):
    array = last(stored(np.arange(9.0), "float32"))
    candidates = last(packed(np.arange(9) % 2 == 0))
    kind, _, (bits,) = keep_largest(kernels, [array], "float32", 0, magnitude=False, candidates=[None])
    assert (kind, bits.tolist()) == (KEY, [0, 0])

    kind, _, (bits,) = keep_largest(kernels, [array], "float32", 7, magnitude=False, candidates=[candidates])
    assert kind == LOWEST
    assert_array_equal(bits, candidates)


def psi(w, threshold, sharpness):
    """Return the mask and its derivative by w, in long doubles."""
    w = w.astype(np.longdouble)
    u, exponent = sharpness * w * w, sharpness * (np.abs(w) - threshold) * (np.abs(w) + threshold)
    passed, stopped = 1 / (1 + np.exp(-exponent)), 1 / (1 + np.exp(exponent))
    return -np.expm1(-u) * passed, 2 * sharpness * w * passed * (np.exp(-u) * passed + stopped)


SOFT = {"float64": (0, 4e-13), "float32": (1, 2e-5), "bfloat16": (2, 8e-3)}
"""Number of the loops, and the relative error: an exponent near the ends of the format takes digits from its power."""


@pytest.mark.parametrize("format_", SOFT)
@pytest.mark.parametrize(("threshold", "sharpness"), [(0.0, 1.0), (0.5, 30.0), (0.05, 4000.0), (0.0, 1e-4)])
@pytest.mark.filterwarnings("ignore:overflow")
def test_band_stop_and_its_gradient(kernels, format_, threshold, sharpness):
    number, bound = SOFT[format_]
    rng = np.random.default_rng(number)
    for count in (0, 1, 3, 15, 16, 17, 1000):
        scales = rng.choice([1.0, 0.05, 1e-3], count)
        weight, grad, grad_mask = (last(stored(rng.standard_normal(count) * scales, format_)) for _ in range(3))
        masked, mask, result = (last(np.empty_like(weight)) for _ in range(3))
        numbers = ctypes.c_double(threshold), ctypes.c_double(sharpness), ctypes.c_int64(count)
        kernels.prune_adapters_band_stop(number, at(weight), *numbers, at(masked), at(mask))
        w, g, g_mask = (read(array, format_) for array in (weight, grad, grad_mask))
        value, slope = psi(w, threshold, sharpness)

        assert_allclose(read(mask, format_), value.astype(float), rtol=bound, atol=1e-37)
        assert_allclose(read(masked, format_), (w * value).astype(float), rtol=bound, atol=1e-37)
        for first, second in ((g, g_mask), (g, None), (None, g_mask)):
            given = [None if one is None else at(array) for one, array in ((first, grad), (second, grad_mask))]
            kernels.prune_adapters_band_stop_backward(number, *given, at(weight), *numbers, at(result))
            parts = [0 if first is None else first * (value + w * slope), 0 if second is None else second * slope]
            scale = np.abs(parts[0]) + np.abs(parts[1])
            assert np.all(np.abs(read(result, format_) - sum(parts)) <= bound * scale + 1e-30)


@pytest.mark.parametrize("format_", ELEMENTS)
@pytest.mark.parametrize(
    "shape", [(1, 1, 1, 1), (70, 130, 1, 1), (6, 5, 9, 1), (130, 3, 9, 2), (65, 1, 9, 65), (4, 200, 3, 2)]
)
def test_reach_steps(kernels, format_, shape):
    rows, columns, taps, groups = shape
    rng = np.random.default_rng(rows + columns)
    for density in (0.0, 0.02, 0.3, 1.0):
        kept = rng.random((rows, columns, taps)) < density
        values = np.where(kept, rng.choice([-1.5, 2.0, np.nan] if "float" in format_ else [1], kept.shape), -0.0)
        weight = last(packed(kept)) if format_ == "bits" else last(stored(values, format_))
        live, co = rng.random(groups * columns) < 0.5, rng.random(rows) < 0.5
        sizes = (ctypes.c_int64 * 4)(*shape)
        edges = kept.reshape(groups, rows // groups, columns, taps)
        edges_from = edges & live.reshape(groups, 1, columns, 1)
        edges_to = edges & co.reshape(groups, -1, 1, 1)
        targets, sources = last(np.full(rows, 7, np.uint8)), last(np.full(groups * columns, 7, np.uint8))
        start = at(weight), ELEMENTS[format_], sizes
        kernels.prune_adapters_reach_targets(*start, at(last(live)), at(targets))
        kernels.prune_adapters_reach_sources(*start, at(last(co)), at(sources))

        assert_array_equal(targets, edges_from.any(axis=(2, 3)).reshape(-1))
        assert_array_equal(sources, edges_to.any(axis=(1, 3)).reshape(-1))
        assert (
            kernels.prune_adapters_count_consistent(*start, at(last(live)), at(last(co)))
            == (edges_from & edges_to).sum()
        )
