"""The convolutions by themselves, without torch: against numpy, on each instruction set.

`.ci/sanitize` runs this file, so every array ends where its memory ends.
"""

import ctypes
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import conv_oracle as oracle
import netgraph
from small_numbers import read, stored

LIBRARY = Path(netgraph.__file__).parents[1] / "prune_adapters" / "lib" / "libprune_adapters.so"
FORWARD, OF_X, OF_VALUES, OF_BIAS = range(4)


class Call(ctypes.Structure):
    """The sizes and tables of a convolution; see csrc/conv_library.cpp."""

    _fields_ = (
        [("tables", ctypes.c_void_p * 5)]
        + [(n, ctypes.c_int64) for n in ("outputs", "inputs", "count", "out_block", "in_block", "by_taps", "batch")]
        + [(n, ctypes.c_int64 * 2) for n in ("size", "kernel", "stride", "padding", "dilation")]
    )


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


class Case:
    """A sparse convolution with everything drawn."""

    def __init__(
        self, family, *, batch, channels, size, kernel, window, blocks=(1, 1), density=0.5, seed=0, double=True
    ):
        self.family, self.blocks, self.window = family, blocks if family == "block" else (1, 1), window
        self.dtype = np.float64 if double else np.float32
        rng = np.random.default_rng(seed)
        self.mask = rng.random((*channels, *(kernel if family == "sparse" else ()))) < density
        self.tables = oracle.tables(family, self.mask)
        draw = lambda *shape: rng.standard_normal(shape).astype(self.dtype)  # noqa: E731
        self.values = draw(*oracle.values_shape(family, self.mask, kernel, self.blocks))
        self.x = draw(batch, channels[1] * self.blocks[1], *size)
        self.bias = draw(channels[0] * self.blocks[0])
        self.weight = oracle.dense(family, self.mask, self.values, kernel, self.blocks)
        out = [oracle.out_size(size[d], kernel[d], *(w[d] for w in window)) for d in range(2)]
        self.grad = draw(batch, len(self.bias), *out)
        self.call = Call(
            (ctypes.c_void_p * 5)(*[table.ctypes.data for table in self.tables]),
            *channels,
            len(self.tables[1]),
            *self.blocks,
            family == "sparse",
            batch,
            *[(ctypes.c_int64 * 2)(*pair) for pair in (size, kernel, *window)],
        )

    def run(self, library, what, *arguments, shape):
        """Return what the kernel writes into memory that was NaN."""
        out = np.full(shape, np.nan, self.dtype)
        pointers = [None if a is None else a.ctypes.data_as(ctypes.c_void_p) for a in arguments]
        pointers += [None] * (3 - len(pointers))
        function = library.prune_adapters_conv_double if out.itemsize == 8 else library.prune_adapters_conv_float
        function(ctypes.byref(self.call), what, *pointers, out.ctypes.data_as(ctypes.c_void_p))
        return out

    def check_16_bits(self, library):
        """Hold that a bfloat16 is at most half of its last place (2^-7) away from a sum in floats."""
        x, values, bias, grad = (stored(a, "bfloat16") for a in (self.x, self.values, self.bias, self.grad))
        arguments = [(x, values, bias), (grad, values), (grad, x), (grad,)]
        found = []
        for what, inputs in enumerate(arguments):
            out = np.full((grad, x, values, bias)[what].shape, 0x7FFF, np.uint16)
            pointers = [a.ctypes.data_as(ctypes.c_void_p) for a in inputs] + [None] * (3 - len(inputs))
            library.prune_adapters_conv_bfloat16(
                ctypes.byref(self.call), what, *pointers, ctypes.c_void_p(out.ctypes.data)
            )
            found.append(read(out, "bfloat16"))
        x, values, bias, grad = (read(a, "bfloat16") for a in (x, values, bias, grad))
        weight = oracle.dense(self.family, self.mask, values, tuple(self.call.kernel), self.blocks)
        of_x, of_weight, of_bias = oracle.gradients(grad, x, weight, self.window)
        of_values = oracle.values_of(self.family, self.mask, of_weight, self.blocks)
        expected = oracle.forward(x, weight, bias, self.window), of_x, of_values, of_bias

        for one, other in zip(found, expected, strict=True):
            assert_allclose(one, other, rtol=2**-8, atol=2e-6 * (1 + grad.size) ** 0.5)

    def check(self, library):
        tolerance = {"rtol": 1e-11, "atol": 1e-11} if self.dtype == np.float64 else {"rtol": 1e-4, "atol": 1e-3}
        x, values, grad = self.x, self.values, self.grad
        y = self.run(library, FORWARD, x, values, self.bias, shape=grad.shape)
        plain = self.run(library, FORWARD, x, values, None, shape=grad.shape)
        found = (
            self.run(library, OF_X, grad, values, shape=x.shape),
            self.run(library, OF_VALUES, grad, x, shape=values.shape),
            self.run(library, OF_BIAS, grad, shape=self.bias.shape),
        )
        of_x, of_weight, of_bias = oracle.gradients(grad, x, self.weight, self.window)

        assert_allclose(y, oracle.forward(x, self.weight, self.bias, self.window), **tolerance)
        assert_allclose(plain, oracle.forward(x, self.weight, None, self.window), **tolerance)
        assert_allclose(found[0], of_x, **tolerance)
        assert_allclose(found[1], oracle.values_of(self.family, self.mask, of_weight, self.blocks), **tolerance)
        assert_allclose(found[2], of_bias, **tolerance)


def random_case(seed):
    rng = np.random.default_rng(seed)
    pair = lambda *of: tuple(int(rng.choice(of)) for _ in range(2))  # noqa: E731
    kernel, stride, padding, dilation = pair(1, 2, 3, 3, 4), pair(1, 1, 2, 3), pair(0, 1, 1, 2, 5), pair(1, 1, 2, 3)
    if rng.random() < 0.3:
        kernel, stride, dilation = (3, 3), (1, 1), (1, 1)
    least = [max(1, (kernel[d] - 1) * dilation[d] + 1 - 2 * padding[d]) for d in range(2)]
    size = tuple(max(int(rng.choice([1, 4, 7, 8, 9, 17, 33])), least[d]) for d in range(2))
    family = oracle.FAMILIES[seed % 3]
    channels = pair(1, 2, 3, 4) if family == "block" else pair(1, 2, 5, 8)
    return Case(
        family,
        batch=int(rng.choice([1, 2, 3, 5, 8, 11, 16, 19])),
        channels=channels,
        size=size,
        kernel=kernel,
        window=(stride, padding, dilation),
        blocks=pair(1, 2, 3, 4, 7, 16),
        density=float(rng.choice([0.0, 0.2, 0.5, 1.0])),
        seed=seed,
        double=bool(rng.random() < 0.5),
    )


PLAIN = ((1, 1), (1, 1), (1, 1))


@pytest.mark.parametrize("seed", range(45))
def test_random_convolutions_and_their_gradients(kernels, seed):
    random_case(seed).check(kernels)


@pytest.mark.parametrize("seed", range(9))
def test_16_bits_are_rounded_once(kernels, seed):
    random_case(seed).check_16_bits(kernels)


@pytest.mark.parametrize("family", oracle.FAMILIES)
@pytest.mark.parametrize("double", [False, True])
def test_many_strips_and_tiles(kernels, family, double):
    """Images so large that a strip holds some of their rows only, in whole tiles and a rest."""
    options = {"batch": 18, "channels": (3, 40), "size": (23, 21), "kernel": (3, 3), "double": double}
    if family == "block":
        options |= {"channels": (2, 5), "blocks": (11, 8)}

    Case(family, window=PLAIN, **options).check(kernels)
    Case(family, window=((2, 2), (1, 1), (1, 1)), **options).check(kernels)


@pytest.mark.parametrize("family", oracle.FAMILIES)
@pytest.mark.parametrize("density", [0.0, 1.0])
def test_nothing_kept_and_all_kept(kernels, family, density):
    case = Case(family, batch=5, channels=(3, 2), size=(6, 5), kernel=(3, 3), window=PLAIN, density=density)

    case.check(kernels)
    if density == 0:
        y = case.run(kernels, FORWARD, case.x, case.values, case.bias, shape=case.grad.shape)
        assert_array_equal(y, np.broadcast_to(case.bias[:, None, None], y.shape))


@pytest.mark.parametrize("family", oracle.FAMILIES)
def test_an_empty_batch(kernels, family):
    case = Case(family, batch=0, channels=(3, 2), size=(6, 5), kernel=(3, 3), window=PLAIN)

    assert_array_equal(case.run(kernels, OF_VALUES, case.grad, case.x, shape=case.values.shape), 0)
    assert_array_equal(case.run(kernels, OF_BIAS, case.grad, shape=case.bias.shape), 0)
    assert case.run(kernels, FORWARD, case.x, case.values, None, shape=case.grad.shape).size == 0
    assert case.run(kernels, OF_X, case.grad, case.values, shape=case.x.shape).size == 0


@pytest.mark.parametrize("family", oracle.FAMILIES)
def test_positions_that_no_output_reads_have_gradient_zero(kernels, family):
    """A stride beyond the kernel leaves inputs out; so does a window that ends before the image."""
    Case(family, batch=3, channels=(2, 3), size=(8, 9), kernel=(1, 2), window=((3, 4), (0, 0), (1, 1))).check(kernels)
    Case(family, batch=20, channels=(2, 3), size=(8, 9), kernel=(2, 1), window=((4, 3), (0, 1), (1, 1))).check(kernels)


def test_a_drawn_pair(kernels):
    case = Case(
        "pair", batch=1, channels=(1, 2), size=(1, 3), kernel=(1, 2), window=((1, 1), (0, 0), (1, 1)), density=1
    )
    case.x[0, :, 0] = [[1, 2, 4], [1, 1, 1]]
    case.values[:, 0] = [[1, -1], [5, 6]]

    y = case.run(kernels, FORWARD, case.x, case.values, None, shape=case.grad.shape)
    assert_array_equal(y, [[[[-1 + 11, -2 + 11]]]])
