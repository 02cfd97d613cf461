"""The kernels of the operators by themselves, without torch: against numpy, on each instruction set.

`.ci/sanitize` runs this file, so the arrays end where their memory ends.
"""

import ctypes
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import netgraph

LIBRARY = Path(netgraph.__file__).parents[1] / "prune_adapters" / "lib" / "libprune_adapters.so"
SIZES = {1: "u1", 2: "u2", 4: "u4", 8: "u8", 16: "c16"}


@pytest.fixture(params=["generic", "avx2", "avx512"])
def kernels(request):
    """The library, set to one instruction set after the other."""
    if not LIBRARY.exists():
        pytest.skip("the compiled operators are missing")
    library = ctypes.CDLL(str(LIBRARY))
    library.prune_adapters_isa.restype = ctypes.c_char_p
    before = library.prune_adapters_isa()
    if not library.prune_adapters_use_isa(request.param.encode()):
        pytest.skip(f"this processor has no {request.param}")
    assert library.prune_adapters_isa() == request.param.encode()
    yield library
    library.prune_adapters_use_isa(before)


def at(array):
    return array.ctypes.data_as(ctypes.c_void_p)  # holds the array, too


def last(array, skipped):
    """Return a copy that begins `skipped` elements after the start of its memory and ends with it."""
    whole = np.empty(len(array) + skipped, dtype=array.dtype)
    whole[skipped:] = array
    return whole[skipped:]


def values_of(size, count, rng):
    """Return elements whose bits are all drawn: NaN, infinities and -0.0 among the floats of that size."""
    return rng.integers(0, 256, size * count, dtype=np.uint8).view(SIZES[size])


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("skipped", [0, 1, 3])
def test_removed_elements_are_zero_and_the_others_untouched(kernels, size, skipped):
    rng = np.random.default_rng(size)
    for count in range(201):
        kept = rng.random(count) < rng.choice([0.0, 0.1, 0.5, 1.0])
        values = last(values_of(size, count, rng), skipped)
        octets = values.view(np.uint8).reshape(count, size).copy()
        bits = last(np.packbits(kept, bitorder="little"), skipped)
        kernels.prune_adapters_clear(at(values), size.bit_length() - 1, at(bits), ctypes.c_int64(count))

        assert_array_equal(values.view(np.uint8).reshape(count, size), octets * kept[:, None])


@pytest.mark.parametrize("size", SIZES)
def test_a_single_element_removed_or_kept(kernels, size):
    for place in range(130):
        for kept in (np.arange(130) == place, np.arange(130) != place):
            octets = np.full((130, size), 255, np.uint8)
            bits = np.packbits(kept, bitorder="little")
            kernels.prune_adapters_clear(at(octets), size.bit_length() - 1, at(bits), ctypes.c_int64(130))

            assert_array_equal(octets, np.repeat(np.where(kept, 255, 0), size).reshape(130, size))


def test_drawn_element(kernels):
    values = np.arange(1, 11, dtype=np.uint32)
    kernels.prune_adapters_clear(at(values), 2, at(np.array([0b1000_0110, 0b01], np.uint8)), ctypes.c_int64(10))

    assert values.tolist() == [0, 2, 3, 0, 0, 0, 0, 8, 9, 0]


@pytest.mark.parametrize("count", [*range(70), 4095, 4096, 4097, 10_000])
def test_flags_are_packed_and_unpacked(kernels, count):
    flags = last(np.random.default_rng(count).random(count) < 0.5, 1)
    expected = np.packbits(flags, bitorder="little")
    bits, back = np.full(len(expected), 255, np.uint8), np.full(count, 255, np.uint8)
    kernels.prune_adapters_pack(at(flags), ctypes.c_int64(count), at(bits))
    kernels.prune_adapters_unpack(at(last(bits, 1)), ctypes.c_int64(count), at(back))

    assert_array_equal(bits, expected)
    assert_array_equal(back, flags)
