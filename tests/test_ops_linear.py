"""The operators of sparse linear layers: compiled against plain torch and dense layers, and as torch sees them."""

from collections.abc import Iterator

import pytest
import torch

import prune_adapters as pa
from prune_adapters import ops
from prune_adapters.ops import reference

OPERATORS = torch.ops.prune_adapters
BOUND = {torch.float32: 2e-5, torch.float64: 1e-12}


@pytest.fixture(params=["generic", "avx2", "avx512"] if ops.library else ["reference"])
def kernels(request: pytest.FixtureRequest) -> Iterator[None]:
    """Sets what serves the operators on the CPU to one instruction set after the other, or to the reference."""
    if ops.library is None:
        yield
        return
    before = ops.library.prune_adapters_isa()
    if not ops.library.prune_adapters_use_isa(request.param.encode()):
        pytest.skip(f"this processor has no {request.param}")
    yield
    ops.library.prune_adapters_use_isa(before)


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def random(*size: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(size, generator=generator(seed), dtype=dtype)


def random_plan(rows: int, columns: int, density: float = 0.3, panel: int | None = None) -> pa.SparsePlan:
    mask = torch.rand(rows, columns, generator=generator(rows)) < density
    return pa.SparsePlan.from_mask(mask, panel=panel, t_panel=panel)


def sample(rows: int = 6, columns: int = 9, batch: int = 5, dtype: torch.dtype = torch.float64) -> tuple:
    """Return a plan, and x, values and bias that want gradients."""
    plan = random_plan(rows, columns, panel=4)
    sizes = (batch, columns), (plan.n_values,), (rows,)
    return plan, *[random(*size, seed=k, dtype=dtype).requires_grad_() for k, size in enumerate(sizes)]


def numbers(plan: pa.SparsePlan) -> tuple[int, int, int]:
    return plan.shape[1], plan.panel, plan.t_panel


def close(found: torch.Tensor, expected: torch.Tensor) -> None:
    bound = BOUND[expected.dtype]
    torch.testing.assert_close(found, expected, rtol=bound, atol=bound * (1 + expected.abs().max().item()))


@pytest.mark.usefixtures("kernels")
@pytest.mark.parametrize("dtype", BOUND, ids=str)
@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (40, 33), (50, 300), (130, 64)])
def test_like_a_dense_layer_forward_and_backward(rows: int, columns: int, dtype: torch.dtype) -> None:
    for density, panel in [(0.0, None), (0.05, None), (0.3, 16), (1.0, 64)]:
        plan = random_plan(rows, columns, density, panel)
        for batch in (1, 2, 7, 33, 130):
            weight, bias = random(rows, columns, dtype=dtype) * plan.mask(), random(rows, seed=1, dtype=dtype)
            x, grad = random(batch, columns, seed=2, dtype=dtype), random(batch, rows, seed=3, dtype=dtype)
            mine = [leaf.clone().requires_grad_() for leaf in (x, plan.from_dense(weight), bias)]
            dense = [leaf.clone().requires_grad_() for leaf in (x, weight, bias)]
            y, expected = plan.linear(*mine), torch.nn.functional.linear(*dense)
            y.backward(grad)
            expected.backward(grad)

            close(y.detach(), expected.detach())
            for leaf, other in zip((mine[0], mine[2]), (dense[0], dense[2]), strict=True):
                close(leaf.grad, other.grad)
            if plan.n_values:
                close(mine[1].grad, plan.from_dense(dense[1].grad))


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
        x, values, bias = random(batch, columns).requires_grad_(), random(0).requires_grad_(), random(rows)
        y = plan.linear(x, values, bias)
        y.sum().backward()

        assert torch.equal(y, bias.expand(batch, rows))
        assert not x.grad.any()
        assert values.grad.shape == (0,)


@pytest.mark.usefixtures("kernels")
@pytest.mark.parametrize("batch", [1, 3, 20, 100])
def test_the_same_bits_at_any_number_of_threads(batch: int) -> None:
    plan = random_plan(400, 500, 0.2, panel=128)
    values, bias = random(plan.n_values, dtype=torch.float32), random(400, dtype=torch.float32)
    x, grad = random(batch, 500, dtype=torch.float32), random(batch, 400, dtype=torch.float32)

    def results() -> list[torch.Tensor]:
        gradients = OPERATORS.csr_linear_backward(grad, x, values, *plan.tables, *numbers(plan)[1:], [True, True, True])
        return [plan.linear(x, values, bias), *gradients]

    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        expected = results()
        for threads in (2, 3, 5):
            torch.set_num_threads(threads)
            assert all(torch.equal(a, b) for a, b in zip(results(), expected, strict=True))
    finally:
        torch.set_num_threads(before)


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

    assert torch.autograd.gradcheck(plan.linear, leaves)
    assert torch.autograd.gradcheck(lambda x, values: plan.linear(x, values), leaves[:2])


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

    def layer(x: torch.Tensor, values: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        return plan.linear(x.relu(), values, bias) * 2

    torch._dynamo.reset()
    compiled = torch.compile(layer, backend="aot_eager", fullgraph=True, dynamic=True)
    for batch in (3, 8):
        x = random(batch, 9).requires_grad_()
        expected = torch.autograd.grad(layer(x, values, bias).square().sum(), (x, values, bias))
        found = torch.autograd.grad(compiled(x, values, bias).square().sum(), (x, values, bias))

        torch.testing.assert_close(compiled(x, values, bias), layer(x, values, bias))
        torch.testing.assert_close(found, expected)


class Layer(torch.nn.Module):
    def __init__(self, plan: pa.SparsePlan, values: torch.Tensor) -> None:
        super().__init__()
        self.plan = plan
        self.values = torch.nn.Parameter(values)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.plan.linear(x, self.values)


def test_exports() -> None:
    plan, x, values, _ = sample()
    batch = torch.export.Dim("batch", min=2, max=64)
    program = torch.export.export(Layer(plan, values.detach()), (x.detach(),), dynamic_shapes=({0: batch},))

    torch.testing.assert_close(program.module()(random(11, 9)), plan.linear(random(11, 9), values))


@pytest.mark.usefixtures("kernels")
def test_vmap_over_everything() -> None:
    plan, x, values, bias = (one.detach() if isinstance(one, torch.Tensor) else one for one in sample())
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
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = plan.linear(x.bfloat16(), values, bias)
    y.sum().backward()

    assert y.dtype == torch.float32
    torch.testing.assert_close(y, plan.linear(x.bfloat16().float(), values, bias))
    assert (x.grad.dtype, values.grad.dtype) == (torch.float32, torch.float32)


def test_other_dtypes_are_left_to_the_reference() -> None:
    plan, x, values, _ = (one.detach() if isinstance(one, torch.Tensor) else one for one in sample())
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


def replaced(name: str, value: object) -> dict[str, object]:
    """Return the arguments of csr_linear with one in place of another."""
    plan, x, values, bias = (one.detach() if isinstance(one, torch.Tensor) else one for one in sample())
    names = ["ptr", "idx", "t_ptr", "t_idx", "t_perm"]
    arguments = {"x": x, "values": values, "bias": bias} | dict(zip(names, plan.tables, strict=True))
    arguments |= dict(zip(("in_features", "panel", "t_panel"), numbers(plan), strict=True))
    return arguments | {name: value(arguments[name]) if callable(value) else value}


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("x", lambda x: x[:, :8], r"expected x of shape \(..., 9\), got \(5, 8\)"),
        ("x", lambda x: x.sum(), r"expected x of shape \(..., 9\), got \(\)"),
        ("x", lambda x: x.long(), "expected x of floats, got torch.int64"),
        ("x", lambda x: x.float(), "expected values of dtype torch.float32 as x is, got torch.float64"),
        ("x", lambda x: x.to("meta"), "expected values on meta where x is, got cpu"),
        ("values", lambda v: v[:-1], r"csr_linear: values: expected shape \(\d+,\), got"),
        ("values", lambda v: v[None], r"csr_linear: values: expected shape \(\d+,\), got"),
        ("bias", lambda b: b[:-1], r"csr_linear: bias: expected shape \(6,\), got \(5,\)"),
        ("bias", lambda b: b.half(), "expected bias of dtype torch.float64 as x is, got torch.float16"),
        ("ptr", lambda t: t.long(), r"ptr: expected 2 dimensions of torch.int32, got shape \(3, 7\) of torch.int64"),
        ("ptr", lambda t: t.double().requires_grad_(), "ptr: expected 2 dimensions of torch.int32"),
        ("ptr", lambda t: t[:2], r"expected ptr of shape \(3, rows \+ 1\) for 9 columns, got \(2, 7\)"),
        ("ptr", lambda t: t.to("meta"), r"expected ptr on cpu where x is, got meta; move the plan with plan.to\(...\)"),
        ("idx", lambda t: t.int(), "idx: expected 1 dimensions of torch.int16"),
        ("idx", lambda t: t[1:], r"t_idx: expected shape \(\d+,\), got"),
        ("t_ptr", lambda t: t[:, 1:], r"t_ptr: expected shape \(2, 10\), got \(2, 9\)"),
        ("t_idx", lambda t: t[None], "t_?idx: expected 1 dimensions|transposed: idx: expected 1 dimensions"),
        ("t_perm", lambda t: t[1:], r"t_perm: expected shape \(\d+,\), got"),
        ("t_perm", lambda t: t.long(), "t_perm: expected 1 dimensions of torch.int32"),
        ("panel", 0, "expected a panel of 1 to 32768 columns, got 0"),
        ("t_panel", 40_000, "transposed: expected a panel of 1 to 32768 columns, got 40000"),
        ("panel", 9, r"expected ptr of shape \(1, rows \+ 1\) for 9 columns, got \(3, 7\)"),
        ("in_features", 20, r"expected ptr of shape \(5, rows \+ 1\) for 20 columns"),
    ],
)
def test_errors_say_what_is_wrong(name: str, value: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ops.csr_linear(**replaced(name, value))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda plan, x: plan.sddmm(x, x), r"sddmm: grad: expected shape \(5, 6\), got \(5, 9\)"),
        (lambda plan, x: plan.sddmm(x[:, :6], x[:4]), r"sddmm: grad: expected shape \(4, 6\), got \(5, 6\)"),
        (lambda plan, x: plan.sddmm(x[0, 0], x[0, 0]), r"sddmm: expected x of shape \(..., in\), got \(\)"),
        (lambda plan, x: plan.sddmm(x[:, :6].float(), x), "expected grad of dtype torch.float64 as x is"),
    ],
)
def test_errors_of_sddmm_say_what_is_wrong(call, message: str) -> None:
    plan, x, _, _ = sample()
    with pytest.raises(ValueError, match=message):
        call(plan, x.detach())


@pytest.mark.skipif(ops.library is None, reason="the compiled operators are missing")
@pytest.mark.parametrize("batch", [1, 40])
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("idx", lambda t: t + 4),
        ("idx", lambda t: t - 4),
        ("ptr", lambda t: t + 100),
        ("ptr", lambda t: -t),
        ("ptr", lambda t: t.flip(1).contiguous()),
        ("x", lambda t: t[:, :8].contiguous()),
        ("x", lambda t: t.t().contiguous().t()),
        ("x", lambda t: t[0]),
        ("values", lambda t: t[1:].clone()),
        ("values", lambda t: t.float()),
        ("bias", lambda t: t[1:].clone()),
        ("bias", lambda t: t.float()),
        ("ptr", lambda t: t.long()),
        ("ptr", lambda t: t[0].clone()),
        ("idx", lambda t: t.int()),
        ("panel", 0),
        ("panel", -(1 << 62)),
        ("panel", 1 << 40),
        ("in_features", 1 << 62),
        ("in_features", -1),
    ],
)
def test_the_bare_operator_never_touches_memory_that_is_not_its_own(name: str, value: object, batch: int) -> None:
    arguments = replaced(name, value)
    if name != "x":
        arguments["x"] = random(batch, 9)
    with pytest.raises(RuntimeError, match=r"arguments that do not fit; prune_adapters\.ops\.csr_linear says what"):
        OPERATORS.csr_linear(*arguments.values())


@pytest.mark.skipif(ops.library is None, reason="the compiled operators are missing")
@pytest.mark.parametrize(
    ("place", "value"),
    [
        (0, lambda t: t[:, :5].contiguous()),
        (0, lambda t: t[:4].clone()),
        (1, lambda t: t[:4].clone()),
        (2, lambda t: t[1:].clone()),
        (3, lambda t: t + 1),
        (4, lambda t: t + 4),
        (5, lambda t: t + 1),
        (6, lambda t: t - 4),
        (7, lambda t: t + 1),
        (7, lambda t: t[1:].clone()),
        (9, lambda t: 5),
        (10, lambda t: [True, True]),
    ],
)
def test_nor_does_the_bare_operator_of_the_gradients(place: int, value) -> None:
    plan, x, values, _ = (one.detach() if isinstance(one, torch.Tensor) else one for one in sample())
    arguments = [random(5, 6), x, values, *plan.tables, 4, 4, [True, True, True]]
    arguments[place] = value(arguments[place])
    with pytest.raises(RuntimeError, match=r"do not fit|bool"):
        OPERATORS.csr_linear_backward(*arguments)
