"""Steps of a sweep along a weight: against a loop over flags, and as torch sees the operators."""

import pytest
import torch

from prune_adapters import ops
from prune_adapters.ops import reference

OPERATORS = torch.ops.prune_adapters
DTYPES = [
    torch.float32,
    torch.float64,
    torch.bfloat16,
    torch.float16,
    torch.bool,
    torch.uint8,
    torch.int64,
    torch.complex64,
]
SHAPES = [
    ((70, 130), 1),
    ((6, 5, 3, 3), 1),
    ((130, 3, 9), 2),
    ((65, 1, 3, 3), 65),
    ((0, 3), 1),
    ((3, 0, 2), 3),
    ((4, 2, 0), 2),
]


def flags(count: int, seed: int) -> torch.Tensor:
    return torch.rand(count, generator=torch.Generator().manual_seed(seed)) < 0.5


def drawn(size: tuple[int, ...], dtype: torch.dtype, density: float) -> torch.Tensor:
    """Return values of which a share is not 0, with -0.0 among the others where there is one."""
    kept = torch.rand(size, generator=torch.Generator().manual_seed(0)) < density
    return torch.where(kept, 1.0, -0.0).to(dtype)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(("size", "groups"), SHAPES)
@pytest.mark.parametrize("density", [0.0, 0.05, 1.0])
def test_what_a_look_at_every_element_finds(
    dtype: torch.dtype, size: tuple[int, ...], groups: int, density: float
) -> None:
    weight = drawn(size, dtype, density)
    live, co = flags(groups * size[1], 1), flags(size[0], 2)
    taps = torch.Size(size[2:]).numel()
    edges = (weight != 0).reshape(groups, size[0] // groups, size[1], taps)
    from_live, to_co = edges & live.view(groups, 1, size[1], 1), edges & co.view(groups, size[0] // groups, 1, 1)
    bits = ops.pack_mask(weight != 0)
    for given in ({"weight": weight}, {"weight": bits, "size": size}):
        targets = ops.reach_targets(live=live, groups=groups, **given)
        sources = ops.reach_sources(co=co, groups=groups, **given)
        count = ops.count_consistent(live=live, co=co, groups=groups, **given)

        torch.testing.assert_close(targets, from_live.flatten(2).any(2).view(-1))
        torch.testing.assert_close(sources, to_co.any(3).any(1).view(-1))
        torch.testing.assert_close(count, (from_live & to_co).sum())


def test_bits_of_a_part_of_memory() -> None:
    """Packed rows begin in the middle of bytes, and the bytes in the middle of words."""
    weight = drawn((5, 7, 3), torch.float32, 0.3)
    whole = torch.cat([torch.full((3,), 255, dtype=torch.uint8), ops.pack_mask(weight != 0)])
    live = flags(7, 0)

    assert ops.reach_targets(whole[3:], live, size=(5, 7, 3)).equal(ops.reach_targets(weight, live))


def test_a_nan_is_kept_and_any_layout_will_do() -> None:
    weight = torch.zeros(4, 3, 2, 2).to(memory_format=torch.channels_last)
    weight[1, 2, 0, 1] = float("nan")

    assert ops.reach_targets(weight, torch.ones(3, dtype=torch.bool)).tolist() == [False, True, False, False]
    assert ops.reach_sources(weight, torch.ones(4, dtype=torch.bool)).tolist() == [False, False, True]


def test_the_same_at_any_number_of_threads() -> None:
    weight = drawn((1000, 300), torch.float32, 0.01)
    live, co = flags(300, 1), flags(1000, 2)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        found = [
            ops.reach_targets(weight, live),
            ops.reach_sources(weight, co),
            ops.count_consistent(weight, live, co),
        ]
    finally:
        torch.set_num_threads(before)

    assert found[0].equal(reference.reach_targets(weight, (), live, 1))
    assert found[1].equal(reference.reach_sources(weight, (), co, 1))
    assert found[2].equal(reference.count_consistent(weight, (), live, co, 1))


NAMES = {
    "reach_targets": lambda weight, size, live, co: (weight, size, live, 2),
    "reach_sources": lambda weight, size, live, co: (weight, size, co, 2),
    "count_consistent": lambda weight, size, live, co: (weight, size, live, co, 2),
}


@pytest.mark.parametrize("name", NAMES)
def test_opcheck(name: str) -> None:
    weight = drawn((4, 6, 2), torch.float32, 0.3)
    for given, size in ((weight, ()), (ops.pack_mask(weight != 0), weight.shape)):
        found = torch.library.opcheck(
            getattr(OPERATORS, name).default, NAMES[name](given, size, flags(12, 0), flags(4, 1))
        )
        assert set(found.values()) == {"SUCCESS"}


class Sweep(torch.nn.Module):
    """Two layers forward and back, one of them by its bits."""

    def forward(self, first: torch.Tensor, second: torch.Tensor, live: torch.Tensor) -> tuple[torch.Tensor, ...]:
        hidden = ops.reach_targets(first, live)
        size = (second.shape[0], first.shape[0])
        co = torch.ones(second.shape[0], dtype=torch.bool)
        back = ops.reach_sources(ops.pack_mask(second != 0), co, size=size)
        return hidden, back, ops.count_consistent(first, live, back)


def arguments(rows: int) -> tuple[torch.Tensor, ...]:
    return drawn((rows, 5), torch.float32, 0.3), drawn((3, rows), torch.float32, 0.3), flags(5, 0)


def test_compiles_in_one_graph_whatever_the_sizes() -> None:
    graphs = []

    def count(graph: torch.fx.GraphModule, _: object) -> object:
        graphs.append(graph)
        return graph

    torch._dynamo.reset()
    compiled = torch.compile(Sweep(), backend=count, fullgraph=True, dynamic=True)
    for rows in (4, 9, 13):
        torch.testing.assert_close(compiled(*arguments(rows)), Sweep()(*arguments(rows)))
    assert len(graphs) == 1


def test_exports() -> None:
    rows = torch.export.Dim("rows", min=4)
    program = torch.export.export(Sweep(), arguments(8), dynamic_shapes=({0: rows}, {1: rows}, None))

    torch.testing.assert_close(program.module()(*arguments(11)), Sweep()(*arguments(11)))


def test_vmap_steps_through_each_of_the_stacked_models() -> None:
    weights, live = drawn((3, 6, 5), torch.float32, 0.2), flags(5, 0)
    found = torch.vmap(lambda weight: ops.reach_targets(weight, live))(weights)

    assert found.equal(torch.stack([ops.reach_targets(weight, live) for weight in weights]))


W = torch.ones(4, 3)
THREE, FOUR = torch.ones(3, dtype=torch.bool), torch.ones(4, dtype=torch.bool)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ops.reach_targets(W[0], THREE), r"reach_targets: expected a weight of shape \(rows, columns, ...\)"),
        (
            lambda: ops.reach_targets(W, FOUR),
            r"live: expected bool of shape \(3,\) on cpu, got torch.bool of shape \(4,\)",
        ),
        (lambda: ops.reach_targets(W, THREE.float()), "live: expected bool of shape .*, got torch.float32"),
        (lambda: ops.reach_sources(W, THREE), r"reach_sources: co: expected bool of shape \(4,\)"),
        (lambda: ops.reach_sources(W, FOUR.to("meta")), "co: expected bool .* on cpu, got .* on meta"),
        (lambda: ops.reach_sources(W, FOUR, groups=3), "expected groups that divide 4 rows, got 3"),
        (lambda: ops.reach_sources(W, FOUR, groups=0), "expected groups that divide 4 rows, got 0"),
        (
            lambda: ops.count_consistent(W, THREE, FOUR, size=(4, 3)),
            r"expected bits of dtype torch.uint8 and shape \(2,\) for \(4, 3\), got torch.float32 and \(4, 3\)",
        ),
    ],
)
def test_errors_say_what_is_wrong(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


BITS = torch.zeros(2, dtype=torch.uint8)
HUGE = 2**62


@pytest.mark.skipif(ops.library is None, reason="the compiled operators are missing")
@pytest.mark.parametrize(
    "call",
    [
        lambda: OPERATORS.reach_targets(W, [], FOUR, 1),
        lambda: OPERATORS.reach_targets(W.t(), [], FOUR, 1),
        lambda: OPERATORS.reach_targets(W.int(), [], THREE, 1),
        lambda: OPERATORS.reach_targets(W, [], THREE, 0),
        lambda: OPERATORS.reach_targets(BITS, [4, 5], torch.ones(5, dtype=torch.bool), 1),
        lambda: OPERATORS.reach_targets(BITS, [4, -3], THREE, 1),
        lambda: OPERATORS.reach_targets(BITS, [HUGE, 4], FOUR, 1),
        lambda: OPERATORS.reach_targets(BITS, [0, HUGE, HUGE], FOUR, 4),
        lambda: OPERATORS.reach_targets(BITS[:0], [0, 0], THREE[:0], HUGE),
        lambda: OPERATORS.reach_sources(W, [], THREE, 1),
        lambda: OPERATORS.count_consistent(W, [], FOUR, FOUR, 1),
        lambda: OPERATORS.count_consistent(W, [], THREE, THREE, 1),
    ],
)
def test_the_bare_operators_never_touch_memory_that_is_not_theirs(call) -> None:
    with pytest.raises(RuntimeError, match="arguments that do not fit"):
        call()
