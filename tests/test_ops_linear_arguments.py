"""Arguments of the operators of sparse linear layers that do not fit, and tables that point outside."""

import pytest

from layer_checks import OPERATORS, arguments_of, detached, random, with_one
from linear_cases import numbers, sample
from prune_adapters import ops


def replaced(name: str, value: object) -> dict[str, object]:
    """Return the arguments of csr_linear with one in place of another."""
    plan, *tensors = detached(sample())
    last = dict(zip(("in_features", "panel", "t_panel"), numbers(plan), strict=True))
    return with_one(arguments_of(plan, *tensors) | last, name, value)


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
    plan, x, values, _ = detached(sample())
    arguments = [random(5, 6), x, values, *plan.tables, 4, 4, [True, True, True]]
    arguments[place] = value(arguments[place])
    with pytest.raises(RuntimeError, match=r"do not fit|bool"):
        OPERATORS.csr_linear_backward(*arguments)
