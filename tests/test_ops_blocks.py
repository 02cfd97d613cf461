"""The operators of layers of dense blocks: compiled against plain torch and dense layers, and as torch sees them."""

import pytest
import torch

import prune_adapters as pa
from layer_checks import (
    BOUND,
    OPERATORS,
    arguments_of,
    check_autocast,
    check_compiles,
    check_empty,
    check_exports,
    check_gradients,
    check_like_dense,
    check_same_bits,
    close,
    detached,
    drawn,
    random,
    with_one,
)
from operator_kernels import ISAS, set_to_isa
from prune_adapters import ops
from prune_adapters.ops import reference

kernels = pytest.fixture(params=ISAS)(set_to_isa)


def random_plan(groups: tuple[int, int], block: tuple[int, int], density: float = 0.5) -> pa.BlockPlan:
    return pa.BlockPlan.from_blocks(
        torch.rand(groups, generator=torch.Generator().manual_seed(0)) < density, block=block
    )


def sample(batch: int = 5, dtype: torch.dtype = torch.float64) -> tuple:
    """Return a plan, and x, values and bias that want gradients."""
    plan = random_plan((3, 4), (2, 3))
    return plan, *drawn(plan, (plan.n_blocks, 2, 3), batch, dtype)


@pytest.mark.usefixtures("kernels")
@pytest.mark.parametrize("dtype", BOUND, ids=str)
@pytest.mark.parametrize("block", [(1, 1), (3, 5), (8, 8), (16, 16), (8, 40), (17, 33)])
def test_like_a_dense_layer_forward_and_backward(block: tuple[int, int], dtype: torch.dtype) -> None:
    for groups, density in [((1, 1), 1.0), ((5, 4), 0.4), ((2, 3), 0.0)]:
        plan = random_plan(groups, block, density)
        for batch in (1, 7, 33, 130):
            check_like_dense(plan, batch, dtype)


@pytest.mark.usefixtures("kernels")
@pytest.mark.parametrize("dtype", BOUND, ids=str)
def test_the_kernels_agree_with_the_reference(dtype: torch.dtype) -> None:
    plan = random_plan((4, 5), (8, 16))
    values, bias = random(plan.n_blocks, 8, 16, dtype=dtype), random(32, dtype=dtype)
    for batch in (0, 1, 6, 70):
        x, grad, needs = random(batch, 80, dtype=dtype), random(batch, 32, seed=1, dtype=dtype), [True, True, True]
        found = OPERATORS.block_linear_backward(grad, x, values, *plan.tables, needs)
        expected = reference.block_linear_backward(grad, x, values, *plan.tables, needs)
        own, plain = OPERATORS.block_linear, reference.block_linear
        close(own(x, values, bias, *plan.tables), plain(x, values, bias, *plan.tables)) if batch else None
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.usefixtures("kernels")
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("block", [(3, 5), (16, 16), (8, 40)])
def test_16_bits_are_rounded_once(block: tuple[int, int], dtype: torch.dtype) -> None:
    """Results and gradients are what float64 finds for the same numbers, to half of the last place and float32."""
    plan = random_plan((5, 4), block)
    sizes = (plan.n_blocks, *block), plan.shape[:1]
    for batch in (1, 33, 130):
        leaves = [random(*s, seed=k, dtype=dtype) for k, s in enumerate([(batch, plan.shape[1]), *sizes])]
        grad = random(batch, plan.shape[0], seed=3, dtype=dtype)
        own = [leaf.clone().requires_grad_() for leaf in leaves]
        exact = [leaf.double().requires_grad_() for leaf in leaves]
        y, expected = plan.linear(*own), torch.nn.functional.linear(exact[0], plan.to_dense(exact[1]), exact[2])
        found = torch.autograd.grad(y, own, grad)
        all_expected = expected, *torch.autograd.grad(expected, exact, grad.double())

        for one, other in zip((y, *found), all_expected, strict=True):
            assert one.dtype == dtype
            torch.testing.assert_close(one.double(), other, rtol=torch.finfo(dtype).eps / 2, atol=1e-4)


@pytest.mark.usefixtures("kernels")
def test_drawn_layer() -> None:
    """One block of each row, crossed: [[0, 0, 1, 2], [3, 4, 0, 0]]."""
    plan = pa.BlockPlan.from_blocks(torch.tensor([[0, 1], [1, 0]]).bool(), block=(1, 2))
    values = torch.tensor([[[1.0, 2.0]], [[3.0, 4.0]]])

    assert plan.linear(torch.tensor([[1.0, 10.0, 100.0, 1000.0]]), values).tolist() == [[2100.0, 43.0]]


@pytest.mark.usefixtures("kernels")
@pytest.mark.parametrize("batch", [0, 3, 40])
def test_empty_connection(batch: int) -> None:
    for groups in [(0, 2), (2, 0), (3, 2)]:
        plan = pa.BlockPlan.from_blocks(torch.zeros(groups, dtype=torch.bool), block=(2, 3))
        check_empty(plan, random(0, 2, 3), batch)


@pytest.mark.usefixtures("kernels")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("batch", [1, 20, 100])
def test_the_same_bits_at_any_number_of_threads(batch: int, dtype: torch.dtype) -> None:
    plan = random_plan((20, 25), (16, 8))
    values, bias = random(plan.n_blocks, 16, 8, dtype=dtype), random(320, dtype=dtype)
    x, grad = random(batch, 200, dtype=dtype), random(batch, 320, dtype=dtype)

    def results() -> list[torch.Tensor]:
        gradients = OPERATORS.block_linear_backward(grad, x, values, *plan.tables, [True, True, True])
        return [plan.linear(x, values, bias), *gradients]

    check_same_bits(results)


@pytest.mark.usefixtures("kernels")
def test_leading_dimensions_and_layouts() -> None:
    plan, x, values, bias = sample()
    expected = torch.nn.functional.linear(x, plan.to_dense(values), bias)

    close(plan.linear(x[0], values, bias), expected[0])
    close(plan.linear(x.t().contiguous().t(), values.mT.contiguous().mT, bias), expected)
    close(plan.linear(x.view(5, 1, 1, 12), values, bias), expected.view(5, 1, 1, 6))


@pytest.mark.usefixtures("kernels")
def test_gradcheck() -> None:
    plan, *leaves = sample()

    check_gradients(plan, leaves)


@pytest.mark.usefixtures("kernels")
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16], ids=str)
@pytest.mark.parametrize("name", ["block_linear", "block_linear_backward"])
def test_opcheck(name: str, dtype: torch.dtype) -> None:
    plan, x, values, bias = sample(dtype=dtype)
    grad = random(5, 6, dtype=dtype)
    arguments = {
        "block_linear": (x, values, bias, *plan.tables),
        "block_linear_backward": (grad, x.detach(), values.detach(), *plan.tables, [True, False, True]),
    }
    found = torch.library.opcheck(getattr(OPERATORS, name).default, arguments[name])

    assert set(found.values()) == {"SUCCESS"}


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16], ids=str)
def test_compiles_in_one_graph_for_any_batch(dtype: torch.dtype) -> None:
    plan, _, values, bias = sample(dtype=dtype)

    check_compiles(plan, values, bias)


def test_exports() -> None:
    plan, x, values, _ = detached(sample())

    check_exports(plan, x, values)


@pytest.mark.usefixtures("kernels")
def test_vmap_and_the_transforms_of_torch_func() -> None:
    plan, x, values, bias = detached(sample())
    many = torch.stack([x, x + 1, x - 2], 1)
    found = torch.vmap(plan.linear, in_dims=(1, None, None))(many, values, bias)
    by_values = torch.vmap(plan.linear, in_dims=(None, 0, None))(x, torch.stack([values, 2 * values]), bias)

    def loss(x: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
        return plan.linear(x, values).square().sum()

    leaves = x.clone().requires_grad_(), values.clone().requires_grad_()
    expected = torch.autograd.grad(loss(*leaves), leaves)
    by_rows = torch.vmap(torch.func.grad(loss, argnums=1), in_dims=(0, None))(x[:, None], values)

    torch.testing.assert_close(found, torch.stack([plan.linear(many[:, k], values, bias) for k in range(3)]))
    torch.testing.assert_close(by_values[1], plan.linear(x, 2 * values, bias))
    torch.testing.assert_close(torch.func.grad(loss, argnums=(0, 1))(x, values), expected)
    torch.testing.assert_close(by_rows.sum(0), expected[1])


@pytest.mark.usefixtures("kernels")
def test_autocast_on_a_cpu_computes_in_float32() -> None:
    plan, x, values, bias = sample(dtype=torch.float32)

    check_autocast(plan, x, values, bias)


def test_second_derivatives_are_refused() -> None:
    plan, x, values, _ = sample()
    grad = torch.autograd.grad(plan.linear(x, values).square().sum(), x, create_graph=True)[0]

    with pytest.raises(RuntimeError, match="block_linear_backward: has no gradient; differentiate it once"):
        grad.square().sum().backward()


def replaced(name: str, value: object) -> dict[str, object]:
    """Return the arguments of block_linear with one in place of another."""
    plan, *tensors = detached(sample())
    return with_one(arguments_of(plan, *tensors), name, value)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("x", lambda x: x[:, :8], r"expected x of shape \(..., 12\), got \(5, 8\)"),
        ("x", lambda x: x.long(), "expected x of floats, got torch.int64"),
        ("x", lambda x: x.float(), "expected values of dtype torch.float32 as x is, got torch.float64"),
        ("x", lambda x: x.to("meta"), "expected values on meta where x is, got cpu"),
        ("values", lambda v: v[0], r"expected values of shape \(n_blocks, out_block, in_block\), got \(2, 3\)"),
        ("values", lambda v: v[1:], r"idx: expected shape \(\d+,\), got"),
        ("values", lambda v: v[:, :, :2], r"expected x of shape \(..., 8\), got \(5, 12\)"),
        ("bias", lambda b: b[:-1], r"bias: expected shape \(6,\), got \(5,\)"),
        ("ptr", lambda t: t.long(), "ptr: expected 1 dimensions of torch.int32"),
        ("ptr", lambda t: t[:0], "expected ptr of one element or more, got none"),
        ("idx", lambda t: t[None], "idx: expected 1 dimensions of torch.int32"),
        ("t_perm", lambda t: t[1:], r"t_perm: expected shape \(\d+,\), got"),
        ("t_ptr", lambda t: t[1:], r"expected x of shape \(..., 9\), got \(5, 12\)"),
        ("t_idx", lambda t: t.to("meta"), r"expected t_idx on cpu where x is, got meta; move the plan"),
    ],
)
def test_errors_say_what_is_wrong(name: str, value: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ops.block_linear(**replaced(name, value))


@pytest.mark.skipif(ops.library is None, reason="the compiled operators are missing")
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("idx", lambda t: t + 4),
        ("idx", lambda t: t - 4),
        ("idx", lambda t: t[1:].clone()),
        ("ptr", lambda t: t + 1),
        ("ptr", lambda t: -t),
        ("ptr", lambda t: t.flip(0).contiguous()),
        ("ptr", lambda t: t.long()),
        ("ptr", lambda t: t[:0].clone()),
        ("t_ptr", lambda t: t[:0].clone()),
        ("t_ptr", lambda t: t[1:].clone()),
        ("x", lambda t: t[:, :8].contiguous()),
        ("x", lambda t: t.t().contiguous().t()),
        ("values", lambda t: t[1:].clone()),
        ("values", lambda t: t.float()),
        ("values", lambda t: t.mT),
        ("bias", lambda t: t[1:].clone()),
    ],
)
def test_the_bare_operators_never_touch_memory_that_is_not_their_own(name: str, value) -> None:
    arguments = replaced(name, value)
    bias = arguments.pop("bias")
    rest = list(arguments.values())
    with pytest.raises(RuntimeError, match=r"arguments that do not fit; prune_adapters\.ops\.block_linear says what"):
        OPERATORS.block_linear(*rest[:2], bias, *rest[2:])
    if name != "bias":
        with pytest.raises(RuntimeError, match="arguments that do not fit"):
            OPERATORS.block_linear_backward(random(5, 6), *rest, [True, True, True])


@pytest.mark.skipif(ops.library is None, reason="the compiled operators are missing")
@pytest.mark.parametrize("size", [(0, 1 << 40, 3), (0, 3, 1 << 40), (0, 1 << 31, 1 << 31)])
def test_sizes_whose_product_is_too_large_are_refused(size: tuple[int, int, int]) -> None:
    """No block is kept, so nothing but the sizes could lead outside."""
    empty, ptr = torch.zeros(0, dtype=torch.int32), torch.zeros(1 << 12, dtype=torch.int32)
    tables = ptr, empty, ptr[:1].clone(), empty, empty
    for batch in (0, 4):
        with pytest.raises(RuntimeError, match="arguments that do not fit"):
            OPERATORS.block_linear(torch.zeros(batch, 0), torch.zeros(size), None, *tables)
