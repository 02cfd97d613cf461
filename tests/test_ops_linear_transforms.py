"""The operators of sparse linear layers as torch sees them: compiled, exported, under vmap, torch.func and autocast."""

import pytest
import torch

from layer_checks import OPERATORS, check_autocast, check_compiles, check_exports, detached, random
from linear_cases import numbers, sample
from operator_kernels import ISAS, set_to_isa

kernels = pytest.fixture(params=ISAS)(set_to_isa)


@pytest.mark.usefixtures("kernels")
@pytest.mark.parametrize("name", ["csr_linear", "csr_linear_backward", "sddmm"])
def test_opcheck(name: str) -> None:
    plan, x, values, bias = sample()
    grad = random(5, 6)
    arguments = {
        "csr_linear": (x, values, bias, *plan.tables, *numbers(plan)),
        "csr_linear_backward": (grad, x.detach(), values.detach(), *plan.tables, 4, 4, [True, False, True]),
        "sddmm": (grad, x.detach(), plan.ptr, plan.idx, plan.panel),
    }
    found = torch.library.opcheck(getattr(OPERATORS, name).default, arguments[name])

    assert set(found.values()) == {"SUCCESS"}


def test_compiles_in_one_graph_for_any_batch() -> None:
    plan, _, values, bias = sample()

    check_compiles(plan, values, bias)


def test_exports() -> None:
    plan, x, values, _ = detached(sample())

    check_exports(plan, x, values)


@pytest.mark.usefixtures("kernels")
def test_vmap_over_everything() -> None:
    plan, x, values, bias = detached(sample())
    many = torch.stack([x, x + 1, x - 2], 1)
    weights, biases = torch.stack([values, 2 * values, values - 1], 1), torch.stack([bias] * 3)

    def of(k: int, x_too: bool, values_too: bool) -> torch.Tensor:
        return plan.linear(many[:, k] if x_too else x, weights[:, k] if values_too else values, bias)

    for x_too, values_too in [(True, False), (False, True), (True, True)]:
        dims = (1 if x_too else None, 1 if values_too else None, None)
        arguments = many if x_too else x, weights if values_too else values, bias
        found = torch.vmap(plan.linear, in_dims=dims)(*arguments)
        torch.testing.assert_close(found, torch.stack([of(k, x_too, values_too) for k in range(3)]))
    by_bias = torch.vmap(plan.linear, in_dims=(None, None, 0))(x, values, biases)
    torch.testing.assert_close(by_bias, plan.linear(x, values, bias).expand(3, 5, 6))


@pytest.mark.usefixtures("kernels")
def test_transforms_of_torch_func() -> None:
    plan, *leaves = sample()

    def loss(x: torch.Tensor, values: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        return plan.linear(x, values, bias).square().sum()

    expected = torch.autograd.grad(loss(*leaves), leaves)
    detached = [leaf.detach() for leaf in leaves]
    by_rows = torch.vmap(torch.func.grad(loss, argnums=1), in_dims=(0, None, None))(detached[0][:, None], *detached[1:])
    jacobian = torch.func.jacrev(plan.linear, argnums=1)(*detached)

    torch.testing.assert_close(torch.func.grad(loss, argnums=(0, 1, 2))(*detached), expected)
    torch.testing.assert_close(by_rows.sum(0), expected[1])
    torch.testing.assert_close(2 * torch.einsum("bo,bok->k", plan.linear(*detached), jacobian), expected[1])


@pytest.mark.usefixtures("kernels")
def test_autocast_on_a_cpu_computes_in_float32() -> None:
    plan, x, values, bias = sample(dtype=torch.float32)
    y = check_autocast(plan, x, values, bias)

    torch.testing.assert_close(y, plan.linear(x.bfloat16().float(), values, bias))


def test_other_dtypes_are_left_to_the_reference() -> None:
    plan, x, values, _ = detached(sample())
    meta = plan.to("meta").linear(x.to("meta"), values.to("meta"))

    assert (meta.shape, meta.dtype, meta.device.type) == ((5, 6), torch.float64, "meta")


@pytest.mark.parametrize("transform", [False, True])
def test_second_derivatives_are_refused(transform: bool) -> None:
    plan, x, values, _ = sample()

    def first(x: torch.Tensor) -> torch.Tensor:
        if transform:
            return torch.func.grad(lambda x: plan.linear(x, values.detach()).square().sum())(x).square().sum()
        y = plan.linear(x, values).square().sum()
        return torch.autograd.grad(y, x, create_graph=True)[0].square().sum()

    with pytest.raises(RuntimeError, match="csr_linear_backward: has no gradient; differentiate it once"):
        torch.func.grad(first)(x.detach()) if transform else first(x).backward()


def test_sddmm_has_no_gradient() -> None:
    plan, x, _, _ = sample()
    with pytest.raises(RuntimeError, match="sddmm: has no gradient; its gradients would be dense"):
        plan.sddmm(random(5, 6), x).sum().backward()


def test_autograd_sees_a_change_of_the_values() -> None:
    plan, x, values, _ = sample()
    y = plan.linear(x, values).sum()
    with torch.no_grad():
        values.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.backward()
