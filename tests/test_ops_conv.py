"""The sparse convolutions: compiled against plain torch and the dense weight, on any layout and number of threads."""

from dataclasses import replace

import pytest
import torch

from conv_cases import OPERATORS, draw, each_family, leaves
from operator_kernels import ISAS, set_to_isa
from prune_adapters import ops
from prune_adapters.ops import reference

kernels = pytest.fixture(params=ISAS)(set_to_isa)


@pytest.mark.usefixtures("kernels")
@each_family
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("batch", [0, 1, 3, 19])
def test_the_result_and_all_gradients_are_those_of_the_dense_weight(
    family: str, dtype: torch.dtype, batch: int
) -> None:
    narrow = dtype.itemsize == 2
    case = draw(family, batch=batch, dtype=dtype)
    exact = replace(case, x=case.x.double(), values=case.values.double(), bias=case.bias.double())
    own, dense = leaves(case), leaves(exact)
    y, wanted = case(*own), exact.dense(*dense)
    grad = torch.randn(wanted.shape, dtype=torch.float64).to(dtype)
    found = torch.autograd.grad(y, own, grad)
    expected = torch.autograd.grad(wanted, dense, grad.double())
    tolerance = {"rtol": 2e-2, "atol": 0.1} if narrow else {"rtol": 1e-4, "atol": 1e-4}
    if dtype == torch.float64:
        tolerance = {"rtol": 1e-12, "atol": 1e-12}

    assert (y.dtype, y.is_contiguous()) == (dtype, True)
    for one, other in zip((y, *found), (wanted, *expected), strict=True):
        torch.testing.assert_close(one.double(), other, **tolerance)


@each_family
@pytest.mark.parametrize("density", [0.0, 0.3, 1.0])
def test_the_reference_is_the_dense_weight(family: str, density: float) -> None:
    case = draw(family, density=density)
    y = getattr(reference, case.name)(case.x, case.values, case.bias, *case.tables, *case.numbers)
    grad = torch.randn_like(y)
    own = leaves(case)
    expected = torch.autograd.grad(case.dense(*own), own, grad)
    backward = getattr(reference, f"{case.name}_backward")
    found = backward(grad, case.x, case.values, *case.tables, *case.numbers, [True, True, True])

    torch.testing.assert_close(y, case.dense(case.x, case.values, case.bias))
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.usefixtures("kernels")
@each_family
def test_gradcheck(family: str) -> None:
    case = draw(family, batch=2)

    assert torch.autograd.gradcheck(case, leaves(case), fast_mode=True)


@pytest.mark.skipif(ops.library is None, reason="the compiled operators are missing")
@pytest.mark.usefixtures("kernels")
@each_family
@pytest.mark.parametrize("window", [([1, 1], [1, 1], [1, 1]), ([2, 3], [0, 2], [2, 1])])
def test_the_same_bits_whatever_the_number_of_threads(family: str, window: tuple) -> None:
    case = replace(draw(family, batch=37, dtype=torch.float32), window=window)
    found, before = [], torch.get_num_threads()
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            own = leaves(case)
            y = case(*own)
            found.append([y, *torch.autograd.grad(y, own, torch.cos(torch.arange(y.numel()).view(y.shape)))])
    finally:
        torch.set_num_threads(before)

    for other in found[1:]:
        torch.testing.assert_close(other, found[0], rtol=0, atol=0)


@pytest.mark.skipif(ops.library is None, reason="the compiled operators are missing")
@pytest.mark.usefixtures("kernels")
@each_family
def test_an_image_alone_has_the_bits_that_it_has_in_a_batch(family: str) -> None:
    case = replace(draw(family, batch=33, dtype=torch.float32), window=([1, 1], [1, 1], [1, 1]))
    together = case(case.x, case.values, case.bias)

    torch.testing.assert_close(case(case.x[16:17], case.values, case.bias), together[16:17], rtol=0, atol=0)


@each_family
@pytest.mark.parametrize("needs", [[True, False, False], [False, True, False], [False, False, True], [False] * 3])
def test_only_gradients_that_are_needed_are_computed(family: str, needs: list[bool]) -> None:
    case = draw(family)
    grad = torch.randn_like(case(case.x, case.values))
    operator = getattr(OPERATORS, f"{case.name}_backward")
    arguments = (grad, case.x, case.values, *case.tables, *case.numbers)
    every, some = operator(*arguments, [True] * 3), operator(*arguments, needs)

    for need, one, other in zip(needs, some, every, strict=True):
        torch.testing.assert_close(one, other if need else other.new_empty(0))


@each_family
def test_layouts_that_are_not_contiguous(family: str) -> None:
    case = draw(family)
    expected = case(case.x, case.values, case.bias)
    x = case.x.to(memory_format=torch.channels_last).requires_grad_()
    values = case.values.repeat_interleave(2, 0)[::2]
    y = case(x, values, case.bias.repeat_interleave(2)[::2])
    y.backward(torch.ones(1, 1, 1, 1, dtype=y.dtype).expand(y.shape))

    torch.testing.assert_close(y, expected, rtol=0, atol=0)
    own = case.x.clone().requires_grad_()
    case(own, case.values).sum().backward()
    torch.testing.assert_close(x.grad, own.grad)


def test_numbers_for_both_dimensions() -> None:
    case = draw("pair")
    one = ops.pair_conv2d(case.x, case.values, None, *case.tables, stride=2, padding=1, dilation=1)
    two = ops.pair_conv2d(case.x, case.values, None, *case.tables, stride=(2, 2), padding=(1, 1))

    torch.testing.assert_close(one, two, rtol=0, atol=0)
