"""Selection among many tensors: against sorting, compiled and in plain torch, and as torch sees the operators."""

from collections.abc import Sequence

import pytest
import torch

from prune_adapters import ops
from prune_adapters.ops import reference

OPERATORS = torch.ops.prune_adapters
DTYPES = [torch.float32, torch.float64, torch.bfloat16, torch.float16]
NAN = float("nan")


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def drawn(*size: int, seed: int, dtype: torch.dtype = torch.float32, step: float | None = None) -> torch.Tensor:
    """Return normal values, or multiples of `step`, many of which are equal."""
    values = torch.randn(size, generator=generator(seed))
    return (values if step is None else (values / step).round() * step).to(dtype)


def random_bits(tensors: Sequence[torch.Tensor], seed: int) -> list[torch.Tensor]:
    draw = generator(seed)
    return [ops.pack_mask(torch.rand(tensor.shape, generator=draw) < 0.5) for tensor in tensors]


def joined(tensors: Sequence[torch.Tensor]) -> torch.Tensor:
    return torch.cat([tensor.reshape(-1) for tensor in tensors])


def masks_of(bits: Sequence[torch.Tensor], tensors: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    return [ops.unpack_mask(own, tensor.shape) for own, tensor in zip(bits, tensors, strict=True)]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("step", [None, 0.5])
@pytest.mark.parametrize("magnitude", [False, True])
def test_what_sorting_finds(dtype: torch.dtype, step: float | None, magnitude: bool) -> None:
    tensors = [
        drawn(*size, seed=len(size), dtype=dtype, step=step) for size in [(40, 50), (0,), (3, 5, 7), (), (9000,)]
    ]
    values = joined(tensors).abs() if magnitude else joined(tensors)
    order = values.double().argsort(descending=True, stable=True)
    for k in (1, 2, 100, 5000, values.numel()):
        bits, bound = ops.keep_largest(tensors, k, magnitude=magnitude)
        kept = torch.zeros(values.shape, dtype=torch.bool)
        kept[order[:k]] = True

        assert bound == ops.kth_largest(tensors, k, magnitude=magnitude) == values[order[k - 1]]
        assert bound.dtype == dtype
        torch.testing.assert_close(joined(masks_of(bits, tensors)), kept)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_compiled_and_reference_agree(dtype: torch.dtype) -> None:
    for seed in range(8):
        sizes = [int(n) for n in torch.randint(1, 30_000, (4,), generator=generator(seed))]
        tensors = [drawn(size, seed=seed + size, dtype=dtype, step=[None, 0.25][seed % 2]) for size in sizes]
        candidates = random_bits(tensors, seed) if seed % 3 else []
        for keep in (0, 1, sum(sizes) // 5, sum(sizes)):
            arguments = tensors, candidates, keep, bool(seed & 4)

            torch.testing.assert_close(OPERATORS.keep_largest(*arguments), reference.keep_largest(*arguments))
            if keep:
                torch.testing.assert_close(OPERATORS.kth_largest(*arguments), reference.kth_largest(*arguments))


def test_equal_elements_are_kept_in_order() -> None:
    tensors = [torch.tensor([0.0, 1.0, -0.0]), torch.tensor([[0.0, 2.0], [-0.0, 0.0]])]
    bits, bound = ops.keep_largest(tensors, 5)

    assert bound == 0
    assert [mask.tolist() for mask in masks_of(bits, tensors)] == [[True, True, True], [[True, True], [False, False]]]


def test_only_candidates_compete() -> None:
    tensors = [torch.tensor([5.0, NAN, 3.0, -9.0])]
    candidates = [ops.pack_mask(torch.tensor([False, False, True, True]))]

    assert ops.kth_largest(tensors, 1, candidates=candidates) == 3
    assert ops.kth_largest(tensors, 1, candidates=candidates, magnitude=True) == 9
    assert ops.keep_largest(tensors, 1, candidates=candidates)[0][0].tolist() == [0b0100]


def test_infinities_and_the_ends_of_a_format() -> None:
    info = torch.finfo(torch.float64)
    values = torch.tensor([info.max, -info.max, torch.inf, -torch.inf, info.tiny, 5e-324, -5e-324, 0.0])
    values = values.double().repeat(5000)[torch.randperm(40_000, generator=generator(0))]

    for k in (1, 5000, 5001, 17_500, 25_001, 40_000):
        assert ops.kth_largest([values], k) == values.sort(descending=True).values[k - 1]
        assert ops.kth_largest([values], k, magnitude=True) == values.abs().sort(descending=True).values[k - 1]


def test_any_layout_and_mixed_dtypes() -> None:
    image = drawn(4, 3, 5, 5, seed=0).to(memory_format=torch.channels_last)
    half = drawn(6, 7, seed=1, dtype=torch.bfloat16).t()
    tensors = [image, half, drawn(4, 4, seed=2, step=0.5)[:, ::2]]
    bits, bound = ops.keep_largest(tensors, 100, magnitude=True)
    kept = joined(masks_of(bits, tensors))

    assert bound.dtype == torch.float32
    assert kept.sum() == 100
    assert joined([tensor.float() for tensor in tensors]).abs()[kept].min() == bound


def test_the_same_at_any_number_of_threads() -> None:
    tensors = [drawn(200_000, seed=1, step=0.01), drawn(77_777, seed=2, step=0.01)]
    before = torch.get_num_threads()
    found = []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            found.append(ops.keep_largest(tensors, 120_000))
    finally:
        torch.set_num_threads(before)

    for other in found[1:]:
        torch.testing.assert_close(found[0], other, rtol=0, atol=0)


def test_a_parameter_needs_no_detaching() -> None:
    parameter = torch.nn.Parameter(torch.arange(4.0))

    assert not ops.kth_largest([parameter], 2).requires_grad
    assert not ops.keep_largest([parameter], 2)[1].requires_grad


def samples(name: str) -> tuple[object, ...]:
    tensors = [drawn(5, 7, seed=0), drawn(3, seed=1)]
    return {
        "kth_largest": (tensors, [], 3, True),
        "keep_largest": (tensors, random_bits(tensors, 0), 3, False),
    }[name]


@pytest.mark.parametrize("name", ["kth_largest", "keep_largest"])
def test_opcheck(name: str) -> None:
    found = torch.library.opcheck(getattr(OPERATORS, name).default, samples(name))

    assert set(found.values()) == {"SUCCESS"}


class Threshold(torch.nn.Module):
    """Selective weight decay: what lies at or below the threshold of all weights."""

    def forward(self, first: torch.Tensor, second: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        keep = (first.numel() + second.numel()) // 2
        bound = ops.kth_largest([first, second], keep, magnitude=True)
        return torch.where(first.abs() < bound, first, 0), ops.keep_largest([first, second], keep, magnitude=True)[0]


def test_compiles_in_one_graph_whatever_the_sizes() -> None:
    graphs = []

    def count(graph: torch.fx.GraphModule, _: object) -> object:
        graphs.append(graph)
        return graph

    torch._dynamo.reset()
    compiled = torch.compile(Threshold(), backend=count, fullgraph=True, dynamic=True)
    for rows in (8, 13, 10):
        arguments = drawn(rows, 7, seed=rows), drawn(rows, 3, 3, seed=rows)

        torch.testing.assert_close(compiled(*arguments), Threshold()(*arguments))
    assert len(graphs) == 1


def test_exports() -> None:
    rows = torch.export.Dim("rows", min=3)
    program = torch.export.export(
        Threshold(), (drawn(5, 7, seed=0), drawn(5, 4, seed=1)), dynamic_shapes=({0: rows}, {0: rows})
    )
    arguments = drawn(11, 7, seed=2), drawn(11, 4, seed=3)

    torch.testing.assert_close(program.module()(*arguments), Threshold()(*arguments))


def test_vmap_selects_in_each_of_the_stacked_models() -> None:
    first, second = drawn(4, 5, 6, seed=0), drawn(7, 4, seed=1)
    found = torch.vmap(lambda a, b: ops.kth_largest([a, b], 9), in_dims=(0, 1))(first, second)
    bits = torch.vmap(lambda a: ops.keep_largest([a], 9)[0][0])(first)

    for number in range(4):
        assert found[number] == ops.kth_largest([first[number], second[:, number]], 9)
        assert bits[number].equal(ops.keep_largest([first[number]], 9)[0][0])


def test_where_nobody_waits_for_the_values_they_tell_what_is_wrong() -> None:
    compiled = torch.compile(lambda t, c: ops.keep_largest([t], 2, candidates=[c]), backend="eager", fullgraph=True)
    few = ops.pack_mask(torch.tensor([True, False, False]))
    bits, bound = compiled(torch.tensor([1.0, 2.0, 3.0]), few)
    assert (bits[0].item(), bound.item()) == (1, -torch.inf)

    bits, bound = compiled(torch.tensor([NAN, 2.0, 3.0]), few)
    assert bits[0].item() == 0
    assert bound.isnan()


ONE = torch.ones(3)
BITS = torch.zeros(1, dtype=torch.uint8)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ops.kth_largest([], 1), "kth_largest: expected at least one tensor, got none"),
        (lambda: ops.kth_largest([ONE], 0), "kth_largest: expected k between 1 and the 3 elements, got 0"),
        (lambda: ops.kth_largest([ONE], 4), "expected k between 1 and the 3 elements, got 4"),
        (lambda: ops.keep_largest([ONE], 4), "keep_largest: expected keep between 0 and the 3 elements, got 4"),
        (lambda: ops.kth_largest([ONE, ONE.int()], 1), "tensor 1: expected a dtype of float32, .*, got torch.int32"),
        (lambda: ops.kth_largest([ONE, ONE.to("meta")], 1), "tensor 1: expected cpu, got meta"),
        (lambda: ops.kth_largest([ONE], 1, candidates=[]), "expected bits of candidates for each of 1 tensors, got 0"),
        (
            lambda: ops.kth_largest([ONE], 1, candidates=[BITS.bool()]),
            r"candidates 0: expected uint8 of shape \(1,\) on cpu, got torch.bool of shape .* use pack_mask",
        ),
        (lambda: ops.kth_largest([ONE], 1, candidates=[BITS]), "kth_largest: expected at least 1 candidates, got 0"),
        (
            lambda: ops.keep_largest([ONE, torch.tensor([NAN, 1.0])], 1),
            "keep_largest: tensor 1: 1 of 2 elements are NaN",
        ),
        (lambda: ops.kth_largest([torch.tensor([NAN])], 1), "kth_largest: tensor 0: 1 of 1 elements are NaN"),
    ],
)
def test_errors_say_what_is_wrong(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.skipif(ops.library is None, reason="the compiled operators are missing")
@pytest.mark.parametrize(
    "call",
    [
        lambda: OPERATORS.kth_largest([ONE.int()], [], 1, False),
        lambda: OPERATORS.kth_largest([ONE, ONE.double()], [], 1, False),
        lambda: OPERATORS.kth_largest([ONE], [BITS, BITS], 1, False),
        lambda: OPERATORS.kth_largest([torch.ones(9)], [BITS], 1, False),
        lambda: OPERATORS.kth_largest([torch.ones(6)[::2]], [], 1, False),
        lambda: OPERATORS.keep_largest([ONE], [BITS.int()], 1, False),
        lambda: OPERATORS.keep_largest([ONE], [], -1, False),
    ],
)
def test_the_bare_operators_never_touch_memory_that_is_not_theirs(call) -> None:
    with pytest.raises(RuntimeError, match=r"arguments that do not fit; prune_adapters\.ops\.\w+ says what"):
        call()
