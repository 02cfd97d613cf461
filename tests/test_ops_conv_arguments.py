"""Arguments of the sparse convolutions that do not fit each other, and tables that point outside."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

import conv_oracle as oracle
from conv_cases import OPERATORS, Case, draw, each_family
from prune_adapters import ops

PAIR, SPARSE, BLOCK = (draw(family) for family in oracle.FAMILIES)


def swapped(case: Case, number: int, table: torch.Tensor) -> Case:
    return replace(case, tables=(*case.tables[:number], table, *case.tables[number + 1 :]))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: PAIR(PAIR.x.int(), PAIR.values), "pair_conv2d: expected x of a floating dtype, got torch.int32"),
        (
            lambda: PAIR(PAIR.x[0], PAIR.values),
            r"expected x of shape \(batch, channels, height, width\), got \(4, 6, 7\)",
        ),
        (lambda: PAIR(PAIR.x[:, 1:], PAIR.values), "expected x with 4 channels, as t_ptr has it, got 3"),
        (lambda: BLOCK(BLOCK.x[:, 1:], BLOCK.values), "expected x with 12 channels, as t_ptr has it, got 11"),
        (
            lambda: PAIR(PAIR.x, PAIR.values[:, 0]),
            r"expected values of shape \(n_pairs, height, width\), got \(\d+, 2\)",
        ),
        (lambda: PAIR(PAIR.x, PAIR.values[1:]), r"expected values of length \d+, as idx, got \d+"),
        (
            lambda: PAIR(PAIR.x, PAIR.values[:, :, :0]),
            r"expected sizes of at least 1, got values of shape \(\d+, 3, 0\)",
        ),
        (lambda: SPARSE(SPARSE.x, SPARSE.values[1:]), r"sparse_conv2d: expected values of length \d+, as idx"),
        (lambda: PAIR(PAIR.x, PAIR.values.float()), "expected values of dtype torch.float64, as x, got torch.float32"),
        (lambda: PAIR(PAIR.x, PAIR.values.to("meta")), "expected values on cpu, as x, got meta"),
        (lambda: PAIR(PAIR.x, PAIR.values, PAIR.bias[1:]), r"expected bias of shape \(5,\), got \(4,\)"),
        (lambda: PAIR(PAIR.x, PAIR.values, PAIR.bias.float()), "expected bias of dtype torch.float64, as x"),
        (
            lambda: swapped(PAIR, 1, PAIR.tables[1].long())(PAIR.x, PAIR.values),
            "expected idx of dtype torch.int32, got torch.int64",
        ),
        (
            lambda: swapped(PAIR, 0, PAIR.tables[0].to("meta"))(PAIR.x, PAIR.values),
            "expected ptr on cpu, as x, got meta",
        ),
        (
            lambda: swapped(PAIR, 0, PAIR.tables[0][:0])(PAIR.x, PAIR.values),
            r"expected ptr of shape \(channels \+ 1,\), got \(0,\)",
        ),
        (
            lambda: swapped(PAIR, 4, PAIR.tables[4][1:])(PAIR.x, PAIR.values),
            r"expected t_perm of shape \(\d+,\), as idx, got \(\d+,\)",
        ),
        (
            lambda: swapped(PAIR, 1, PAIR.tables[1][None])(PAIR.x, PAIR.values),
            r"expected idx of shape \(count,\), got \(1, \d+\)",
        ),
        (
            lambda: replace(PAIR, window=([0, 1], [1, 1], [1, 1]))(PAIR.x, PAIR.values),
            r"pair_conv2d: stride: expected one or two numbers of at least 1, got \[0, 1\]",
        ),
        (
            lambda: replace(PAIR, window=([1, 1], [1, -1], [1, 1]))(PAIR.x, PAIR.values),
            r"padding: expected one or two numbers of at least 0, got \[1, -1\]",
        ),
        (
            lambda: replace(PAIR, window=([1, 1], [0, 0], [3, 1]))(PAIR.x, PAIR.values),
            r"expected images of at least \(7, 2\) with their padding, got \(6, 7\)",
        ),
        (
            lambda: replace(SPARSE, kernel=(0, 1))(SPARSE.x, SPARSE.values),
            "sparse_conv2d: kernel_size: expected one or two numbers of at least 1",
        ),
    ],
)
def test_errors_say_what_is_wrong(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def changed(table: torch.Tensor, place: int, value: int) -> torch.Tensor:
    return table.index_fill(0, torch.tensor([place]), value)


@pytest.mark.skipif(ops.library is None, reason="the compiled operators are missing")
@each_family
def test_tables_that_point_outside_are_refused(family: str) -> None:
    case = draw(family)
    limit = 4 * 6 if family == "sparse" else 4
    count = len(case.tables[1])
    for number, place, value, message in [
        (0, 0, 1, f"expected ptr to go up from 0 to {count}"),
        (0, 2, count + 1, "expected ptr to go up"),
        (0, 2, -1, "expected ptr to go up"),
        (0, -1, count + 1, "expected ptr to go up"),
        (1, 3, -1, f"expected idx from 0 to {limit - 1}, got -1"),
        (1, 3, limit, f"expected idx from 0 to {limit - 1}, got {limit}"),
    ]:
        with pytest.raises(RuntimeError, match=message):
            swapped(case, number, changed(case.tables[number], place, value))(case.x, case.values)
    for number, value, message in [(2, -7, "t_ptr to go up"), (3, 999, "t_idx from 0 to"), (4, -1, "t_perm from 0 to")]:
        broken = swapped(case, number, changed(case.tables[number], 1, value))
        y = broken(case.x.clone().requires_grad_(), case.values)
        with pytest.raises(RuntimeError, match=message):
            y.sum().backward()


@pytest.mark.skipif(ops.library is None, reason="the compiled operators are missing")
@pytest.mark.parametrize(
    "change",
    [
        lambda a: a | {"x": a["x"].float()},
        lambda a: a | {"x": a["x"][:, 1:].contiguous()},
        lambda a: a | {"x": a["x"].to(memory_format=torch.channels_last)},
        lambda a: a | {"x": a["x"][:, :, :0]},
        lambda a: a | {"values": a["values"][1:]},
        lambda a: a | {"values": a["values"].half(), "x": a["x"].half()},
        lambda a: a | {"values": a["values"].bfloat16()},
        lambda a: a | {"values": a["values"][:, None]},
        lambda a: a | {"bias": torch.zeros(4, dtype=torch.float64)},
        lambda a: a | {"ptr": a["ptr"][:0]},
        lambda a: a | {"ptr": a["ptr"].long()},
        lambda a: a | {"idx": a["idx"][1:]},
        lambda a: a | {"t_ptr": a["t_ptr"].repeat_interleave(2)[::2]},
        lambda a: a | {"t_idx": a["t_idx"][1:]},
        lambda a: a | {"t_perm": a["t_perm"][:, None]},
        lambda a: a | {"stride": [0, 1]},
        lambda a: a | {"padding": [-1, 1]},
        lambda a: a | {"dilation": [9, 1]},
        lambda a: a | {"dilation": [2**62, 1]},
        lambda a: a | {"padding": [2**40, 1]},
    ],
)
@each_family
def test_the_bare_operators_never_touch_memory_that_is_not_theirs(family: str, change: Callable[[dict], dict]) -> None:
    case = draw(family)
    names = ("ptr", "idx", "t_ptr", "t_idx", "t_perm")
    arguments = dict(zip(names, case.tables, strict=True)) | {"x": case.x, "values": case.values, "bias": case.bias}
    arguments |= dict(zip(("stride", "padding", "dilation"), case.window, strict=True))
    wrong = change(arguments)
    numbers = [[3, 2]] * (family == "sparse") + [wrong[name] for name in ("stride", "padding", "dilation")]
    tables = [wrong[name] for name in names]
    grad = torch.randn_like(case(case.x, case.values)).to(wrong["x"].dtype)

    with pytest.raises(
        RuntimeError, match=rf"{case.name}: arguments that do not fit; prune_adapters\.ops\.\w+ says what"
    ):
        getattr(OPERATORS, case.name)(wrong["x"], wrong["values"], wrong["bias"], *tables, *numbers)
    if wrong["bias"] is case.bias:
        with pytest.raises(RuntimeError, match=rf"{case.name}_backward: arguments that do not fit"):
            getattr(OPERATORS, f"{case.name}_backward")(
                grad, wrong["x"], wrong["values"], *tables, *numbers, [True] * 3
            )


@pytest.mark.skipif(ops.library is None, reason="the compiled operators are missing")
def test_rows_too_wide_for_offsets_of_32_bits_are_refused() -> None:
    """A padding that asks for 16 Gi elements in a strip of few outputs."""
    case = replace(draw("pair"), window=([2**28, 2**28], [2**29, 2**29], [1, 1]))

    with pytest.raises(RuntimeError, match="too wide for the convolution; expected fewer than 2\\^31 elements"):
        case(case.x, case.values)


@each_family
def test_a_gradient_of_another_shape_is_refused(family: str) -> None:
    case = draw(family)
    grad = torch.randn_like(case(case.x, case.values))[:, :, 1:].contiguous()
    operator = getattr(OPERATORS, f"{case.name}_backward")

    with pytest.raises(RuntimeError):
        operator(grad, case.x, case.values, *case.tables, *case.numbers, [True] * 3)
