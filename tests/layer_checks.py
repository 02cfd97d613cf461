"""What the operators of linear layers have in common, whatever their plan keeps: single elements or dense blocks."""

from collections.abc import Callable

import torch

import prune_adapters as pa
from prune_adapters.plans.tables import TABLES

OPERATORS = torch.ops.prune_adapters
BOUND = {torch.float32: 2e-5, torch.float64: 1e-12}
Plan = pa.SparsePlan | pa.BlockPlan
Tensors = tuple[torch.Tensor, ...]


def random(*size: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(size, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def drawn(plan: Plan, values: tuple[int, ...], batch: int, dtype: torch.dtype) -> Tensors:
    """Return x, values of a shape and bias that want gradients."""
    sizes = (batch, plan.shape[1]), values, plan.shape[:1]
    return tuple(random(*size, seed=k, dtype=dtype).requires_grad_() for k, size in enumerate(sizes))


def detached(sample: tuple) -> tuple:
    return tuple(one.detach() if isinstance(one, torch.Tensor) else one for one in sample)


def arguments_of(plan: Plan, x: torch.Tensor, values: torch.Tensor, bias: torch.Tensor) -> dict[str, object]:
    """Return what the operators take first, by name."""
    return {"x": x, "values": values, "bias": bias} | dict(zip(TABLES, plan.tables, strict=True))


def with_one(arguments: dict[str, object], name: str, value: object) -> dict[str, object]:
    """Return the arguments with one in place of another, or changed by a function."""
    return arguments | {name: value(arguments[name]) if callable(value) else value}


def close(found: torch.Tensor, expected: torch.Tensor) -> None:
    bound = BOUND[expected.dtype]
    torch.testing.assert_close(found, expected, rtol=bound, atol=bound * (1 + expected.abs().max().item()))


def check_like_dense(plan: Plan, batch: int, dtype: torch.dtype) -> None:
    """Hold that the result and all gradients are those of torch's linear layer."""
    rows, columns = plan.shape
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


def check_empty(plan: Plan, values: torch.Tensor, batch: int) -> None:
    """Hold that a layer without values gives its bias, and no gradient."""
    x, bias = random(batch, plan.shape[1]).requires_grad_(), random(plan.shape[0])
    y = plan.linear(x, values.requires_grad_(), bias)
    y.sum().backward()

    assert torch.equal(y, bias.expand(batch, plan.shape[0]))
    assert not x.grad.any()
    assert values.grad.shape == values.shape


def check_same_bits(results: Callable[[], list[torch.Tensor]]) -> None:
    """Hold that results are the same to the bit at any number of threads."""
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        expected = results()
        for threads in (2, 3, 5):
            torch.set_num_threads(threads)
            assert all(torch.equal(a, b) for a, b in zip(results(), expected, strict=True))
    finally:
        torch.set_num_threads(before)


def check_gradients(plan: Plan, leaves: Tensors) -> None:
    assert torch.autograd.gradcheck(plan.linear, leaves)
    assert torch.autograd.gradcheck(lambda x, values: plan.linear(x, values), leaves[:2])


def check_compiles(plan: Plan, values: torch.Tensor, bias: torch.Tensor) -> None:
    """Hold that one graph serves several batch sizes, with gradients."""

    def layer(x: torch.Tensor, values: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        return plan.linear(x.relu(), values, bias) * 2

    torch._dynamo.reset()
    compiled = torch.compile(layer, backend="aot_eager", fullgraph=True, dynamic=True)
    for batch in (3, 8):
        x = random(batch, plan.shape[1], dtype=values.dtype).requires_grad_()
        expected = torch.autograd.grad(layer(x, values, bias).square().sum(), (x, values, bias))
        found = torch.autograd.grad(compiled(x, values, bias).square().sum(), (x, values, bias))

        torch.testing.assert_close(compiled(x, values, bias), layer(x, values, bias))
        torch.testing.assert_close(found, expected)


class Layer(torch.nn.Module):
    def __init__(self, plan: Plan, values: torch.Tensor) -> None:
        super().__init__()
        self.plan = plan
        self.values = torch.nn.Parameter(values)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.plan.linear(x, self.values)


def check_exports(plan: Plan, x: torch.Tensor, values: torch.Tensor) -> None:
    """Hold that the exported layer takes another batch size."""
    batch = torch.export.Dim("batch", min=2, max=64)
    program = torch.export.export(Layer(plan, values), (x,), dynamic_shapes=({0: batch},))
    other = random(11, plan.shape[1])

    torch.testing.assert_close(program.module()(other), plan.linear(other, values))


def check_autocast(plan: Plan, x: torch.Tensor, values: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """Hold that autocast on a CPU computes in float32; return the result."""
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = plan.linear(x.bfloat16(), values, bias)
    y.sum().backward()

    assert y.dtype == torch.float32
    assert (x.grad.dtype, values.grad.dtype) == (torch.float32, torch.float32)
    return y
