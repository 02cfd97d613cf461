"""The kernels of the linear operators by themselves, without torch: against dense products, on each instruction set.

`.ci/sanitize` runs this file, so the arrays end where their memory ends.
"""

import ctypes
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import netgraph
from small_numbers import read, stored

LIBRARY = Path(netgraph.__file__).parents[1] / "prune_adapters" / "lib" / "libprune_adapters.so"
DTYPES = {"f32": np.float32, "f64": np.float64}
BATCHES = [0, 1, 3, 4, 5, 16, 31, 33, 64, 70, 130]


class Panels(ctypes.Structure):
    _fields_ = [("ptr", ctypes.c_void_p), ("idx", ctypes.c_void_p)] + [
        (name, ctypes.c_int64) for name in ("n_panels", "rows", "columns", "panel", "count")
    ]


class Blocks(ctypes.Structure):
    _fields_ = [("ptr", ctypes.c_void_p), ("idx", ctypes.c_void_p)] + [
        (name, ctypes.c_int64) for name in ("rows", "columns", "height", "width", "count")
    ]


@pytest.fixture(params=["generic", "avx2", "avx512"])
def kernels(request):
    """The library, set to one instruction set after the other."""
    if not LIBRARY.exists():
        pytest.skip("the compiled operators are missing")
    library = ctypes.CDLL(str(LIBRARY))
    library.prune_adapters_isa.restype = ctypes.c_char_p
    for function in ("panels_multiply", "panels_dots", "blocks_multiply", "blocks_outer"):
        for suffix in DTYPES:
            getattr(library, f"prune_adapters_{function}_{suffix}").restype = ctypes.c_bool
    for function in ("permute", "blocks_multiply_bf16", "blocks_outer_bf16"):
        getattr(library, f"prune_adapters_{function}").restype = ctypes.c_bool
    before = library.prune_adapters_isa()
    if not library.prune_adapters_use_isa(request.param.encode()):
        pytest.skip(f"this processor has no {request.param}")
    yield library
    library.prune_adapters_use_isa(before)


@pytest.fixture(params=[False, True], ids=["numbers", "pairs"])
def narrow_kernels(request, kernels):
    """The same, also with kernels that multiply pairs of bfloat16; they belong to avx512."""
    kernels.prune_adapters_use_pairs.restype = ctypes.c_bool
    if not kernels.prune_adapters_use_pairs(2 if request.param else 1):
        pytest.skip("this processor has no products of pairs, or these kernels have none")
    yield kernels
    kernels.prune_adapters_use_pairs(0)


def at(array):
    return None if array is None else array.ctypes.data_as(ctypes.c_void_p)


def panels_of(mask, panel):
    """Return the tables of a mask and where each value is, panel by panel."""
    rows, columns = mask.shape
    n_panels = -(-columns // panel)
    ptr, places = np.zeros((n_panels, rows + 1), np.int32), []
    for p in range(n_panels):
        for r in range(rows):
            ptr[p, r] = len(places)
            places += [(r, p * panel + c) for c in np.flatnonzero(mask[r, p * panel : (p + 1) * panel])]
        ptr[p, rows] = len(places)
    places = np.array(places, dtype=np.int64).reshape(-1, 2)
    return ptr, (places[:, 1] % panel).astype(np.int16), places


def panels(ptr, idx, mask, panel):
    return Panels(ptr.ctypes.data, idx.ctypes.data, len(ptr), *mask.shape, panel, len(idx))


@pytest.mark.parametrize("suffix", DTYPES)
@pytest.mark.parametrize(
    ("shape", "panel"), [((1, 1), 1), ((33, 40), 40), ((20, 70), 16), ((64, 64), 7), ((3, 0), 1), ((0, 3), 3)]
)
def test_panels_times_a_batch(kernels, suffix, shape, panel):
    rng, dtype = np.random.default_rng(0), DTYPES[suffix]
    for density in (0.0, 0.1, 0.5, 1.0):
        mask = rng.random(shape) < density
        ptr, idx, places = panels_of(mask, panel)
        matrix = panels(ptr, idx, mask, panel)
        values, bias = rng.standard_normal(len(idx)).astype(dtype), rng.standard_normal(shape[0]).astype(dtype)
        dense = np.zeros(shape, dtype)
        dense[places[:, 0], places[:, 1]] = values
        for batch in BATCHES:
            x, g = (rng.standard_normal((batch, size)).astype(dtype) for size in (shape[1], shape[0]))
            y, plain = np.full((batch, shape[0]), np.nan, dtype), np.full((batch, shape[0]), np.nan, dtype)
            found = np.full(len(idx), np.nan, dtype)
            multiply = getattr(kernels, f"prune_adapters_panels_multiply_{suffix}")
            size = ctypes.c_int64(batch)

            assert multiply(ctypes.byref(matrix), at(values), at(bias), at(x), size, at(y))
            assert multiply(ctypes.byref(matrix), at(values), None, at(x), size, at(plain))
            dots = getattr(kernels, f"prune_adapters_panels_dots_{suffix}")
            assert dots(ctypes.byref(matrix), at(g), at(x), size, at(found))
            bound = 4 * np.finfo(dtype).eps
            assert_allclose(y, x @ dense.T + bias, atol=bound * (np.abs(x).sum(1).max(initial=0) * 4 + 4), rtol=0)
            assert_allclose(plain, x @ dense.T, atol=bound * (np.abs(x).sum(1).max(initial=0) * 4 + 4), rtol=0)
            expected = (g.T @ x)[places[:, 0], places[:, 1]]
            assert_allclose(found, expected, atol=bound * (batch + 1) * 16, rtol=0)


def test_drawn_panels(kernels):
    """Two panels of two columns: [[1, 0, 2], [0, 3, 0]]."""
    ptr, idx = np.array([[0, 1, 2], [2, 3, 3]], np.int32), np.array([0, 1, 0], np.int16)
    values, x, y = np.array([1.0, 3.0, 2.0]), np.array([[1.0, 10.0, 100.0]]), np.zeros((1, 2))
    matrix = Panels(ptr.ctypes.data, idx.ctypes.data, 2, 2, 3, 2, 3)

    assert kernels.prune_adapters_panels_multiply_f64(
        ctypes.byref(matrix), at(values), None, at(x), ctypes.c_int64(1), at(y)
    )
    assert y.tolist() == [[201.0, 30.0]]


@pytest.mark.parametrize("batch", [1, 40])
def test_tables_that_point_outside_are_refused(kernels, batch):
    rng = np.random.default_rng(1)
    mask = rng.random((20, 30)) < 0.3
    good_ptr, good_idx, _ = panels_of(mask, 16)
    values, x, g = (rng.standard_normal(size) for size in (len(good_idx), (batch, 30), (batch, 20)))
    size, y, found = ctypes.c_int64(batch), np.zeros((batch, 20)), np.zeros(len(good_idx))

    def refused(ptr, idx):
        matrix = panels(ptr, idx, mask, 16)
        one = kernels.prune_adapters_panels_multiply_f64(ctypes.byref(matrix), at(values), None, at(x), size, at(y))
        other = kernels.prune_adapters_panels_dots_f64(ctypes.byref(matrix), at(g), at(x), size, at(found))
        return not one, not other

    assert refused(good_ptr, good_idx) == (False, False)
    for place, column in [(0, 16), (0, -1), (len(good_idx) - 1, 14), (5, 32767), (5, -32768)]:
        idx = good_idx.copy()
        idx[place] = column
        assert refused(good_ptr, idx) == (True, True)
    for place, value in [((0, 0), -1), ((1, 20), len(good_idx) + 1), ((0, 5), 10_000), ((1, 3), -5), ((0, 7), 0)]:
        ptr = good_ptr.copy()
        ptr[place] = value
        assert refused(ptr, good_idx) == (True, True)


def test_permuted_values_come_from_their_places(kernels):
    places = np.random.default_rng(0).permutation(1000).astype(np.int32)
    values, found = np.arange(1000, dtype=np.float32), np.zeros(1000, np.float32)
    count = ctypes.c_int64(1000)

    assert kernels.prune_adapters_permute(at(values), at(places), count, at(found))
    assert_array_equal(found, values[places])
    for wrong in (-1, 1000):
        places[500] = wrong
        assert not kernels.prune_adapters_permute(at(values), at(places), count, at(found))


def blocks_of(kept):
    """Return the tables of a mask of blocks, those of the transposed mask, and where their blocks are."""
    rows, columns = np.nonzero(kept)
    order = np.lexsort((rows, columns))
    counts = np.cumsum(np.r_[0, kept.sum(1)]), np.cumsum(np.r_[0, kept.sum(0)])
    tables = counts[0], columns, counts[1], rows[order], order
    return [table.astype(np.int32) for table in tables]


@pytest.mark.parametrize("suffix", DTYPES)
@pytest.mark.parametrize("block", [(1, 1), (8, 8), (16, 16), (3, 5), (12, 20), (17, 33), (64, 8), (70, 1)])
def test_blocks_times_a_batch(kernels, suffix, block):
    rng, dtype = np.random.default_rng(0), DTYPES[suffix]
    for groups, density in [((1, 1), 1.0), ((3, 4), 0.5), ((5, 2), 0.2), ((2, 3), 0.0), ((2, 0), 0.0), ((0, 2), 0.0)]:
        kept = rng.random(groups) < density
        ptr, idx, t_ptr, t_idx, t_perm = blocks_of(kept)
        values = rng.standard_normal((len(idx), *block)).astype(dtype)
        whole = np.zeros((*groups, *block), dtype)
        whole[kept] = values
        dense = whole.transpose(0, 2, 1, 3).reshape(groups[0] * block[0], groups[1] * block[1])
        matrix = Blocks(ptr.ctypes.data, idx.ctypes.data, *groups, *block, len(idx))
        across = Blocks(t_ptr.ctypes.data, t_idx.ctypes.data, *groups[::-1], *block[::-1], len(idx))
        bias = rng.standard_normal(len(dense)).astype(dtype)
        for batch in BATCHES:
            x, g = (rng.standard_normal((batch, size)).astype(dtype) for size in dense.shape[::-1])
            y, of_x, found = (np.full(s, np.nan, dtype) for s in (g.shape, x.shape, values.shape))
            multiply = getattr(kernels, f"prune_adapters_blocks_multiply_{suffix}")
            outer, size = getattr(kernels, f"prune_adapters_blocks_outer_{suffix}"), ctypes.c_int64(batch)

            assert multiply(ctypes.byref(matrix), None, at(values), at(bias), at(x), size, at(y))
            assert multiply(ctypes.byref(across), at(t_perm), at(values), None, at(g), size, at(of_x))
            assert outer(ctypes.byref(matrix), at(g), at(x), size, at(found))
            bound = 64 * np.finfo(dtype).eps * (1 + max(*dense.shape, batch)) ** 0.5
            assert_allclose(y, x @ dense.T + bias, atol=bound, rtol=bound)
            assert_allclose(of_x, g @ dense, atol=bound, rtol=bound)
            outers = (g.T @ x).reshape(groups[0], block[0], groups[1], block[1]).transpose(0, 2, 1, 3)
            assert_allclose(found, outers[kept], atol=bound, rtol=bound)


def block_matrices(kept, block):
    """Return a matrix of blocks, the transposed one and the places of its blocks; the tables live as long as these."""
    ptr, idx, t_ptr, t_idx, t_perm = tables = blocks_of(kept)
    matrix = Blocks(ptr.ctypes.data, idx.ctypes.data, *kept.shape, *block, len(idx))
    across = Blocks(t_ptr.ctypes.data, t_idx.ctypes.data, *kept.shape[::-1], *block[::-1], len(idx))
    matrix.tables = across.tables = tables
    return matrix, across, t_perm


def assert_rounded_once(found, exact, terms):
    """Hold that a bfloat16 is at most half of its last place away from the sum; and that of floats from the exact one.

    The last of its 8 bits is 2^-7 of the first one.
    """
    assert_allclose(read(found, "bfloat16"), exact, rtol=2**-8, atol=2e-6 * (1 + terms) ** 0.5)


@pytest.mark.parametrize("block", [(1, 1), (8, 8), (16, 16), (3, 5), (12, 20), (17, 34), (34, 17), (64, 8)])
def test_blocks_of_16_bits_are_rounded_once(narrow_kernels, block):
    kernels = narrow_kernels
    rng = np.random.default_rng(0)
    for groups, density in [((1, 1), 1.0), ((4, 3), 0.5), ((2, 3), 0.0)]:
        kept = rng.random(groups) < density
        matrix, across, t_perm = block_matrices(kept, block)
        shape = groups[0] * block[0], groups[1] * block[1]
        values, bias = (stored(rng.standard_normal(s), "bfloat16") for s in ((matrix.count, *block), shape[0]))
        whole = np.zeros((*groups, *block))
        whole[kept] = read(values, "bfloat16")
        dense = whole.transpose(0, 2, 1, 3).reshape(shape)
        for batch in (0, 1, 3, 16, 47, 130):
            x, g = (stored(rng.standard_normal((batch, size)), "bfloat16") for size in shape[::-1])
            y, of_x, found = (np.full(s, 0x7FFF, np.uint16) for s in (g.shape, x.shape, values.shape))
            multiply, outer = kernels.prune_adapters_blocks_multiply_bf16, kernels.prune_adapters_blocks_outer_bf16
            size = ctypes.c_int64(batch)

            assert multiply(ctypes.byref(matrix), None, at(values), at(bias), at(x), size, at(y))
            assert multiply(ctypes.byref(across), at(t_perm), at(values), None, at(g), size, at(of_x))
            assert outer(ctypes.byref(matrix), at(g), at(x), size, at(found))
            x, g = (read(array, "bfloat16") for array in (x, g))
            assert_rounded_once(y, x @ dense.T + read(bias, "bfloat16"), shape[1])
            assert_rounded_once(of_x, g @ dense, shape[0])
            outers = (g.T @ x).reshape(groups[0], block[0], groups[1], block[1]).transpose(0, 2, 1, 3)
            assert_rounded_once(found, outers[kept], batch)


@pytest.mark.parametrize("features", [4, 36])
@pytest.mark.parametrize("block", [1, 2])
def test_drawn_numbers_of_16_bits(narrow_kernels, block, features):
    """The identity plus a bias: in the middle of two numbers the even one is taken; infinity stays, NaN stays NaN."""
    groups = features // block
    matrix, _, _ = block_matrices(np.eye(groups, dtype=bool), (block, block))
    values = stored(np.broadcast_to(np.eye(block), (groups, block, block)).copy(), "bfloat16")
    bias = stored(np.tile([2**-8, 3 * 2**-8, 0, 0], features // 4), "bfloat16")
    x = np.array([[0x3F80, 0x3F80, 0x7F80, 0x8000], [0xC000, 0x4000, 0xFF80, 0x7FC1]], np.uint16)
    expected = np.array([[1, 1 + 2**-6, np.inf, 0], [-2, 2 + 2**-6, -np.inf, np.nan]])
    if block == 2:  # 0 * infinity is NaN
        x[:, 2], expected[:, 2] = 0x3F80, [1, np.nan]
    x, expected = (np.tile(array, (9, features // 4)) for array in (x, expected))
    y = np.zeros_like(x)
    multiply, size = narrow_kernels.prune_adapters_blocks_multiply_bf16, ctypes.c_int64(len(x))

    assert multiply(ctypes.byref(matrix), None, at(values), at(bias), at(x), size, at(y))
    assert_array_equal(read(y, "bfloat16"), expected)


def test_a_batch_of_many_parts_is_summed_over_all_of_them(narrow_kernels):
    """Gradients are summed part after part of a large batch."""
    kernels = narrow_kernels
    rng = np.random.default_rng(0)
    mask = rng.random((5, 18)) < 0.5
    ptr, idx, places = panels_of(mask, 18)
    g, x = rng.standard_normal((1300, 5)), rng.standard_normal((1300, 18))
    found, size = np.zeros(len(idx)), ctypes.c_int64(1300)
    kernels.prune_adapters_panels_dots_f64(ctypes.byref(panels(ptr, idx, mask, 18)), at(g), at(x), size, at(found))
    one = np.array([0, 1], np.int32)
    block, matrix = np.zeros((1, 5, 18)), Blocks(one.ctypes.data, one[:1].ctypes.data, 1, 1, 5, 18, 1)
    kernels.prune_adapters_blocks_outer_f64(ctypes.byref(matrix), at(g), at(x), size, at(block))

    halves = [stored(array, "bfloat16") for array in (g, x)]
    rounded = np.zeros((1, 5, 18), np.uint16)
    kernels.prune_adapters_blocks_outer_bf16(ctypes.byref(matrix), at(halves[0]), at(halves[1]), size, at(rounded))

    assert_allclose(found, (g.T @ x)[places[:, 0], places[:, 1]], atol=1e-11)
    assert_allclose(block[0], g.T @ x, atol=1e-11)
    assert_rounded_once(rounded[0], read(halves[0], "bfloat16").T @ read(halves[1], "bfloat16"), 1300)


@pytest.mark.parametrize("batch", [1, 40])
def test_blocks_that_are_outside_are_refused(kernels, batch):
    rng = np.random.default_rng(1)
    tables = blocks_of(rng.random((4, 6)) < 0.5)
    count = len(tables[1])
    values, x, y = rng.standard_normal((count, 2, 3)), rng.standard_normal((batch, 18)), np.zeros((batch, 18))

    def refused(ptr, idx, t_ptr, t_idx, t_perm):
        size = ctypes.c_int64(batch)
        matrix = Blocks(ptr.ctypes.data, idx.ctypes.data, 4, 6, 2, 3, count)
        across = Blocks(t_ptr.ctypes.data, t_idx.ctypes.data, 6, 4, 3, 2, count)
        multiply = kernels.prune_adapters_blocks_multiply_f64
        return [
            not multiply(ctypes.byref(matrix), None, at(values), None, at(x), size, at(y)),
            not multiply(ctypes.byref(across), at(t_perm), at(values), None, at(x), size, at(y)),
            not kernels.prune_adapters_blocks_outer_f64(ctypes.byref(matrix), at(x), at(x), size, at(values)),
        ]

    assert refused(*tables) == [False, False, False]
    for table, place, value, wanted in [
        (0, 0, -1, [True, False, True]),
        (0, 4, count + 1, [True, False, True]),
        (0, 2, 1000, [True, False, True]),
        (1, 3, 6, [True, False, True]),
        (1, 3, -1, [True, False, True]),
        (3, 3, 4, [False, True, False]),
        (4, 3, count, [False, True, False]),
        (4, 3, -1, [False, True, False]),
    ]:
        wrong = [own.copy() for own in tables]
        wrong[table][place] = value
        assert refused(*wrong) == wanted
