"""Selection, band-stop masks and reach steps on a GPU: against the references, and as torch sees them."""

import pytest
import torch

from cuda_device import DEVICE, FLOATS, OPERATORS, TOLERANCE, assert_opcheck, drawn, needs_gpu, random_mask, synchronize
from prune_adapters import ops
from prune_adapters.ops import reference

pytestmark = pytest.mark.cuda

SIZES = [(40, 50), (0,), (3, 5, 7), (), (7000,), *[(9,)] * 90]
REACH = [torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.bool, torch.uint8]


def scores(dtype: torch.dtype, step: float | None = None) -> list[torch.Tensor]:
    """Return tensors of normal numbers, or of multiples of `step`, many of which are equal."""
    tensors = [drawn(torch.float64, *size, seed=seed) for seed, size in enumerate(SIZES)]
    return [(tensor if step is None else (tensor / step).round() * step).to(dtype) for tensor in tensors]


def bits_for(tensors: list[torch.Tensor]) -> list[torch.Tensor]:
    return [reference.pack_mask(random_mask(*tensor.shape, seed=seed)) for seed, tensor in enumerate(tensors)]


def assert_same(found: object, expected: object) -> None:
    torch.testing.assert_close(found, expected, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("step", [None, 0.5])
@pytest.mark.parametrize("magnitude", [False, True])
def test_selection_is_that_of_the_reference(dtype: torch.dtype, step: float | None, magnitude: bool) -> None:
    tensors = scores(dtype, step)
    total = sum(tensor.numel() for tensor in tensors)
    for candidates in ([], bits_for(tensors)):
        for k in (1, 100, total // 3, total):
            for name in ("kth_largest", "keep_largest"):
                arguments = tensors, candidates, k, magnitude
                assert_same(getattr(OPERATORS, name)(*arguments), getattr(reference, name)(*arguments))


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_what_cannot_be_raised_is_in_the_values(dtype: torch.dtype) -> None:
    ones = torch.ones(70, dtype=dtype, device=DEVICE)
    bits, bound = OPERATORS.keep_largest([ones], [], 0, False)
    assert bound == torch.inf
    assert not bits[0].any()

    candidates = [reference.pack_mask(torch.arange(70, device=DEVICE) % 5 == 0)]
    bits, bound = OPERATORS.keep_largest([ones], candidates, 20, True)
    assert bound == -torch.inf
    assert_same(bits, candidates)

    ones[69] = torch.nan
    bits, bound = OPERATORS.keep_largest([ones], [], 20, True)
    assert bound.isnan()
    assert not bits[0].any()
    assert OPERATORS.keep_largest([ones], candidates, 3, True)[1] == 1


def test_selection_compiles_in_one_graph() -> None:
    def kept(tensors: list[torch.Tensor]) -> torch.Tensor:
        bits, bound = ops.keep_largest(tensors, 30, magnitude=True)
        return ops.unpack_mask(bits[0], tensors[0].shape) & (tensors[0].abs() >= bound)

    torch._dynamo.reset()
    tensors = scores(torch.float32)
    compiled = torch.compile(kept, backend="aot_eager", fullgraph=True)

    assert_same(compiled(tensors), kept(tensors))


@needs_gpu
def test_selection_does_not_wait_for_the_device() -> None:
    tensors = scores(torch.float32)
    candidates = bits_for(tensors)
    torch.cuda.set_sync_debug_mode("error")
    try:
        ops.keep_largest(tensors, 100, candidates=candidates)
        ops.band_stop(tensors[0], ops.kth_largest(tensors, 100, magnitude=True), torch.ones((), device=DEVICE))
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
@pytest.mark.parametrize(("threshold", "sharpness"), [(0.0, 1.0), (0.7, 25.0)])
def test_band_stop_is_that_of_the_reference(dtype: torch.dtype, threshold: float, sharpness: float) -> None:
    weight, grad, grad_mask = (drawn(dtype, 33, 20, seed=seed) for seed in range(3))
    weight[0, :3] = torch.tensor([0.0, 1e-3, 30.0])
    none, bound = weight.new_empty(0), 16 * TOLERANCE[dtype]
    number = torch.float64 if dtype == torch.float64 else torch.float32
    numbers = [torch.tensor(value, dtype=number, device=DEVICE) for value in (threshold, sharpness)]
    for name, inputs in (
        ("band_stop", (weight,)),
        ("band_stop_backward", (grad, grad_mask, weight)),
        ("band_stop_backward", (grad, none, weight)),
        ("band_stop_backward", (none, grad_mask, weight)),
    ):
        found, expected = (call(*inputs, *numbers) for call in (getattr(OPERATORS, name), getattr(reference, name)))
        torch.testing.assert_close(found, expected, rtol=bound, atol=bound)


def test_gradients_of_band_stop_are_those_of_differences() -> None:
    weight = drawn(torch.float64, 5, 4).requires_grad_()

    assert torch.autograd.gradcheck(lambda w: ops.band_stop(w, 0.5, 3.0), [weight])


@pytest.mark.parametrize("dtype", REACH, ids=str)
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    ("size", "groups"), [((70, 130), 1), ((6, 5, 3, 3), 1), ((130, 3, 9), 2), ((65, 1, 3, 3), 65), ((0, 3), 1)]
)
def test_reach_steps_are_those_of_the_reference(dtype, packed: bool, size: tuple[int, ...], groups: int) -> None:
    if packed and dtype != torch.uint8:
        pytest.skip("bits are uint8")
    for density in (0.0, 0.03, 0.6):
        mask = random_mask(*size, density=density)
        weight = reference.pack_mask(mask) if packed else torch.where(mask, 3, 0).to(dtype)
        if dtype.is_floating_point:
            weight = torch.where(mask, drawn(dtype, *size), torch.tensor(-0.0, dtype=dtype, device=DEVICE))
        live, co = random_mask(groups * size[1], seed=1), random_mask(size[0], seed=2)
        shape = size if packed else ()
        for name, flags in (("reach_targets", (live,)), ("reach_sources", (co,)), ("count_consistent", (live, co))):
            found, expected = (getattr(at, name)(weight, shape, *flags, groups) for at in (OPERATORS, reference))
            assert_same(found, expected)


def samples(name: str) -> tuple[object, ...]:
    weight, tensors = drawn(torch.float32, 6, 5, 3), [drawn(torch.float32, 20), drawn(torch.float32, 3, 3)]
    live, co, number = random_mask(5), random_mask(6, seed=1), torch.tensor(1.0, device=DEVICE)
    return {
        "kth_largest": (tensors, bits_for(tensors), 4, True),
        "keep_largest": (tensors, [], 4, False),
        "band_stop": (weight.requires_grad_(), number, number),
        "band_stop_backward": (weight.detach(), weight.new_empty(0), weight.detach(), number, number),
        "reach_targets": (weight.detach(), [], live, 1),
        "reach_sources": (weight.detach(), [], co, 1),
        "count_consistent": (reference.pack_mask(random_mask(6, 5, 3)), [6, 5, 3], live, co, 1),
    }[name]


NAMES = ["kth_largest", "keep_largest", "band_stop", "band_stop_backward", "reach_targets", "reach_sources"]


@pytest.mark.parametrize("name", [*NAMES, "count_consistent"])
def test_opcheck(name: str) -> None:
    assert_opcheck(name, samples(name))


@pytest.mark.parametrize(
    "call",
    [
        lambda t, bits, flags: OPERATORS.kth_largest([t, t.double()], [], 1, False),
        lambda t, bits, flags: OPERATORS.kth_largest([t], [bits, bits], 1, False),
        lambda t, bits, flags: OPERATORS.kth_largest([t], [bits[:2]], 1, False),
        lambda t, bits, flags: OPERATORS.keep_largest([t.int()], [], 1, False),
        lambda t, bits, flags: OPERATORS.keep_largest([t[:, ::2]], [], 1, False),
        lambda t, bits, flags: OPERATORS.keep_largest([t], [], -1, False),
        lambda t, bits, flags: OPERATORS.band_stop(t, t, t),
        lambda t, bits, flags: OPERATORS.band_stop(t.int(), t[0, 0], t[0, 0]),
        lambda t, bits, flags: OPERATORS.band_stop_backward(t[0], t, t, t[0, 0], t[0, 0]),
        lambda t, bits, flags: OPERATORS.reach_targets(t, [], flags[1:], 1),
        lambda t, bits, flags: OPERATORS.reach_targets(t, [4, 7], flags, 1),
        lambda t, bits, flags: OPERATORS.reach_sources(t, [], flags, 1),
        lambda t, bits, flags: OPERATORS.reach_sources(bits, [4, 9], flags, 1),
        lambda t, bits, flags: OPERATORS.count_consistent(t, [], flags, flags, 1),
        lambda t, bits, flags: OPERATORS.reach_targets(t, [], flags, 3),
        pytest.param(lambda t, bits, flags: OPERATORS.kth_largest([t], [bits.cpu()], 1, False), marks=needs_gpu),
        pytest.param(lambda t, bits, flags: OPERATORS.reach_targets(t, [], flags.cpu(), 1), marks=needs_gpu),
    ],
)
def test_bare_operators_refuse_what_does_not_fit(call) -> None:
    mask = random_mask(4, 6)
    with pytest.raises(RuntimeError, match=r"arguments that do not fit; prune_adapters\.ops\.\w+ says what"):
        call(drawn(torch.float32, 4, 6), reference.pack_mask(mask), random_mask(6))
    synchronize()
