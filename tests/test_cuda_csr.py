"""Sparse linear layers on a GPU against the references and float64, and as torch sees them."""

import pytest
import torch

from cuda_device import (
    FLOATS,
    OPERATORS,
    TOLERANCE,
    assert_near,
    assert_opcheck,
    damage,
    drawn,
    needs_gpu,
    synchronize,
)
from cuda_layers import SHAPES, Layer
from prune_adapters import ops
from prune_adapters.ops import reference

pytestmark = pytest.mark.cuda

BATCHES = [0, 1, 3, 8, 9, 40, 130]


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("batch", BATCHES)
def test_csr_linear_and_its_gradients(dtype: torch.dtype, batch: int) -> None:
    for shape in SHAPES:
        layer = Layer(shape, batch, dtype)
        x, grad, bias, weight = layer.dense()
        sampled = (grad.T @ x)[layer.matrix.rows_of, layer.matrix.columns_of]
        to_x, to_values, to_bias = layer.backward([True, True, True])

        assert_near(layer.forward(), x @ weight.T + bias, terms=shape[1])
        assert_near(layer.forward(bias=False), x @ weight.T, terms=shape[1])
        assert_near(to_x, grad @ weight, terms=shape[0])
        assert_near(to_values, sampled, terms=batch)
        assert_near(to_bias, grad.sum(0), terms=batch)
        assert_near(layer.sampled(), sampled, terms=batch)


CSR = ["csr_linear", "csr_linear_backward", "sddmm"]


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("name", CSR)
def test_kernels_agree_with_the_reference(name: str, dtype: torch.dtype) -> None:
    layer = Layer(SHAPES[1], 40, dtype)
    found, expected = (call(*layer.arguments(name)) for call in (getattr(OPERATORS, name), getattr(reference, name)))
    small = dtype in (torch.float16, torch.bfloat16)  # the reference rounds every product
    bound = TOLERANCE[dtype] * (160 if small else 20)
    for one, other in zip(found, expected, strict=True) if isinstance(found, tuple) else [(found, expected)]:
        torch.testing.assert_close(one, other, rtol=0, atol=bound)


@pytest.mark.parametrize("name", CSR)
def test_opcheck_of_csr(name: str) -> None:
    assert_opcheck(name, Layer(SHAPES[2], 9, torch.float32).arguments(name))


def test_gradients_are_those_of_differences() -> None:
    layer = Layer(SHAPES[2], 3, torch.float64)
    inputs = [tensor.requires_grad_() for tensor in (layer.x, layer.values, layer.bias)]
    rest = (*layer.tables, layer.x.shape[1], *layer.panels)

    def call(x: torch.Tensor, values: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        return ops.csr_linear(x, values, bias, *rest)

    assert torch.autograd.gradcheck(call, inputs, fast_mode=True)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_csr_linear_compiles_in_one_graph(dtype: torch.dtype) -> None:
    layer = Layer(SHAPES[2], 9, dtype)
    rest = (*layer.tables, layer.x.shape[1], *layer.panels)

    def step(x: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
        return ops.csr_linear(x, values, None, *rest).relu()

    torch._dynamo.reset()
    compiled = torch.compile(step, backend="aot_eager", fullgraph=True, dynamic=True)
    for batch in (3, 40):
        x, values = drawn(dtype, batch, layer.x.shape[1]).requires_grad_(), layer.values.clone().requires_grad_()
        expected = torch.autograd.grad(step(x, values).sum(), [x, values])
        found = torch.autograd.grad(compiled(x, values).sum(), [x, values])

        torch.testing.assert_close(found, expected, rtol=0, atol=0)


@needs_gpu
def test_autocast_multiplies_in_its_dtype() -> None:
    layer = Layer(SHAPES[2], 9, torch.float32)
    rest = (*layer.tables, layer.x.shape[1], *layer.panels)
    with torch.autocast("cuda", torch.bfloat16):
        y = ops.csr_linear(layer.x, layer.values, layer.bias, *rest)
    parts = [part.bfloat16() for part in (layer.x, layer.values, layer.bias)]

    torch.testing.assert_close(y, ops.csr_linear(*parts, *rest), rtol=0, atol=0)


@pytest.mark.parametrize("needed", range(4))
def test_gradients_that_nobody_needs_are_empty(needed: int) -> None:
    layer = Layer(SHAPES[1], 9, torch.float32)
    every = layer.backward([True, True, True])
    needs = [k == needed for k in range(3)]
    for need, found, full in zip(needs, layer.backward(needs), every, strict=True):
        torch.testing.assert_close(found, full if need else full.new_empty(0), rtol=0, atol=0)


@pytest.mark.parametrize("batch", [1, 8, 130])
def test_the_same_bits_each_time(batch: int) -> None:
    layer = Layer(SHAPES[-1], batch, torch.float32)
    first = (layer.forward(), *layer.backward([True, True, True]))
    for _ in range(2):
        again = (layer.forward(), *layer.backward([True, True, True]))
        torch.testing.assert_close(again, first, rtol=0, atol=0)


@pytest.mark.parametrize("table", range(5))
def test_damaged_tables_touch_no_foreign_memory(table: int) -> None:
    for seed in range(5):
        layer = Layer(SHAPES[2], 40 if seed % 2 else 3, torch.float32)
        damage(layer.tables[table], seed)
        layer.forward()
        layer.backward([True, True, True])
    synchronize()


@pytest.mark.parametrize(
    "change",
    [
        lambda good: {"x": good.x.double()},
        lambda good: {"x": good.x[:, 1:]},
        lambda good: {"x": good.x[1:].t().contiguous().t()},
        lambda good: {"values": good.values[1:]},
        lambda good: {"panels": (0, 16)},
        lambda good: {"panels": (9, 16)},
        lambda good: {"panels": (40_000, 16)},
        lambda good: {"tables": [table.long() for table in good.tables]},
        lambda good: {"tables": [table[:-1] for table in good.tables]},
        pytest.param(lambda good: {"tables": [table.cpu() for table in good.tables]}, marks=needs_gpu),
    ],
)
def test_bare_csr_operators_refuse_what_does_not_fit(change) -> None:
    layer = Layer(SHAPES[2], 9, torch.float32)
    vars(layer).update(change(layer))
    for call in (layer.forward, lambda: layer.backward([True] * 3)):
        with pytest.raises(RuntimeError, match=r"arguments that do not fit; prune_adapters\.ops\.csr_linear"):
            call()
