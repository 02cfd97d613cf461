"""Sparse convolutions on a GPU: against torch's dense ones in float64, and as torch sees them."""

import numpy as np
import pytest
import torch

import conv_oracle
from cuda_device import DEVICE, FLOATS, OPERATORS, assert_near, assert_opcheck, damage, drawn, needs_gpu, synchronize
from prune_adapters import ops

pytestmark = pytest.mark.cuda

CASES = [  # outputs, inputs, kernel, batch, image, (stride, padding, dilation), density
    (4, 5, (3, 3), 2, (9, 7), ((1, 1), (1, 1), (1, 1)), 0.5),
    (5, 3, (3, 2), 3, (8, 9), ((2, 3), (2, 0), (1, 2)), 0.6),
    (2, 6, (2, 2), 2, (4, 4), ((3, 1), (1, 2), (2, 1)), 0.0),
    (2, 3, (3, 3), 0, (5, 5), ((1, 1), (0, 0), (1, 1)), 1.0),
    (3, 2, (1, 1), 1, (17, 16), ((1, 1), (0, 0), (1, 1)), 0.7),
]
FAMILIES = ["pair", "sparse"]


class Conv:
    """A sparse convolution with drawn inputs on the device."""

    def __init__(self, family: str, case: tuple, dtype: torch.dtype) -> None:
        outputs, inputs, self.kernel, batch, image, self.window, density = case
        shape = (outputs, inputs, *self.kernel) if family == "sparse" else (outputs, inputs)
        self.family, self.mask = family, np.random.default_rng(0).random(shape) < density
        self.tables = [torch.from_numpy(table).to(DEVICE) for table in conv_oracle.tables(family, self.mask)]
        size = [conv_oracle.out_size(image[d], self.kernel[d], *(w[d] for w in self.window)) for d in range(2)]
        values = conv_oracle.values_shape(family, self.mask, self.kernel, (1, 1))
        shapes = (batch, inputs, *image), values, (outputs,), (batch, outputs, *size)
        self.x, self.values, self.bias, self.grad = (drawn(dtype, *s, seed=k) for k, s in enumerate(shapes))
        self.numbers = [list(pair) for pair in ([self.kernel] if family == "sparse" else []) + [*self.window]]
        self.name = f"{family}_conv2d"

    def forward(self, bias: bool = True) -> torch.Tensor:
        given = self.x, self.values, self.bias if bias else None
        return getattr(OPERATORS, self.name)(*given, *self.tables, *self.numbers)

    def backward(self, needs: list[bool]) -> tuple[torch.Tensor, ...]:
        given = self.grad, self.x, self.values
        return getattr(OPERATORS, f"{self.name}_backward")(*given, *self.tables, *self.numbers, needs)

    def dense(self) -> tuple[np.ndarray, ...]:
        """Return x, grad, bias and the weight in float64."""
        x, grad, bias, values = (t.double().cpu().numpy() for t in (self.x, self.grad, self.bias, self.values))
        return x, grad, bias, conv_oracle.dense(self.family, self.mask, values, self.kernel, (1, 1))


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("family", FAMILIES)
def test_convolutions_and_their_gradients(family: str, dtype: torch.dtype) -> None:
    for case in CASES:
        conv = Conv(family, case, dtype)
        x, grad, bias, weight = conv.dense()
        to_x, to_weight, to_bias = conv_oracle.gradients(grad, x, weight, conv.window)
        expected = to_x, conv_oracle.values_of(family, conv.mask, to_weight, (1, 1)), to_bias
        terms = (weight[0].size, *[weight[:, 0].size, grad[:, 0].size, grad[:, 0].size])

        assert_near(conv.forward(), conv_oracle.forward(x, weight, bias, conv.window), terms=terms[0])
        assert_near(conv.forward(bias=False), conv_oracle.forward(x, weight, None, conv.window), terms=terms[0])
        for found, right, count in zip(conv.backward([True] * 3), expected, terms[1:], strict=True):
            assert_near(found, right, terms=count)


@pytest.mark.parametrize("family", FAMILIES)
def test_gradients_are_those_of_differences(family: str) -> None:
    conv = Conv(family, CASES[1], torch.float64)
    inputs = [tensor.requires_grad_() for tensor in (conv.x, conv.values, conv.bias)]

    def call(*given: torch.Tensor) -> torch.Tensor:
        return getattr(ops, conv.name)(*given, *conv.tables, *conv.numbers)

    assert torch.autograd.gradcheck(call, inputs, fast_mode=True)


@pytest.mark.parametrize("family", FAMILIES)
def test_gradients_that_nobody_needs_are_empty_and_bits_are_the_same_each_time(family: str) -> None:
    conv = Conv(family, CASES[0], torch.float32)
    every = conv.backward([True] * 3)
    for needed in range(4):
        needs = [k == needed for k in range(3)]
        for need, found, full in zip(needs, conv.backward(needs), every, strict=True):
            torch.testing.assert_close(found, full if need else full.new_empty(0), rtol=0, atol=0)


@pytest.mark.parametrize("family", FAMILIES)
def test_opcheck(family: str) -> None:
    conv = Conv(family, CASES[0], torch.float32)
    for tensor in (conv.x, conv.values, conv.bias):
        tensor.requires_grad_()
    assert_opcheck(conv.name, (conv.x, conv.values, conv.bias, *conv.tables, *conv.numbers))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("table", range(5))
def test_damaged_tables_touch_no_foreign_memory(family: str, table: int) -> None:
    for seed in range(4):
        conv = Conv(family, CASES[seed % 2], torch.float32)
        damage(conv.tables[table], seed)
        conv.forward()
        conv.backward([True] * 3)
    synchronize()


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    "change",
    [
        lambda good: {"x": good.x.double()},
        lambda good: {"x": good.x[:, 1:].contiguous()},
        lambda good: {"x": good.x.transpose(2, 3)},
        lambda good: {"values": good.values[1:]},
        lambda good: {"tables": [table.long() for table in good.tables]},
        lambda good: {"tables": [*good.tables[:3], good.tables[3][1:], good.tables[4]]},
        lambda good: {"numbers": [*good.numbers[:-1], [9, 9]]},
        lambda good: {"numbers": [*good.numbers[:-3], [0, 1], *good.numbers[-2:]]},
        pytest.param(lambda good: {"tables": [table.cpu() for table in good.tables]}, marks=needs_gpu),
    ],
)
def test_bare_operators_refuse_what_does_not_fit(family: str, change) -> None:
    conv = Conv(family, CASES[0], torch.float32)
    vars(conv).update(change(conv))
    for call in (conv.forward, lambda: conv.backward([True] * 3)):
        with pytest.raises(RuntimeError, match=r"arguments that do not fit; prune_adapters\.ops\.\w+_conv2d"):
            call()
