"""The band-stop mask: its formula, its gradient, and as torch sees the operators."""

import pytest
import torch

from prune_adapters import ops
from prune_adapters.ops import reference

OPERATORS = torch.ops.prune_adapters
SETTINGS = [(0.0, 1.0), (0.5, 30.0), (0.05, 4000.0), (0.0, 1e-4)]


def drawn(*size: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def numbers(threshold: float, sharpness: float, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    wide = torch.float64 if dtype == torch.float64 else torch.float32
    return torch.tensor(threshold, dtype=wide), torch.tensor(sharpness, dtype=wide)


def test_without_a_threshold_it_is_the_mask_of_tcmp() -> None:
    weight = drawn(1000)
    masked, mask = ops.band_stop(weight)

    torch.testing.assert_close(mask, torch.tanh(weight**2 / 2))
    torch.testing.assert_close(masked, weight * torch.tanh(weight**2 / 2))


def test_the_mask_is_0_at_0_rises_and_tends_to_the_crisp_one() -> None:
    weight = torch.linspace(0, 2, 2001, dtype=torch.float64)
    for sharpness in (0.1, 1.0, 10.0, 1e3, 1e6):
        _, mask = ops.band_stop(weight, 1.0, sharpness)
        assert mask[0] == 0
        assert not mask.signbit().any()
        assert mask.diff().min() >= 0
        assert mask.max() <= 1

    torch.testing.assert_close(mask[:1000], torch.zeros(1000, dtype=torch.float64))
    torch.testing.assert_close(mask[1001:], torch.ones(1000, dtype=torch.float64))


@pytest.mark.parametrize(("threshold", "sharpness"), SETTINGS)
@pytest.mark.parametrize(
    ("dtype", "bound"), [(torch.float64, 1e-13), (torch.float32, 4e-5), (torch.bfloat16, 8e-3)], ids=str
)
def test_compiled_and_reference_agree(dtype: torch.dtype, bound: float, threshold: float, sharpness: float) -> None:
    weight, grad, grad_mask = (drawn(40_001, seed=seed, dtype=dtype) for seed in range(3))
    given = weight, *numbers(threshold, sharpness, dtype)

    torch.testing.assert_close(OPERATORS.band_stop(*given), reference.band_stop(*given), rtol=bound, atol=1e-30)
    none = weight.new_empty(0)
    for grads in ((grad, none), (none, grad_mask), (none, none)):
        found, expected = OPERATORS.band_stop_backward(*grads, *given), reference.band_stop_backward(*grads, *given)
        torch.testing.assert_close(found, expected, rtol=2 * bound, atol=1e-30)


@pytest.mark.parametrize(("threshold", "sharpness"), SETTINGS[:2])
@pytest.mark.parametrize("output", [0, 1])
def test_gradcheck(threshold: float, sharpness: float, output: int) -> None:
    weight = drawn(4, 7).requires_grad_()

    assert torch.autograd.gradcheck(lambda w: ops.band_stop(w, threshold, sharpness)[output], (weight,))
    assert torch.autograd.gradcheck(lambda w: sum(ops.band_stop(w, threshold, sharpness)), (weight,))


def test_a_threshold_that_was_selected() -> None:
    weight = drawn(30, 40, dtype=torch.bfloat16)
    bound = ops.kth_largest([weight], 120, magnitude=True)
    _, mask = ops.band_stop(weight, bound, 1e6)
    crisp = weight.abs() > bound

    assert (mask[crisp] > 0.5).all()
    assert (mask[weight.abs() < bound] < 0.5).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32], ids=str)
def test_any_layout_and_dtype(dtype: torch.dtype) -> None:
    weight = drawn(3, 4, 5, 5, dtype=dtype).to(memory_format=torch.channels_last).requires_grad_()
    masked, mask = ops.band_stop(weight, 0.3, 5.0)
    (masked.sum() + mask.sum()).backward()
    exact = weight.detach().double().contiguous().requires_grad_()
    sum(part.sum() for part in ops.band_stop(exact, 0.3, 5.0)).backward()

    assert masked.dtype == mask.dtype == dtype
    torch.testing.assert_close(
        masked.detach().double(), ops.band_stop(exact, 0.3, 5.0)[0].detach(), rtol=1e-2, atol=1e-3
    )
    torch.testing.assert_close(weight.grad.double(), exact.grad, rtol=2e-2, atol=1e-2)


def test_nan_and_infinity_pass_through() -> None:
    masked, mask = ops.band_stop(torch.tensor([float("nan"), float("inf"), -float("inf"), 0.0]), 0.5, 2.0)

    torch.testing.assert_close(mask, torch.tensor([float("nan"), 1.0, 1.0, 0.0]), equal_nan=True)
    torch.testing.assert_close(masked[1:], torch.tensor([float("inf"), -float("inf"), 0.0]))


@pytest.mark.parametrize("size", [(), (0,), (0, 5), (1,), (100_000,)])
def test_sizes_and_threads(size: tuple[int, ...]) -> None:
    weight = drawn(*size, dtype=torch.float32)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        alone = ops.band_stop(weight, 0.5, 3.0)
        torch.set_num_threads(3)
        bound = 1e-6 if ops.library is None else 0  # torch computes the rest of a part in another way
        torch.testing.assert_close(ops.band_stop(weight, 0.5, 3.0), alone, rtol=bound, atol=0)
    finally:
        torch.set_num_threads(before)
    assert alone[0].shape == size


@pytest.mark.parametrize("name", ["band_stop", "band_stop_backward"])
def test_opcheck(name: str) -> None:
    weight, given = drawn(4, 5, dtype=torch.float32), numbers(0.5, 3.0, torch.float32)
    samples = {
        "band_stop": [(weight, *given), (weight.clone().requires_grad_(), *given)],
        "band_stop_backward": [(weight, weight, weight, *given), (weight.new_empty(0), weight, weight, *given)],
    }
    for sample in samples[name]:
        found = torch.library.opcheck(getattr(OPERATORS, name).default, sample)
        assert set(found.values()) == {"SUCCESS"}


class Soft(torch.nn.Module):
    def forward(self, weight: torch.Tensor, sharpness: torch.Tensor) -> torch.Tensor:
        masked, mask = ops.band_stop(weight, ops.kth_largest([weight], 3, magnitude=True), sharpness)
        return masked.sum(0) * mask.mean()


def test_compiles_in_one_graph_with_its_gradient() -> None:
    torch._dynamo.reset()
    compiled = torch.compile(Soft(), backend="aot_eager", fullgraph=True, dynamic=True)
    for rows in (3, 8):
        found, expected = (drawn(rows, 5, seed=rows).requires_grad_() for _ in range(2))
        compiled(found, torch.tensor(float(rows))).sum().backward()
        Soft()(expected, torch.tensor(float(rows))).sum().backward()

        torch.testing.assert_close(found.grad, expected.grad)


def test_exports() -> None:
    rows = torch.export.Dim("rows")
    program = torch.export.export(Soft(), (drawn(3, 7), torch.tensor(2.0)), dynamic_shapes=({0: rows}, None))
    arguments = drawn(11, 7), torch.tensor(3.0)

    torch.testing.assert_close(program.module()(*arguments), Soft()(*arguments))


def test_transforms_of_torch_func() -> None:
    weight, thresholds = drawn(4, 5), torch.rand(4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    def loss(w: torch.Tensor, threshold: torch.Tensor) -> torch.Tensor:
        masked, mask = ops.band_stop(w, threshold, 3.0)
        return (masked * mask).sum()

    expected = torch.stack(
        [
            torch.autograd.grad(loss(w, t), w)[0]
            for w, t in zip(weight.clone().requires_grad_(), thresholds, strict=True)
        ]
    )
    torch.testing.assert_close(torch.func.vmap(torch.func.grad(loss))(weight, thresholds), expected)
    torch.testing.assert_close(torch.func.grad(loss)(weight[0], thresholds[0]), expected[0])
    values = torch.vmap(loss)(weight, thresholds)
    torch.testing.assert_close(values, torch.stack([loss(w, t) for w, t in zip(weight, thresholds, strict=True)]))


def test_there_is_one_derivative() -> None:
    weight = drawn(3).requires_grad_()
    (grad,) = torch.autograd.grad(ops.band_stop(weight)[0].sum(), weight, create_graph=True)

    with pytest.raises(RuntimeError, match="band_stop: has no second derivative"):
        grad.sum().backward()


W = torch.ones(3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ops.band_stop(W.int()), "band_stop: expected a float weight, got torch.int32"),
        (
            lambda: ops.band_stop(W, W),
            r"threshold: expected a number or a tensor of shape \(\) on cpu, got shape \(3,\)",
        ),
        (lambda: ops.band_stop(W, 0.0, torch.tensor(1.0, device="meta")), r"sharpness: expected .* on cpu, .* on meta"),
        (
            lambda: ops.band_stop(W, torch.tensor(1.0, requires_grad=True)),
            r"threshold: requires a gradient, and has none; pass threshold.detach\(\)",
        ),
    ],
)
def test_errors_say_what_is_wrong(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


ONE = torch.tensor(1.0)


@pytest.mark.skipif(ops.library is None, reason="the compiled operators are missing")
@pytest.mark.parametrize(
    "call",
    [
        lambda: OPERATORS.band_stop(W.half(), ONE, ONE),
        lambda: OPERATORS.band_stop(torch.ones(4)[::2], ONE, ONE),
        lambda: OPERATORS.band_stop(W, W, ONE),
        lambda: OPERATORS.band_stop(W, ONE, ONE.int()),
        lambda: OPERATORS.band_stop_backward(W[:2], W, W, ONE, ONE),
        lambda: OPERATORS.band_stop_backward(W, W.double(), W, ONE, ONE),
    ],
)
def test_the_bare_operators_never_touch_memory_that_is_not_theirs(call) -> None:
    with pytest.raises(RuntimeError, match="arguments that do not fit"):
        call()
