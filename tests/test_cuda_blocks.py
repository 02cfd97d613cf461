"""Products with blocks as CUDA computes them, in each of the ways; what can run on a CPU runs there too."""

import functools
import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional
from torch.testing import assert_close

from cuda_device import ON_HOST
from prune_adapters import ops
from prune_adapters.ops import cuda_blocks
from prune_adapters.ops.reference import blocks_gather

DEVICE = "cpu" if ON_HOST else "cuda"
HAS_TRITON = importlib.util.find_spec("triton") is not None and not ON_HOST
IS_THERE = {"triton": HAS_TRITON, "kernel": ON_HOST or cuda_blocks.compiled_kernels(), "gather": not ON_HOST}
WAYS = [
    pytest.param("cpu", "gather", id="cpu-gather"),
    *[
        pytest.param(DEVICE, way, id=way, marks=[pytest.mark.cuda, pytest.mark.skipif(not there, reason=f"no {way}")])
        for way, there in IS_THERE.items()
    ],
]


def needs_kernel(test: Callable[..., None]) -> Callable[..., None]:
    reason = "needs the compiled operators for CUDA"
    return pytest.mark.cuda(pytest.mark.skipif(not IS_THERE["kernel"], reason=reason)(test))


BOUNDS = {torch.float64: 1e-12, torch.float32: 1e-5, torch.float16: 2e-3, torch.bfloat16: 1.6e-2}
DTYPES = [*BOUNDS]
ids = {"ids": lambda value: str(value).replace("torch.", "")}


@pytest.fixture(autouse=True)
def first_tile(monkeypatch) -> None:
    """Let Triton take the most likely tile: to try all of them takes longer than the tests have."""
    if HAS_TRITON and torch.cuda.is_available():
        from prune_adapters.ops import triton_tiles

        monkeypatch.setattr(triton_tiles, "fastest", lambda key, configs, run: configs[0])


@dataclass
class Case:
    """A layer of blocks, what goes in, and the dense layer that does the same in float64."""

    mask: torch.Tensor
    width: int
    depth: int
    batch: int
    dtype: torch.dtype = torch.float64
    device: str = "cpu"

    def __post_init__(self) -> None:
        generator = torch.Generator().manual_seed(0)
        groups, others = self.mask.shape

        def drawn(*size: int) -> torch.Tensor:
            return torch.randn(*size, generator=generator, dtype=torch.float64).to(self.device, self.dtype)

        self.values = drawn(int(self.mask.sum()), self.width, self.depth)
        self.x, self.grad = drawn(self.batch, others * self.depth), drawn(self.batch, groups * self.width)
        self.bias = drawn(groups * self.width)
        self.tables = tuple(table.to(self.device) for table in tables_of(self.mask))

    def weight(self) -> torch.Tensor:
        found = torch.zeros(*self.mask.shape, self.width, self.depth, dtype=torch.float64, device=self.device)
        found[self.mask.to(self.device)] = self.values.double()
        return found.transpose(1, 2).reshape(self.grad.shape[1], self.x.shape[1])

    def cut(self, dense: torch.Tensor) -> torch.Tensor:
        groups, others = self.mask.shape
        blocks = dense.view(groups, self.width, others, self.depth).transpose(1, 2)
        return blocks[self.mask.to(self.device)]

    def forward(self, bias: bool = True) -> torch.Tensor:
        return cuda_blocks.block_linear(self.x, self.values, self.bias if bias else None, *self.tables)

    def backward(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        needs = (True, True, True)
        return cuda_blocks.block_linear_backward(self.grad, self.x, self.values, *self.tables, needs)


def tables_of(mask: torch.Tensor) -> tuple[torch.Tensor, ...]:
    def starts(of: torch.Tensor) -> torch.Tensor:
        return functional.pad(of.sum(1).cumsum(0), (1, 0))

    number = torch.cumsum(mask.flatten(), 0).view(mask.shape) - 1
    tables = starts(mask), mask.nonzero()[:, 1], starts(mask.T), mask.T.nonzero()[:, 1], number.T[mask.T]
    return tuple(table.int() for table in tables)


def some(groups: int, others: int, kept: float = 0.5) -> torch.Tensor:
    """Return a mask of blocks whose first group reads nothing and whose last block is read by nobody."""
    mask = torch.rand(groups, others, generator=torch.Generator().manual_seed(1)) < kept
    mask[0], mask[:, -1] = False, False
    return mask


def near(found: torch.Tensor, wanted: torch.Tensor, dtype: torch.dtype) -> None:
    assert found.dtype == dtype
    assert found.is_contiguous()
    size = float(wanted.abs().max()) if wanted.numel() else 0.0
    assert_close(found.double(), wanted, rtol=0, atol=BOUNDS[dtype] * max(1.0, size))


def agrees(case: Case) -> None:
    """Assert that forward and all gradients are those of the dense layer."""
    weight, x, grad = case.weight(), case.x.double(), case.grad.double()
    near(case.forward(), x @ weight.T + case.bias.double(), case.dtype)
    near(case.forward(bias=False), x @ weight.T, case.dtype)
    dx, dv, db = case.backward()
    near(dx, grad @ weight, case.dtype)
    near(dv, case.cut(grad.T @ x), case.dtype)
    near(db, grad.sum(0), case.dtype)


@pytest.fixture
def way(request) -> Iterator[str]:
    with cuda_blocks.blocks_by(request.param):
        yield request.param


@pytest.mark.parametrize(("device", "way"), WAYS, indirect=["way"])
@pytest.mark.parametrize("dtype", DTYPES, **ids)
def test_layer_and_gradients_agree_with_the_dense_layer(device, way, dtype) -> None:
    agrees(Case(some(3, 5), 64, 64, 70, dtype, device))


@pytest.mark.parametrize(("device", "way"), WAYS, indirect=["way"])
@pytest.mark.parametrize(("width", "depth"), [(16, 16), (128, 128), (128, 64), (256, 64), (48, 80), (3, 5), (24, 8)])
def test_blocks_of_any_size(device, way, width, depth) -> None:
    agrees(Case(some(4, 3), width, depth, 130, torch.bfloat16, device))


@pytest.mark.parametrize(("device", "way"), WAYS, indirect=["way"])
@pytest.mark.parametrize("batch", [0, 1, 127, 128, 129, 1030])
def test_any_batch(device, way, batch) -> None:
    agrees(Case(some(4, 4), 64, 64, batch, torch.bfloat16, device))


@pytest.mark.parametrize(("device", "way"), WAYS, indirect=["way"])
@pytest.mark.parametrize("kept", [0.0, 1.0])
def test_no_block_and_all_of_them(device, way, kept) -> None:
    agrees(Case(torch.full((3, 3), bool(kept)), 64, 64, 40, torch.bfloat16, device))


@pytest.mark.parametrize(("device", "way"), WAYS, indirect=["way"])
def test_gradients_that_nobody_needs_are_empty(device, way) -> None:
    case = Case(some(3, 3), 16, 16, 8, torch.float32, device)
    found = cuda_blocks.block_linear_backward(case.grad, case.x, case.values, *case.tables, (False, False, False))

    assert [tuple(one.shape) for one in found] == [(0,)] * 3


@pytest.mark.parametrize(("device", "way"), WAYS, indirect=["way"])
def test_the_same_bits_in_every_run(device, way) -> None:
    case = Case(some(4, 4), 64, 64, 1100, torch.bfloat16, device)
    first = [case.forward(), *case.backward()]

    for _ in range(3):
        for one, again in zip(first, [case.forward(), *case.backward()], strict=True):
            assert_close(again, one, rtol=0, atol=0)


@pytest.mark.parametrize(("device", "way"), WAYS, indirect=["way"])
@pytest.mark.parametrize("size", [1, 3])
@pytest.mark.parametrize(
    ("stride", "padding", "dilation"), [([1, 1], [0, 0], [1, 1]), ([2, 1], [1, 2], [1, 2]), ([3, 3], [1, 1], [2, 1])]
)
def test_a_convolution_agrees_with_the_dense_one(device, way, size, stride, padding, dilation) -> None:
    case = Case(some(3, 4), 16, 16, 2, torch.float64 if device == "cpu" else torch.float32, device)
    generator = torch.Generator().manual_seed(2)
    values = torch.randn(*case.values.shape, size, size, generator=generator).to(case.x)
    x = torch.randn(2, 64, 9, 11, generator=generator).to(case.x)
    weight = torch.zeros(3, 4, 16, 16, size, size, dtype=torch.float64, device=device)
    weight[case.mask.to(device)] = values.double()
    dense = weight.transpose(1, 2).reshape(48, 64, size, size).requires_grad_()
    inputs, bias = x.double().requires_grad_(), case.bias.double().requires_grad_()
    placing = stride, padding, dilation
    wanted = functional.conv2d(inputs, dense, bias, *placing)
    grad = torch.randn(wanted.shape, generator=generator).to(case.x)
    gradients = torch.autograd.grad(wanted, (inputs, dense, bias), grad.double())

    near(cuda_blocks.block_conv2d(x, values, case.bias, *case.tables, *placing), wanted.detach(), case.dtype)
    dx, dv, db = cuda_blocks.block_conv2d_backward(grad, x, values, *case.tables, *placing, (True, True, True))
    own = gradients[1].view(3, 16, 4, 16, size, size).transpose(1, 2)[case.mask.to(device)]
    for found, right in ((dx, gradients[0]), (dv, own), (db, gradients[2])):
        near(found, right, case.dtype)


def test_columns_fold_back_as_the_transpose_of_their_unfolding() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 3, 7, 8, generator=generator, dtype=torch.float64)
    placing = (3, 2), [2, 1], [1, 1], [1, 2]
    columns = blocks_gather.unfold_columns(x, *placing)
    other = torch.randn(columns.shape, generator=generator, dtype=torch.float64)

    assert_close((columns * other).sum(), (x * blocks_gather.fold_columns(other, x.shape, *placing)).sum())


@pytest.mark.parametrize("device", ["cpu", pytest.param(DEVICE, marks=pytest.mark.cuda, id="cuda")])
@pytest.mark.parametrize("transposed", [False, True])
def test_operators_pass_the_checks_of_torch(device, transposed) -> None:
    case = Case(some(3, 3), 16, 8, 6, torch.float32, device)
    ptr, idx, t_ptr, t_idx, t_perm = case.tables
    given = (case.grad, case.values, None, t_ptr, t_idx, t_perm) if transposed else (
        case.x, case.values, case.bias, ptr, idx, None
    )  # fmt: skip
    tests = ("test_schema", "test_faketensor")

    torch.library.opcheck(torch.ops.prune_adapters._block_rows.default, (*given, transposed, -1), test_utils=tests)
    sampled = torch.ops.prune_adapters._block_sampled.default
    torch.library.opcheck(sampled, (case.grad, case.x, ptr, idx, 16, 8), test_utils=tests)


@needs_kernel
@pytest.mark.parametrize("tile", range(6))
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], **ids)
def test_every_tile_of_the_compiled_kernel(tile, dtype) -> None:
    width = (256, 128, 64, 64, 32, 16)[tile]
    case = Case(some(5, 4), width, 64, 300, dtype, DEVICE)
    ptr, idx, *_ = case.tables
    y = torch.ops.prune_adapters._block_rows(case.x, case.values, case.bias, ptr, idx, None, False, tile)

    near(y, case.x.double() @ case.weight().T + case.bias.double(), dtype)


@needs_kernel
def test_tables_that_lie_lead_nowhere() -> None:
    case = Case(some(4, 4), 64, 64, 100, torch.bfloat16, DEVICE)
    generator = torch.Generator().manual_seed(0)
    for bound in (8, 2**31 - 1):
        drawn = [torch.randint(-bound, bound, table.shape, generator=generator) for table in case.tables]
        lies = [table.int().to(DEVICE) for table in drawn]
        torch.ops.prune_adapters._block_rows(case.x, case.values, None, lies[0], lies[1], None, False, -1)
        torch.ops.prune_adapters._block_rows(case.grad, case.values, None, lies[2], lies[3], lies[4], True, -1)
        torch.ops.prune_adapters._block_sampled(case.grad, case.x, lies[0], lies[1], 64, 64)

    agrees(case)


@needs_kernel
def test_arguments_that_do_not_fit_are_refused_by_the_compiled_kernel() -> None:
    case = Case(some(4, 4), 64, 64, 100, torch.bfloat16, DEVICE)
    ptr, idx, _, _, perm = case.tables
    good = [case.x, case.values, case.bias, ptr, idx, None, False, -1]
    for place, wrong in (
        (0, case.x[:, :-1]),
        (0, case.x.float()),
        (1, case.values[1:]),
        (2, case.bias[1:]),
        (3, ptr.long()),
        (4, idx.long()),
        (5, perm[1:]),
    ):
        bad = [*good[:place], wrong, *good[place + 1 :]]
        with pytest.raises((RuntimeError, NotImplementedError)):
            torch.ops.prune_adapters._block_rows(*bad)

    agrees(case)


@pytest.mark.cuda
@pytest.mark.skipif(ON_HOST, reason="needs a GPU")
def test_memory_that_begins_anywhere() -> None:
    case = Case(some(4, 4), 64, 64, 100, torch.bfloat16, DEVICE)
    wanted = case.forward()
    shifted = torch.empty(case.x.numel() + 1, dtype=case.dtype, device=DEVICE)[1:].view_as(case.x).copy_(case.x)

    for route in cuda_blocks.ROUTES:
        with cuda_blocks.blocks_by(route):
            found = cuda_blocks.block_linear(shifted, case.values, case.bias, *case.tables)
        near(found, wanted.double(), torch.bfloat16)


@functools.cache
def interpreter_runs() -> bool:
    """Whether triton is here and its interpreter takes this numpy (that of triton 3.6 takes none after 2.4)."""
    return HAS_TRITON and tuple(map(int, np.__version__.split(".")[:2])) < (2, 5)


@pytest.mark.skipif(not interpreter_runs(), reason="needs triton and a numpy that its interpreter takes")
def test_triton_kernels_in_the_interpreter() -> None:
    file = Path(__file__).with_name("interpreted_blocks.py")
    path = os.pathsep.join([str(file.parents[1]), str(file.parent)])
    environment = os.environ | {"TRITON_INTERPRET": "1", "PYTHONPATH": path}
    done = subprocess.run([sys.executable, file], env=environment, capture_output=True, text=True)

    assert done.returncode == 0, done.stderr


def test_ways_that_there_are_not() -> None:
    wrong = pytest.raises(ValueError, match="route: expected one of triton, kernel, gather, got 'fast'")
    with wrong, cuda_blocks.blocks_by("fast"):
        pass


def test_float64_and_the_cpu_do_not_go_to_triton() -> None:
    assert cuda_blocks.route_for(torch.ones(1, 64, dtype=torch.bfloat16), 64, 64) == "gather"
    assert cuda_blocks.route_for(torch.ones(1, 64, dtype=torch.float64), 64, 64) == "gather"


def leaves(case: Case, *shape: int) -> list[torch.Tensor]:
    """Return x, values and bias, with a kernel of this shape, each to be differentiated."""
    generator = torch.Generator().manual_seed(3)
    values = torch.randn(*case.values.shape, *shape, generator=generator, dtype=torch.float64).to(case.x)
    x = torch.randn(2, case.x.shape[1], 5, 6, generator=generator).to(case.x) if shape else case.x
    return [one.clone().requires_grad_() for one in (x, values, case.bias)]


LAYERS = {"block_linear": ((), ()), "block_conv2d": ((3, 2), ([2, 1], [1, 0], [1, 2]))}
"""Shape of the kernel, and the arguments after the tables."""


@pytest.mark.parametrize(("device", "way"), WAYS, indirect=["way"])
@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("side", [16, 6])
def test_the_operators_pass_the_checks_of_torch(device, way, name, side) -> None:
    case = Case(some(3, 3), side, side, 6, torch.float32, device)
    kernel, numbers = LAYERS[name]
    given = leaves(case, *kernel)
    op = getattr(torch.ops.prune_adapters, name).default
    y = op(*given, *case.tables, *numbers)
    grad = torch.ones_like(y)
    found = torch.library.opcheck(op, (*given, *case.tables, *numbers))
    assert set(found.values()) == {"SUCCESS"}
    x, values, _ = (one.detach() for one in given)
    backward = getattr(torch.ops.prune_adapters, f"{name}_backward").default
    found = torch.library.opcheck(backward, (grad, x, values, *case.tables, *numbers, [True, False, True]))
    assert set(found.values()) == {"SUCCESS"}


@pytest.mark.parametrize(("device", "way"), WAYS, indirect=["way"])
@pytest.mark.parametrize("name", LAYERS)
def test_the_gradients_are_those_of_differences(device, way, name) -> None:
    case = Case(some(3, 3), 4, 2, 3, torch.float64, device)
    kernel, numbers = LAYERS[name]
    op = getattr(ops, name)

    assert torch.autograd.gradcheck(
        lambda *given: op(*given, *case.tables, *numbers), leaves(case, *kernel), fast_mode=True
    )
