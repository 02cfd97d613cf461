"""Plans: exact both ways, equal after being saved, and closed to tables that no mask leads to."""

import pytest
import torch

import prune_adapters as pa
from prune_adapters.plans.panels import WIDEST

SHAPES = [(1, 1), (5, 7), (40, 33), (0, 5), (5, 0), (64, 130)]
TABLES = ("ptr", "idx", "t_ptr", "t_idx", "t_perm")


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def random_mask(*size: int, density: float, seed: int = 0) -> torch.Tensor:
    return torch.rand(size, generator=generator(seed)) < density


def sparse_plan(seed: int = 0) -> pa.SparsePlan:
    return pa.SparsePlan.from_mask(random_mask(9, 14, density=0.4, seed=seed), panel=5, t_panel=4)


def block_plan(seed: int = 0) -> pa.BlockPlan:
    return pa.BlockPlan.from_blocks(random_mask(4, 6, density=0.5, seed=seed), block=(2, 3))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("density", [0.0, 0.1, 0.5, 1.0])
@pytest.mark.parametrize("panel", [None, 1, 7, WIDEST])
def test_masks_and_weights_go_there_and_back(shape, density, panel) -> None:
    mask = random_mask(*shape, density=density)
    plan = pa.SparsePlan.from_mask(mask, panel=panel, t_panel=panel)
    weight = torch.randn(shape, generator=generator(1), dtype=torch.float64)
    values = plan.from_dense(weight)

    assert (plan.shape, plan.n_values, values.shape) == (shape, int(mask.sum()), (plan.n_values,))
    assert torch.equal(plan.mask(), mask)
    assert torch.equal(plan.to_dense(values), weight * mask)
    assert torch.equal(plan.from_dense(plan.to_dense(values)), values)
    assert plan.density == pytest.approx(mask.double().mean().item() if mask.numel() else 0)


def test_drawn_plan() -> None:
    """Columns 0 and 1 are the first panel, column 2 the second."""
    plan = pa.SparsePlan.from_mask(torch.tensor([[1, 0, 1], [0, 1, 0]]).bool(), panel=2, t_panel=1)

    assert plan.ptr.tolist() == [[0, 1, 2], [2, 3, 3]]
    assert plan.idx.tolist() == [0, 1, 0]
    assert plan.places().tolist() == [0, 4, 2]
    assert plan.t_ptr.tolist() == [[0, 1, 1, 2], [2, 2, 3, 3]]
    assert plan.t_idx.tolist() == [0, 0, 0]
    assert plan.t_perm.tolist() == [0, 2, 1]


def test_drawn_plan_of_blocks() -> None:
    plan = pa.BlockPlan.from_blocks(torch.tensor([[1, 0, 1], [0, 1, 0]]).bool(), block=(2, 1))

    assert (plan.shape, plan.groups, plan.n_blocks, plan.n_values) == ((4, 3), (2, 3), 3, 6)
    assert [table.tolist() for table in plan.tables] == [[0, 2, 3], [0, 2, 1], [0, 1, 2, 3], [0, 1, 0], [0, 2, 1]]
    assert plan.mask().int().tolist() == [[1, 0, 1], [1, 0, 1], [0, 1, 0], [0, 1, 0]]


@pytest.mark.parametrize("groups", SHAPES)
@pytest.mark.parametrize("block", [(1, 1), (2, 3), (8, 16)])
@pytest.mark.parametrize("kernel", [(), (3, 3)])
def test_blocks_go_there_and_back(groups, block, kernel) -> None:
    blocks = random_mask(*groups, density=0.4)
    plan = pa.BlockPlan.from_blocks(blocks, block=block)
    mask = blocks.repeat_interleave(block[0], 0).repeat_interleave(block[1], 1)
    weight = torch.randn(*mask.shape, *kernel, generator=generator(1))
    kept = mask.view(*mask.shape, *[1] * len(kernel)).expand(weight.shape)
    values = plan.from_dense(weight)

    assert values.shape == (int(blocks.sum()), *block, *kernel)
    assert torch.equal(plan.mask(), mask)
    assert torch.equal(plan.to_dense(values), weight * kept)
    assert pa.BlockPlan.from_mask(kept, block=block) == plan
    assert plan.density == pytest.approx(blocks.double().mean().item() if blocks.numel() else 0)


@pytest.mark.parametrize("make", [sparse_plan, block_plan])
def test_gradients_flow_through_dense_and_sparse(make) -> None:
    plan = make()
    weight = torch.randn(plan.shape, requires_grad=True, generator=generator(0))
    values = plan.from_dense(weight)
    (plan.to_dense(values) * 3).sum().backward()

    assert torch.equal(weight.grad, 3.0 * plan.mask())


@pytest.mark.parametrize("make", [sparse_plan, block_plan])
def test_saved_and_loaded(make) -> None:
    plan = make()
    state = plan.state()
    loaded = type(plan).from_state({name: table.clone() for name, table in state.items()})

    assert all(isinstance(table, torch.Tensor) for table in state.values())
    assert loaded == plan
    assert loaded != make(seed=1)
    assert plan != "a plan"
    assert loaded.to("cpu") == plan
    assert plan.to("meta").device.type == "meta"
    with pytest.raises(TypeError, match="unhashable"):
        hash(plan)


def test_a_plan_never_changes() -> None:
    with pytest.raises(AttributeError, match="cannot assign"):
        sparse_plan().panel = 3  # type: ignore[misc]


def assert_same_mask(plan: pa.SparsePlan | pa.BlockPlan) -> None:
    """Hold that a plan that was let in is one that its mask leads to."""
    if isinstance(plan, pa.SparsePlan):
        assert pa.SparsePlan.from_mask(plan.mask(), panel=plan.panel, t_panel=plan.t_panel) == plan
    else:
        assert pa.BlockPlan.from_mask(plan.mask(), block=plan.block) == plan


def corrupted(table: torch.Tensor, draws: torch.Generator) -> torch.Tensor:
    """Return the table with one thing changed: an element, the order, the length, the dtype or the dimensions."""

    def draw(n: int) -> int:
        return int(torch.randint(n, (1,), generator=draws))

    kind = draw(8)
    if kind == 0:
        return table[: draw(len(table) + 1)]
    if kind == 1:
        return table.to(torch.int64 if table.dtype != torch.int64 else torch.int32)
    if kind == 2:
        return table.unsqueeze(draw(2))
    if kind == 3 and table.numel():
        return table.flatten()[torch.randperm(table.numel(), generator=draws)].view(table.shape)
    changed = table.clone()
    if table.numel():
        extreme = [0, 1, -1, torch.iinfo(table.dtype).max, torch.iinfo(table.dtype).min, draw(20)][draw(6)]
        changed.view(-1)[draw(table.numel())] = extreme
    return changed


@pytest.mark.parametrize("make", [sparse_plan, block_plan])
def test_corrupted_states_are_refused_or_harmless(make) -> None:
    draws = generator(0)
    refused = 0
    for case in range(600):
        plan = make(seed=case % 5)
        state = plan.state()
        name = list(state)[int(torch.randint(len(state), (1,), generator=draws))]
        state[name] = corrupted(state[name], draws)
        try:
            loaded = type(plan).from_state(state)
        except pa.PlanError:
            refused += 1
            continue
        assert_same_mask(loaded)

    assert refused > 300


@pytest.mark.parametrize("make", [sparse_plan, block_plan])
def test_operators_take_any_tables_without_a_crash(make) -> None:
    """The constructor does not check: what is wrong raises when it is used, or leads to some other numbers."""
    draws = generator(1)
    for case in range(400):
        plan = make(seed=case % 5)
        fields = {name: getattr(plan, name) for name in plan.__dataclass_fields__}
        name = TABLES[int(torch.randint(len(TABLES), (1,), generator=draws))]
        fields[name] = corrupted(fields[name], draws)
        wrong = type(plan)(**fields)
        values = plan.from_dense(torch.ones(plan.shape)).requires_grad_()
        for batch in (1, 6):
            x = torch.ones(batch, plan.shape[1], requires_grad=True)
            try:
                wrong.linear(x, values).sum().backward()
            except (ValueError, RuntimeError, IndexError):
                continue


def far_down(plan: pa.SparsePlan | pa.BlockPlan) -> dict[str, torch.Tensor]:
    """Return the state with a step in ptr that is too far down for int32, so that its difference comes out above 0."""
    ptr = plan.ptr.clone()
    ptr[..., 1], ptr[..., 2] = 2**31 - 1, -5
    return plan.state() | {"ptr": ptr}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: pa.SparsePlan.from_mask(torch.ones(3, 4)), "expected a mask of dtype torch.bool, got torch.float32"),
        (lambda: pa.SparsePlan.from_mask(torch.ones(3).bool()), r"expected a mask of shape \(out, in\), got \(3,\)"),
        (lambda: pa.SparsePlan.from_mask(torch.ones(3, 4).bool(), panel=0), "a panel of 1 to 32768 columns, got 0"),
        (lambda: pa.SparsePlan.from_mask(torch.ones(3, 4).bool(), t_panel=40_000), "1 to 32768 columns, got 40000"),
        (
            lambda: pa.SparsePlan.from_mask(torch.zeros(1, 1).bool().expand(1 << 16, 1 << 16)),
            r"fewer than 2 \*\* 31 elements, got a mask of \(65536, 65536\)",
        ),
        (
            lambda: pa.SparsePlan.from_state(
                sparse_plan().state() | {"numbers": torch.tensor([1 << 16, 1 << 16, 1, 1])}
            ),
            r"fewer than 2 \*\* 31 elements, got \(65536, 65536\)",
        ),
        (lambda: sparse_plan().from_dense(torch.ones(9, 15)), r"expected shape \(9, 14\), got \(9, 15\)"),
        (lambda: sparse_plan().to_dense(torch.ones(3)), r"SparsePlan.to_dense: expected shape \(\d+,\), got \(3,\)"),
        (
            lambda: sparse_plan().from_dense(torch.ones(9, 14, device="meta")),
            r"expected a tensor on cpu, got meta; move the plan with plan.to\(...\)",
        ),
        (lambda: pa.SparsePlan.from_state({}), "expected a tensor 'numbers' in the state, got NoneType"),
        (
            lambda: pa.SparsePlan.from_state(sparse_plan().state() | {"idx": torch.zeros(3)}),
            "expected idx of dtype torch.int16, got torch.float32",
        ),
        (
            lambda: pa.SparsePlan.from_state(sparse_plan().state() | {"t_perm": sparse_plan().t_perm.flip(0)}),
            "t_perm does not agree with ptr and idx; make the plan anew with from_mask",
        ),
        (
            lambda: pa.SparsePlan.from_state(sparse_plan().state() | {"idx": sparse_plan().idx * 0 + 5}),
            "expected columns from 0 to 4 within 14, got 5",
        ),
        (
            lambda: pa.SparsePlan.from_state(sparse_plan().state() | {"idx": sparse_plan().idx * 0}),
            "expected the columns of a row to go up, each once",
        ),
        (
            lambda: pa.SparsePlan.from_state(sparse_plan().state() | {"ptr": sparse_plan().ptr * 0}),
            "expected ptr to go up from 0 to",
        ),
        (
            lambda: pa.BlockPlan.from_mask(torch.ones(4, 6).bool(), block=(3, 3)),
            r"a shape that blocks of \(3, 3\) fill, got \(4, 6\)",
        ),
        (
            lambda: pa.BlockPlan.from_mask(torch.eye(4).bool(), block=(2, 2)),
            r"expected whole blocks of \(2, 2\), got a part of block \(0, 0\)",
        ),
        (lambda: pa.BlockPlan.from_mask(torch.eye(4).bool(), block=(0, 2)), r"both at least 1, got \(0, 2\)"),
        (
            lambda: pa.BlockPlan.from_blocks(torch.ones(9, 9).bool(), block=(1 << 14, 1 << 14)),
            r"fewer than 2 \*\* 31 elements, got a matrix of \(147456, 147456\)",
        ),
        (
            lambda: pa.BlockPlan.from_state(block_plan().state() | {"idx": block_plan().idx + 5}),
            "expected block columns from 0 to 5, got",
        ),
        (
            lambda: pa.BlockPlan.from_state(block_plan().state() | {"ptr": block_plan().ptr[:0]}),
            "expected ptr to go up from 0 to",
        ),
        *(
            (lambda p=p: type(p).from_state(far_down(p)), "expected ptr to go up")
            for p in (sparse_plan(), block_plan())
        ),
    ],
)
def test_errors_say_what_is_wrong(call, message: str) -> None:
    with pytest.raises(pa.PlanError, match=message):
        call()
