"""Selection: exact counts, ties, scopes, and effective targets against a plain search."""

import copy
import pickle
from itertools import pairwise

import numpy as np
import pytest
import torch

import netgraph as ng
import prune_adapters as pa
from chains import chain
from netgraph.reach import sweep, trim
from prune_adapters.budgets import layer_budgets
from prune_adapters.select import Selection

LENET = [784, 300, 100, 10]
SCOPES = ["global", "layer", "erk", "igq"]


def uniform_scores(graph: ng.NetGraph, seed: int) -> dict[str, torch.Tensor]:
    draw = np.random.default_rng(seed)
    shapes = {name: info.shape for name, info in graph.parameters.items()}
    return {name: torch.from_numpy(draw.random(shape, dtype=np.float32)) for name, shape in shapes.items()}


def by_sorting(scores: dict[str, torch.Tensor], kept: int) -> list[bool]:
    """Return the flat global mask, found by a stable sort of everything."""
    flat = torch.cat([score.reshape(-1).double() for score in scores.values()]).tolist()
    order = sorted(range(len(flat)), key=lambda i: -flat[i])
    chosen = set(order[:kept])
    return [i in chosen for i in range(len(flat))]


def consistent(graph: ng.NetGraph, masks: dict[str, torch.Tensor]) -> int:
    trimmed = trim(graph.with_masks({name: mask.numpy() for name, mask in masks.items()})).masks()
    return sum(int(np.count_nonzero(trimmed[name])) for name in masks)


def flat(masks: dict[str, torch.Tensor]) -> list[bool]:
    return torch.cat([mask.reshape(-1) for mask in masks.values()]).tolist()


def test_drawn_scores() -> None:
    scores = {"a": torch.tensor([[4.0, 1.0], [2.0, 3.0]]), "b": torch.tensor([0.5, 9.0])}

    assert flat(pa.masks_from_scores(scores, sparsity=0.5)) == [1, 0, 0, 1, 0, 1]
    assert flat(pa.masks_from_scores(scores, sparsity=0.5, scope="layer")) == [1, 0, 0, 1, 0, 1]
    assert flat(pa.masks_from_scores(scores, sparsity=2 / 3)) == [1, 0, 0, 0, 0, 1]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("seed", range(4))
def test_global_equals_a_stable_sort(seed: int, dtype: torch.dtype) -> None:
    draw = torch.Generator().manual_seed(seed)
    scores = {
        n: torch.randn(shape, generator=draw).mul(3).round().to(dtype) for n, shape in (("a", (7, 9)), ("b", (40,)))
    }

    for sparsity in (0.0, 0.1, 0.37, 0.5, 0.93, 1.0):
        masks = pa.masks_from_scores(scores, sparsity=sparsity)

        assert masks.direct == 103 - round(sparsity * 103)
        assert flat(masks) == by_sorting(scores, masks.direct)


def test_equal_scores_keep_the_earlier_parameter_then_the_lower_index() -> None:
    scores = {"a": torch.zeros(2, 2), "b": torch.zeros(3)}

    assert flat(pa.masks_from_scores(scores, sparsity=2 / 7)) == [1, 1, 1, 1, 1, 0, 0]
    assert flat(pa.masks_from_scores(scores, sparsity=0.5, scope="layer")) == [1, 1, 0, 0, 1, 0, 0]


def test_zeros_of_both_signs_are_equal_and_infinities_have_their_place() -> None:
    inf = float("inf")
    scores = {"a": torch.tensor([-0.0, 0.0, -inf, inf, -1.0, inf])}
    keep = {k: flat(pa.masks_from_scores(scores, sparsity=1 - k / 6)) for k in range(7)}

    assert keep[0] == [0, 0, 0, 0, 0, 0]
    assert keep[1] == [0, 0, 0, 1, 0, 0]
    assert keep[3] == [1, 0, 0, 1, 0, 1]
    assert keep[5] == [1, 1, 0, 1, 1, 1]
    assert keep[6] == [1, 1, 0, 1, 1, 1]  # -inf is never kept


def test_mixed_dtypes_are_compared_by_value() -> None:
    near = 1.0 + 2.0**-40
    scores = {"a": torch.tensor([1.0]), "b": torch.tensor([near], dtype=torch.float64)}

    assert flat(pa.masks_from_scores(scores, sparsity=0.5)) == [0, 1]


def test_half_of_a_weight_rounds_to_even() -> None:
    assert pa.masks_from_scores({"a": torch.arange(5.0)}, sparsity=0.5).direct == 3
    assert pa.masks_from_scores({"a": torch.arange(7.0)}, sparsity=0.5).direct == 3


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("sparsity", [0.0, 0.123, 0.9, 0.999, 1.0])
def test_every_scope_removes_the_exact_number(scope: str, sparsity: float) -> None:
    graph = chain([50, 30, 20, 4])
    masks = pa.masks_from_scores(uniform_scores(graph, 0), sparsity=sparsity, scope=scope)

    if scope == "layer":
        assert all(int((~m).sum()) == round(sparsity * m.numel()) for m in masks.values())
    else:
        assert masks.total - masks.direct == round(sparsity * 2180)
    assert masks.direct == masks.requested == masks.achieved


@pytest.mark.parametrize("rule", ["layer", "erk", "igq"])
def test_budgets_add_up_and_grow_with_the_total(rule: str) -> None:
    shapes = [(6, 5), (3, 6), (3, 6), (0, 4), (1, 3, 2, 2)]
    budgets = [layer_budgets(shapes, kept, rule=rule) for kept in range(79)]

    for kept, (budget, following) in enumerate(zip(budgets, [*budgets[1:], budgets[-1]], strict=True)):
        assert sum(budget) == kept
        assert all(0 <= b <= f <= np.prod(shape) for b, f, shape in zip(budget, following, shapes, strict=True))


def test_erk_fills_small_layers_and_hands_on_the_excess() -> None:
    found = layer_budgets([(100, 100), (2, 100)], 3000, rule="erk")

    assert found == [2800, 200]


def test_erk_density_is_proportional_to_sum_over_product() -> None:
    convolution, linear = layer_budgets([(64, 32, 3, 3), (100, 200)], 2000, rule="erk")

    assert convolution / linear == pytest.approx((64 + 32 + 3 + 3) / 300, rel=0.01)


def test_igq_density_is_that_of_one_common_force() -> None:
    sizes = np.array([235200, 30000, 1000])
    kept = np.array(layer_budgets([(300, 784), (100, 300), (10, 100)], 26620, rule="igq"))
    force = (sizes / kept - 1) / sizes

    assert force == pytest.approx(force.mean(), rel=0.01)


@pytest.mark.parametrize("scope", ["global", "erk", "igq"])
@pytest.mark.parametrize("seed", range(6))
def test_effective_target_equals_a_search_over_all_prefixes(scope: str, seed: int) -> None:
    graph = chain([5, 4, 4, 3])
    scores = uniform_scores(graph, seed)
    counts = []
    for kept in range(49):
        prefix = pa.masks_from_scores(scores, sparsity=1 - kept / 48, scope=scope)
        counts.append(consistent(graph, prefix))
    for wanted in (0, 5, 12, 30, 48):
        masks = pa.masks_from_scores(scores, sparsity=1 - wanted / 48, scope=scope, target="effective", graph=graph)

        assert masks.requested == wanted
        assert masks.achieved == masks.effective == max(c for c in counts if c <= wanted) == consistent(graph, masks)
        assert masks.direct == counts.index(masks.effective)


@pytest.mark.parametrize("scope", SCOPES)
def test_a_denser_mask_contains_the_sparser_ones(scope: str) -> None:
    scores = {name: (10 * score).round() for name, score in uniform_scores(chain([9, 7, 7, 3]), 0).items()}
    masks = [flat(pa.masks_from_scores(scores, sparsity=1 - kept / 133, scope=scope)) for kept in range(134)]

    for sparser, denser in pairwise(masks):
        assert all(d >= s for s, d in zip(sparser, denser, strict=True))


def test_effective_target_with_layers_is_uniform() -> None:
    graph = chain(LENET)
    masks = pa.masks_from_scores(uniform_scores(graph, 0), sparsity=0.9, scope="layer", target="effective", graph=graph)
    densities = [float(mask.float().mean()) for mask in masks.values()]

    assert masks.effective == masks.requested == 26620
    assert densities == pytest.approx([densities[0]] * 3, abs=1e-3)


def test_a_target_that_single_weights_overshoot_is_reported() -> None:
    graph = chain([30, 1, 30])
    scores = {"w1": torch.full((1, 30), 2.0), "w2": torch.full((30, 1), 1.0)}

    with pytest.warns(UserWarning, match=r"effective target missed: 20 weights requested, 0 achieved \(20 fewer\)"):
        masks = pa.masks_from_scores(scores, sparsity=2 / 3, target="effective", graph=graph)

    assert masks.direct == 0
    assert masks.note is not None


def test_shared_elements_count_once() -> None:
    index = ng.ElementIndex(0, (4, 2, 1, 1))
    uses = [ng.Connection("w", a, b, 2, 2, index=index) for a, b in (("x", "h"), ("h", "y"))]
    graph = ng.NetGraph({"x": 2, "h": 2, "y": 2}, uses, bits=[0b1111, 0b1111], inputs=[0, 1], outputs=[4, 5])
    scores = {"w": torch.tensor([4.0, 1.0, 2.0, 3.0])}

    masks = pa.masks_from_scores(scores, sparsity=0.5, target="effective", graph=graph)

    assert masks.effective == masks.direct == 2
    assert masks["w"].tolist() == [True, False, False, True]


def test_parameters_without_scores_keep_their_mask_in_the_graph() -> None:
    graph = chain([3, 2, 2]).with_masks({"w2": np.array([[True, False], [False, False]])})
    scores = {"w1": torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])}

    masks = pa.masks_from_scores(scores, sparsity=0.5, target="effective", graph=graph)

    assert masks["w1"].tolist() == [[True] * 3, [True] * 3]
    assert (masks.effective, masks.direct) == (3, 6)


def test_a_graph_adds_the_effective_count_to_a_direct_target() -> None:
    graph = chain([2, 2, 1])
    scores = {"w1": torch.tensor([[4.0, 1.0], [1.0, 5.0]]), "w2": torch.tensor([[3.0, 0.0]])}

    masks = pa.masks_from_scores(scores, sparsity=0.5, graph=graph)

    assert (masks.direct, masks.effective) == (3, 2)
    assert masks.sparsity == 0.5
    assert masks.effective_sparsity == pytest.approx(2 / 3)
    assert repr(masks) == "Selection: 3 of 6 weights kept, 3 requested (direct), 2 consistent"


FIGURES = [
    ("layer", 10, 0.964, 10.4),
    ("layer", 100, 0.092, 1069),
    ("erk", 100, 0.861, 116),
    ("erk", 1000, 0.052, 19014),
    ("igq", 100, 0.978, 102),
    ("igq", 1000, 0.18, 5725),
]
"""Share of kept edges that are consistent, and median effective compression, of random masks on LeNet-300-100.

Measured once by another program after Vysogorets and Kempe (JMLR 24(99), 2023), as the mean and median of 10 masks.
"""


@pytest.mark.parametrize(("scope", "compression", "share", "effective"), FIGURES)
def test_effective_compression_of_random_masks(scope: str, compression: int, share: float, effective: float) -> None:
    graph = chain(LENET)
    drawn = [
        pa.masks_from_scores(uniform_scores(graph, seed), sparsity=1 - 1 / compression, scope=scope, graph=graph)
        for seed in range(10)
    ]
    shares = [masks.effective / masks.direct for masks in drawn]
    compressions = [masks.total / max(masks.effective, 1) for masks in drawn]

    assert np.mean(shares) == pytest.approx(share, rel=0.03 if share > 0.5 else 0.35)
    assert np.median(compressions) == pytest.approx(effective, rel=0.03 if share > 0.5 else 0.35)


def test_counts_above_2_to_the_24_are_exact() -> None:
    size = 2**24 + 3
    scores = {"a": torch.ones(size, dtype=torch.float16), "b": torch.zeros(3, dtype=torch.float16)}

    masks = pa.masks_from_scores(scores, sparsity=1 / (size + 3))

    assert masks.total - masks.direct == 1
    assert masks["a"].all()
    assert masks["b"].tolist() == [True, True, False]


def test_the_result_does_not_depend_on_threads_or_layout() -> None:
    score = torch.arange(24.0).reshape(4, 6) % 5
    threads = torch.get_num_threads()
    masks = []
    for number in (1, 2):
        torch.set_num_threads(number)
        masks.append(pa.masks_from_scores({"w": score}, sparsity=0.4)["w"])
    torch.set_num_threads(threads)
    strided = pa.masks_from_scores({"w": score.T.contiguous().T}, sparsity=0.4)["w"]

    assert torch.equal(masks[0], masks[1])
    assert torch.equal(masks[0], strided)


def test_scores_are_not_changed() -> None:
    score = torch.tensor([3.0, -0.0, 2.0])
    before = score.clone()
    pa.masks_from_scores({"w": score}, sparsity=0.5)

    assert torch.equal(torch.signbit(score), torch.signbit(before))
    torch.testing.assert_close(score, before)


def test_an_empty_parameter_is_no_obstacle() -> None:
    masks = pa.masks_from_scores({"a": torch.zeros(0, 3), "b": torch.arange(4.0)}, sparsity=0.5, scope="igq")

    assert masks["a"].shape == (0, 3)
    assert masks["b"].tolist() == [False, False, True, True]
    assert pa.masks_from_scores({"a": torch.zeros(0, 3)}, sparsity=0.5).sparsity == 0.0


def test_a_selection_can_be_copied_and_pickled() -> None:
    masks = pa.masks_from_scores({"a": torch.arange(4.0)}, sparsity=0.5)

    for twin in (copy.deepcopy(masks), pickle.loads(pickle.dumps(masks))):
        assert isinstance(twin, Selection)
        assert (twin.requested, twin.direct, flat(twin)) == (2, 2, flat(masks))


@pytest.mark.parametrize(
    ("scores", "options", "message"),
    [
        ({}, {}, r"scores: expected at least one parameter, got none"),
        ({"a": torch.tensor([1.0, float("nan")])}, {}, r"scores for 'a': 1 of 2 are NaN"),
        ({"a": torch.tensor([1, 2])}, {}, r"scores for 'a': expected a float tensor, got torch.int64"),
        ({"a": np.ones(2)}, {}, r"scores for 'a': expected a float tensor, got ndarray"),
        ({"a": torch.ones(2)}, {"sparsity": 1.5}, r"sparsity: expected the fraction to remove, in \[0, 1\], got 1.5"),
        ({"a": torch.ones(2)}, {"sparsity": float("nan")}, r"sparsity: expected the fraction to remove"),
        ({"a": torch.ones(2)}, {"scope": "local"}, r"scope: expected one of 'global', .*'igq', got 'local'"),
        ({"a": torch.ones(2)}, {"target": "active"}, r"target: expected one of 'direct', 'effective', got 'active'"),
        (
            {"a": torch.ones(2)},
            {"target": "effective"},
            r"target 'effective': expected a graph to count in; pass",
        ),
        ({"a": torch.ones(2)}, {"graph": chain([2, 1])}, r"scores for 'a': got shape \(2,\), the graph has no such"),
        ({"w1": torch.ones(2)}, {"graph": chain([2, 1])}, r"scores for 'w1': got shape \(2,\), the graph has \(1, 2\)"),
    ],
)
def test_bad_arguments(scores: dict[str, torch.Tensor], options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        pa.masks_from_scores(scores, **{"sparsity": 0.5} | options)


def test_everything_removed_is_an_answer() -> None:
    graph = chain([3, 2])
    masks = pa.masks_from_scores(uniform_scores(graph, 0), sparsity=1.0, target="effective", graph=graph)

    assert (masks.direct, masks.effective, masks.note) == (0, 0, None)
    assert sweep(graph.with_masks({n: m.numpy() for n, m in masks.items()})).consistent.sum() == 0
