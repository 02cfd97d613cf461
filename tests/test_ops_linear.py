"""The operators of sparse linear layers: compiled against plain torch and dense layers."""

import pytest
import torch

import prune_adapters as pa
from layer_checks import (
    BOUND,
    OPERATORS,
    check_empty,
    check_gradients,
    check_like_dense,
    check_same_bits,
    close,
    random,
)
from linear_cases import numbers, random_plan, sample
from operator_kernels import ISAS, set_to_isa
from prune_adapters.ops import reference

kernels = pytest.fixture(params=ISAS)(set_to_isa)


@pytest.mark.usefixtures("kernels")
@pytest.mark.parametrize("dtype", BOUND, ids=str)
@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (40, 33), (50, 300), (130, 64)])
def test_like_a_dense_layer_forward_and_backward(rows: int, columns: int, dtype: torch.dtype) -> None:
    for density, panel in [(0.0, None), (0.05, None), (0.3, 16), (1.0, 64)]:
        plan = random_plan(rows, columns, density, panel)
        for batch in (1, 2, 7, 33, 130):
            check_like_dense(plan, batch, dtype)


@pytest.mark.usefixtures("kernels")
@pytest.mark.parametrize("dtype", BOUND, ids=str)
def test_the_kernels_agree_with_the_reference(dtype: torch.dtype) -> None:
    plan = random_plan(31, 45, panel=20)
    values, bias = random(plan.n_values, dtype=dtype), random(31, dtype=dtype)
    for batch in (0, 1, 6, 70):
        x, grad = random(batch, 45, dtype=dtype), random(batch, 31, seed=1, dtype=dtype)
        arguments = values, bias, *plan.tables, *numbers(plan)
        found = OPERATORS.csr_linear_backward(grad, x, values, *plan.tables, *numbers(plan)[1:], [True, True, True])
        expected = reference.csr_linear_backward(grad, x, values, *plan.tables, *numbers(plan)[1:], [True, True, True])
        torch.testing.assert_close(OPERATORS.csr_linear(x, *arguments), reference.csr_linear(x, *arguments))
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.usefixtures("kernels")
def test_drawn_layer() -> None:
    """[[1, 0, 2], [0, 3, 0], [0, 0, 0]]: a row without elements gives its bias."""
    weight = torch.tensor([[1.0, 0.0, 2.0], [0.0, 3.0, 0.0], [0.0, 0.0, 0.0]])
    plan = pa.SparsePlan.from_mask(weight != 0)
    y = plan.linear(torch.tensor([[1.0, 10.0, 100.0]]), plan.from_dense(weight), torch.tensor([0.5, 0.25, 7.0]))

    assert y.tolist() == [[201.5, 30.25, 7.0]]


@pytest.mark.usefixtures("kernels")
@pytest.mark.parametrize("batch", [0, 3, 40])
def test_empty_connection(batch: int) -> None:
    for rows, columns in [(0, 4), (4, 0), (5, 6)]:
        plan = pa.SparsePlan.from_mask(torch.zeros(rows, columns, dtype=torch.bool))
        check_empty(plan, random(0), batch)


@pytest.mark.usefixtures("kernels")
@pytest.mark.parametrize("batch", [1, 3, 20, 100])
def test_the_same_bits_at_any_number_of_threads(batch: int) -> None:
    plan = random_plan(400, 500, 0.2, panel=128)
    values, bias = random(plan.n_values, dtype=torch.float32), random(400, dtype=torch.float32)
    x, grad = random(batch, 500, dtype=torch.float32), random(batch, 400, dtype=torch.float32)

    def results() -> list[torch.Tensor]:
        gradients = OPERATORS.csr_linear_backward(grad, x, values, *plan.tables, *numbers(plan)[1:], [True, True, True])
        return [plan.linear(x, values, bias), *gradients]

    check_same_bits(results)


@pytest.mark.usefixtures("kernels")
def test_leading_dimensions_and_layouts() -> None:
    plan, x, values, bias = sample()
    plan = plan.to("cpu")
    doubled = random(2 * plan.n_values)
    values = doubled[::2]
    expected = torch.nn.functional.linear(x, plan.to_dense(values), bias)

    close(plan.linear(x[0], values, bias), expected[0])
    close(plan.linear(x.t().contiguous().t(), values, bias), expected)
    close(plan.linear(x.view(5, 1, 1, 9), values, bias), expected.view(5, 1, 1, 6))
    close(plan.sddmm(expected.detach(), x.detach()), plan.from_dense(expected.t() @ x).detach())
    close(plan.sddmm(expected.view(5, 1, 6), x.view(5, 1, 9)).detach(), plan.from_dense(expected.t() @ x).detach())


@pytest.mark.usefixtures("kernels")
@pytest.mark.parametrize(
    "wanted", [(True, False, False), (False, True, False), (False, False, True), (True, True, False)]
)
def test_only_the_gradients_that_are_needed(wanted: tuple[bool, ...]) -> None:
    plan, *leaves = sample()
    sizes = [leaf.shape if need else (0,) for leaf, need in zip(leaves, wanted, strict=True)]
    for leaf, need in zip(leaves, wanted, strict=True):
        leaf.requires_grad_(need)
    plan.linear(*leaves).sum().backward()
    x, values, _ = (leaf.detach() for leaf in leaves)
    found = OPERATORS.csr_linear_backward(x[:, :6].contiguous(), x, values, *plan.tables, 4, 4, list(wanted))

    assert [leaf.grad is not None for leaf in leaves] == list(wanted)
    assert [one.shape for one in found] == sizes


@pytest.mark.usefixtures("kernels")
def test_gradcheck() -> None:
    plan, *leaves = sample()

    check_gradients(plan, leaves)
