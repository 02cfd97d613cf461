"""The plans of sparse convolutions: masks to tables and back, and states that are checked."""

import pytest
import torch

import conv_oracle as oracle
import prune_adapters as pa

PLANS = {"pair": pa.PairPlan, "sparse": pa.TapPlan}
each_family = pytest.mark.parametrize("family", PLANS)


def random_mask(family: str, *shape: int, density: float = 0.4, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    if family == "sparse":
        return torch.rand(shape, generator=generator) < density
    return (torch.rand(*shape[:2], 1, 1, generator=generator) < density).expand(shape).contiguous()


def plan_of(family: str, *, seed: int = 0) -> pa.PairPlan | pa.TapPlan:
    return PLANS[family].from_mask(random_mask(family, 6, 5, 3, 2, seed=seed))


@each_family
@pytest.mark.parametrize("shape", [(6, 5, 3, 2), (1, 1, 1, 1), (3, 1, 3, 3), (0, 4, 3, 3), (4, 0, 3, 3)])
@pytest.mark.parametrize("density", [0.0, 0.3, 1.0])
def test_a_mask_and_back(family: str, shape: tuple[int, ...], density: float) -> None:
    mask = random_mask(family, *shape, density=density)
    plan = PLANS[family].from_mask(mask)
    weight = torch.randn(shape)
    values = plan.from_dense(weight)

    assert plan.shape == shape
    assert plan.n_values == values.numel() == int(mask.sum())
    assert plan.density == pytest.approx(mask.double().mean().nan_to_num().item())
    torch.testing.assert_close(plan.mask(), mask)
    torch.testing.assert_close(plan.to_dense(values), weight * mask, rtol=0, atol=0)


@each_family
def test_the_tables_are_those_made_by_hand(family: str) -> None:
    plan = plan_of(family)
    mask = plan.mask().numpy()
    expected = oracle.tables(family, mask if family == "sparse" else mask.any((2, 3)))

    assert [table.dtype for table in plan.tables] == [torch.int32] * 5
    for table, wanted in zip(plan.tables, expected, strict=True):
        torch.testing.assert_close(table, torch.from_numpy(wanted))


def test_drawn_plans() -> None:
    pairs = pa.PairPlan.from_mask(torch.tensor([[True, False, True], [False, False, True]])[:, :, None, None])
    taps = pa.TapPlan.from_mask(torch.tensor([[[[True, False]], [[False, True]]], [[[True, True]], [[False, False]]]]))

    assert [table.tolist() for table in pairs.tables] == [[0, 2, 3], [0, 2, 2], [0, 1, 1, 3], [0, 0, 1], [0, 1, 2]]
    assert [table.tolist() for table in taps.tables] == [[0, 2, 4], [0, 3, 0, 1], [0, 3, 4], [0, 2, 3, 1], [0, 2, 3, 1]]
    assert repr(pairs) == "PairPlan(2 x 3 x 1 x 1, 3 pairs, density 0.5)"
    assert repr(taps) == "TapPlan(2 x 2 x 1 x 2, 4 values, density 0.5)"


@each_family
def test_the_convolution_is_that_of_the_dense_weight(family: str) -> None:
    plan = plan_of(family)
    weight, x, bias = torch.randn(plan.shape), torch.randn(4, 5, 8, 9), torch.randn(6)
    y = plan.conv2d(x, plan.from_dense(weight), bias, stride=2, padding=(1, 2), dilation=(2, 1))
    expected = torch.nn.functional.conv2d(x, weight * plan.mask(), bias, 2, (1, 2), (2, 1))

    torch.testing.assert_close(y, expected, rtol=1e-4, atol=1e-4)


def test_the_convolution_of_blocks_is_that_of_the_dense_weight() -> None:
    mask = random_mask("pair", 3, 2, 3, 2).repeat_interleave(4, 0).repeat_interleave(5, 1)
    plan = pa.BlockPlan.from_mask(mask, block=(4, 5))
    weight, x, bias = torch.randn(mask.shape), torch.randn(4, 10, 8, 9), torch.randn(12)
    y = plan.conv2d(x, plan.from_dense(weight), bias, stride=2, padding=(1, 2), dilation=(2, 1))
    expected = torch.nn.functional.conv2d(x, weight * mask, bias, 2, (1, 2), (2, 1))

    torch.testing.assert_close(y, expected, rtol=1e-4, atol=1e-4)


@each_family
def test_gradients_flow_from_dense_and_to_dense(family: str) -> None:
    plan = plan_of(family)
    weight = torch.randn(plan.shape, requires_grad=True)
    plan.to_dense(plan.from_dense(weight) * 2).sum().backward()

    torch.testing.assert_close(weight.grad, plan.mask() * 2.0)


@each_family
def test_a_state_and_back(family: str) -> None:
    plan = plan_of(family)
    again = PLANS[family].from_state(plan.state())

    assert again == plan
    assert again.shape == plan.shape
    assert plan != plan_of(family, seed=1)
    assert plan != "a plan"
    assert plan_of("pair") != plan_of("sparse")
    with pytest.raises(TypeError, match="unhashable"):
        hash(plan)


@each_family
def test_plans_move_to_another_device(family: str) -> None:
    plan = plan_of(family)
    moved = plan.to("meta")

    assert (moved.device.type, plan.to("cpu") == plan) == ("meta", True)
    with pytest.raises(pa.PlanError, match=r"from_dense: expected a tensor on meta, got cpu"):
        moved.from_dense(torch.ones(plan.shape))


@each_family
@pytest.mark.parametrize("seed", range(150))
def test_a_damaged_state_is_refused_or_is_another_plan(family: str, seed: int) -> None:
    """Anything may be changed: what comes out is a PlanError, or a plan that keeps its promises."""
    generator = torch.Generator().manual_seed(seed)

    def draw(limit: int) -> int:
        return int(torch.randint(limit, (), generator=generator))

    plan = plan_of(family, seed=seed % 5)
    state = plan.state()
    name = list(state)[draw(6)]
    table = state[name].clone()
    kind = draw(7)
    if kind == 0:
        table = table[draw(3) :][: len(table) - draw(3)]
    elif kind == 1:
        table = table.to([torch.int64, torch.int16, torch.float32, torch.bool][draw(4)])
    elif kind == 2:
        table = table.repeat(2) if draw(2) else table[None]
    else:
        wrong = [-1, 0, 1, 2, 7, len(table), 2**31 - 1, -(2**31)]
        for _ in range(1 + draw(3)):
            table[draw(len(table))] = wrong[draw(len(wrong))]
    try:
        found = PLANS[family].from_state(state | {name: table})
    except pa.PlanError:
        return
    weight = torch.ones(found.shape)
    assert PLANS[family].from_mask(found.mask()) == found
    assert int(found.to_dense(found.from_dense(weight)).sum()) == found.n_values


@each_family
@pytest.mark.parametrize("name", ["shape", "ptr", "idx", "t_ptr", "t_idx", "t_perm"])
def test_a_missing_table_is_named(family: str, name: str) -> None:
    state = plan_of(family).state()
    del state[name]

    with pytest.raises(pa.PlanError, match=rf"Plan.from_state: expected a tensor '{name}' in the state, got NoneType"):
        PLANS[family].from_state(state)


def with_element(state: dict, name: str, place: int, value: int) -> dict:
    return state | {name: state[name].index_fill(0, torch.tensor([place]), value)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: with_element(s, "shape", 2, 0), r"expected kernels of at least 1 x 1, got .* \(6, 5, 0, 2\)"),
        (lambda s: with_element(s, "shape", 0, 2**29), r"expected fewer than 2 \*\* 31 elements"),
        (lambda s: with_element(s, "shape", 0, 2**62), r"expected fewer than 2 \*\* 31 elements"),
        (lambda s: with_element(s, "shape", 1, -5), r"expected kernels of at least 1 x 1"),
        (lambda s: with_element(s, "ptr", 1, 99), "expected ptr to go up from 0 to"),
        (lambda s: with_element(s, "idx", 1, 99), "expected idx from 0 to 4, got 99"),
        (lambda s: with_element(s, "idx", 1, int(s["idx"][0])), "expected the elements of an output channel to go up"),
        (lambda s: with_element(s, "t_perm", 0, 1), "t_perm does not agree with ptr and idx; make the plan anew"),
        (lambda s: with_element(s, "t_idx", 0, 5), "t_idx does not agree with ptr and idx"),
        (lambda s: s | {"t_ptr": s["t_ptr"].to("meta")}, "expected all tables on cpu, got t_ptr on meta"),
        (lambda s: s | {"idx": s["idx"].long()}, "expected idx of dtype torch.int32, got torch.int64"),
        (lambda s: s | {"ptr": s["ptr"][1:]}, r"expected ptr of shape \(7,\), got \(6,\)"),
    ],
)
def test_errors_of_states_say_what_is_wrong(change, message: str) -> None:
    state = pa.PairPlan.from_mask(torch.ones(6, 5, 3, 2, dtype=torch.bool)).state()

    with pytest.raises(pa.PlanError, match=message):
        pa.PairPlan.from_state(change(state))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: pa.TapPlan.from_mask(torch.ones(2, 2, 3, 3)),
            "TapPlan: expected a mask of dtype torch.bool",
        ),
        (
            lambda: pa.TapPlan.from_mask(torch.ones(2, 2, dtype=torch.bool)),
            r"expected a mask of shape \(out_channels, in_channels, height, width\), got \(2, 2\)",
        ),
        (lambda: pa.PairPlan.from_mask(torch.ones(2, 2, 0, 3, dtype=torch.bool)), "expected kernels of at least 1 x 1"),
        (
            lambda: pa.PairPlan.from_mask(torch.tensor([[[[True, False]], [[True, True]]]])),
            "expected each pair of channels kept or removed whole, got 1 of 2 kept in part; use TapPlan",
        ),
        (
            lambda: pa.TapPlan.from_mask(torch.ones(1, dtype=torch.bool).expand(2**16, 2**13, 3, 3)),
            r"expected fewer than 2 \*\* 31 elements, got a weight of shape \(65536, 8192, 3, 3\)",
        ),
        (
            lambda: plan_of("pair").from_dense(torch.ones(6, 5, 3, 3)),
            r"expected shape \(6, 5, 3, 2\), got \(6, 5, 3, 3\)",
        ),
        (lambda: plan_of("sparse").to_dense(torch.ones(3)), r"TapPlan.to_dense: expected shape \(\d+,\), got \(3,\)"),
    ],
)
def test_errors_say_what_is_wrong(call, message: str) -> None:
    with pytest.raises(pa.PlanError, match=message):
        call()
