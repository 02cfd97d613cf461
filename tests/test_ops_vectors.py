"""Tiles of vectors by themselves, without torch: packed, unpacked and summed, on each instruction set.

`.ci/sanitize` runs this file, so the arrays end where their memory ends.
"""

import ctypes
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import netgraph

LIBRARY = Path(netgraph.__file__).parents[1] / "prune_adapters" / "lib" / "libprune_adapters.so"
DTYPES = {"f32": np.float32, "f64": np.float64}


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
    yield library
    library.prune_adapters_use_isa(before)


def at(array):
    return array.ctypes.data_as(ctypes.c_void_p)


def index(value):
    return ctypes.c_int64(value)


def lanes(kernels, suffix):
    return kernels.prune_adapters_lanes(suffix == "f64")


def sizes(size):
    """Yield numbers of rows and features at every border of a vector and a tile, and the gap between two rows."""
    for n_rows in (0, 1, size // 2, size - 1, size):
        for features, gap in [(0, 0), (1, 0), (3, 5), (4, 0), (15, 1), (16, 0), (17, 0), (40, 2)]:
            yield n_rows, features, gap


@pytest.mark.parametrize("width", [0, 1, 2])
@pytest.mark.parametrize("suffix", DTYPES)
def test_rows_become_tiles_and_tiles_rows(kernels, suffix, width):
    size = (64 << width) // DTYPES[suffix]().itemsize
    pack = getattr(kernels, f"prune_adapters_pack_tile_{suffix}")
    unpack = getattr(kernels, f"prune_adapters_unpack_tile_{suffix}")
    for n_rows, features, gap in sizes(size):
        stride = features + gap
        rows = np.arange(n_rows * stride - gap * (n_rows > 0), dtype=DTYPES[suffix]) + 1
        tile, back = np.full((features, size), -1, rows.dtype), np.full(rows.shape, -1, rows.dtype)
        pack(width, at(rows), index(stride), index(n_rows), index(features), at(tile))
        unpack(width, at(tile), index(features), at(back), index(stride), index(n_rows))
        places = np.arange(n_rows)[:, None] * stride + np.arange(features)

        assert_array_equal(tile[:, :n_rows].T, rows[places])
        assert not tile[:, n_rows:].any()
        assert_array_equal(back[places], rows[places])
        assert (np.delete(back, places) == -1).all()


@pytest.mark.parametrize("suffix", DTYPES)
def test_sums_of_vectors(kernels, suffix):
    count, rng = lanes(kernels, suffix), np.random.default_rng(0)
    for runs in (np.arange(count * count), rng.standard_normal(count * count), np.eye(count).ravel()):
        runs, found = runs.astype(DTYPES[suffix]), np.full(count, -1, DTYPES[suffix])
        getattr(kernels, f"prune_adapters_sums_{suffix}")(at(runs), at(found))

        assert_allclose(found, runs.reshape(count, count).sum(1), rtol=0, atol=16 * np.finfo(found.dtype).eps * count)
