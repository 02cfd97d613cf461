"""Masks with a pattern: exact counts in every group and block, ties, borders, against plain loops."""

from itertools import product

import pytest
import torch

import prune_adapters as pa
from netgraph.reach import trim
from networks import CASES

SHAPES = [(6, 8), (5, 7), (1, 1), (4, 3, 3, 3), (8, 1, 3, 3), (3, 9, 2), (2, 0), (0, 4)]
BLOCKS = [(1, 1), (2, 2), (3, 4), (1, None), (None, 1), (None, None), (100, 100)]


def drawn(shape: tuple[int, ...], seed: int = 0, *, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Return scores of few values, so that many are equal."""
    return torch.randint(0, 6, shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def by_loop(score: torch.Tensor, n: int, m: int) -> torch.Tensor:
    """Return the mask along dimension 1, one group after the other."""
    mask = torch.zeros(score.shape, dtype=torch.bool)
    for row in range(score.shape[0]):
        for tap in product(*map(range, score.shape[2:])):
            for start in range(0, score.shape[1], m):
                group = range(start, min(start + m, score.shape[1]))
                for column in sorted(group, key=lambda c: -score[(row, c, *tap)].item())[:n]:
                    mask[(row, column, *tap)] = True
    return mask


def blocks_of(shape: tuple[int, ...], rows: int | None, columns: int | None) -> list[tuple[slice, slice]]:
    starts = [range(0, size, step or max(size, 1)) for size, step in zip(shape, (rows, columns), strict=False)]
    return [(slice(r, r + (rows or shape[0])), slice(c, c + (columns or shape[1]))) for r, c in product(*starts)]


def test_drawn_two_of_four() -> None:
    """Equal scores keep the earlier; the last two are a short group and both stay."""
    score = torch.tensor([[1.0, 4.0, 3.0, 2.0, 5.0, 5.0, 5.0, 5.0, 0.0, -1.0]])

    assert pa.n_of_m_masks({"w": score})["w"].int().tolist() == [[0, 1, 1, 0, 1, 1, 0, 0, 1, 1]]
    assert pa.n_of_m_masks({"w": score}, n=1, m=5)["w"].int().tolist() == [[0, 0, 0, 0, 1, 1, 0, 0, 0, 0]]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("n", "m"), [(2, 4), (1, 4), (4, 8), (1, 2), (0, 3), (3, 3)])
def test_n_of_m_equals_a_loop(shape: tuple[int, ...], n: int, m: int) -> None:
    score = drawn(shape)

    torch.testing.assert_close(pa.n_of_m_masks({"w": score}, n=n, m=m)["w"], by_loop(score, n, m))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_any_dtype_and_infinities(dtype: torch.dtype) -> None:
    score = drawn((6, 10), dtype=dtype)
    score[:, ::3] = -torch.inf
    score[0, 1] = torch.inf

    torch.testing.assert_close(pa.n_of_m_masks({"w": score})["w"], by_loop(score, 2, 4))


@pytest.mark.parametrize("dim", [0, -1, -2])
def test_another_dimension(dim: int) -> None:
    score = drawn((9, 7))
    turned = score.movedim(dim, 1)

    torch.testing.assert_close(pa.n_of_m_masks({"w": score}, dim=dim)["w"], by_loop(turned, 2, 4).movedim(1, dim))


def test_two_of_four_on_a_network() -> None:
    model, x = CASES["resnet20_a"].model(), CASES["resnet20_a"].inputs()
    masks = pa.n_of_m_masks(pa.magnitude_scores(model))
    graph = pa.to_graph(pa.apply_masks(model, masks), x)

    assert masks.requested == masks.achieved == masks.direct
    assert masks.sparsity == pytest.approx(0.5, abs=0.01)
    assert trim(graph).bits.tolist() == graph.bits.tolist()


def test_drawn_blocks() -> None:
    score = torch.tensor([[3.0, 3.0, 1.0], [3.0, 3.0, 9.0], [4.0, 0.0, 4.0]])
    two = pa.block_masks({"w": score}, sparsity=0.5, block=(2, 2))
    row = pa.block_masks({"w": score}, sparsity=2 / 3, block="channel")

    assert two["w"].int().tolist() == [[0, 0, 1], [0, 0, 1], [0, 0, 1]]
    assert row["w"].int().tolist() == [[0, 0, 0], [1, 1, 1], [0, 0, 0]]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("sparsity", [0.0, 0.4, 1.0])
def test_blocks_go_whole_and_in_order(shape: tuple[int, ...], block: tuple, sparsity: float) -> None:
    score = drawn(shape, dtype=torch.float64)
    masks = pa.block_masks({"w": score}, sparsity=sparsity, block=block)
    blocks = [b for b in blocks_of(shape, *block) if score[b].numel()]
    order = sorted(blocks, key=lambda b: -score[b].mean().item())
    expected = torch.zeros(shape, dtype=torch.bool)
    for b in order[: len(blocks) - round(sparsity * len(blocks))]:
        expected[b] = True

    torch.testing.assert_close(masks["w"], expected)
    assert masks.direct == masks.requested == masks.achieved == int(expected.sum())


@pytest.mark.parametrize("scope", ["global", "layer", "erk", "igq"])
def test_the_number_of_blocks_is_exact_in_every_scope(scope: str) -> None:
    scores = {"a": drawn((12, 6, 3, 3)), "b": drawn((20, 12), 1), "c": drawn((4, 20), 2)}
    masks = pa.block_masks(scores, sparsity=0.7, block="channel", scope=scope)
    rows = {name: mask.flatten(1) for name, mask in masks.items()}
    kept = {name: int(r.any(dim=1).sum()) for name, r in rows.items()}

    assert all((r.any(dim=1) == r.all(dim=1)).all() for r in rows.values())
    assert sum(kept.values()) == (4 + 6 + 1 if scope == "layer" else 36 - 25)


def test_named_blocks() -> None:
    scores = {"w": drawn((5, 4, 3, 3), dtype=torch.float32)}
    for name, block in (("kernel", (1, 1)), ("channel", (1, None)), ("input", (None, 1))):
        named, sizes = (pa.block_masks(scores, sparsity=0.5, block=b) for b in (name, block))

        torch.testing.assert_close(named["w"], sizes["w"])


def test_squares_rank_blocks_by_their_norm() -> None:
    score = torch.tensor([[2.0, 2.0], [0.0, 3.0]])

    assert pa.block_masks({"w": score}, sparsity=0.5, block="channel")["w"].any(dim=1).tolist() == [True, False]
    assert pa.block_masks({"w": score**2}, sparsity=0.5, block="channel")["w"].any(dim=1).tolist() == [False, True]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n": 5}, r"n of m: expected 0 <= n <= m and m >= 1, got n=5 and m=4"),
        ({"n": 0, "m": 0}, r"n of m: expected 0 <= n <= m and m >= 1, got n=0 and m=0"),
        ({"dim": 2}, r"scores for 'w': expected at least 3 dimensions, got shape \(2, 4\)"),
        ({"dim": -3}, r"scores for 'w': expected at least 3 dimensions, got shape \(2, 4\)"),
    ],
)
def test_bad_groups(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        pa.n_of_m_masks({"w": torch.ones(2, 4)}, **arguments)


@pytest.mark.parametrize(
    ("score", "block", "message"),
    [
        (torch.ones(2, 4), "row", r"block: expected a pair of sizes or one of 'kernel', 'channel', 'input', got 'row'"),
        (torch.ones(2, 4), (0, 2), r"block: expected two sizes of at least 1 \(rows, columns\), or None, got \(0, 2\)"),
        (torch.ones(2, 4), (2,), r"block: expected two sizes of at least 1 \(rows, columns\), or None, got \(2,\)"),
        (torch.ones(4), (1, 1), r"scores for 'w': expected at least 2 dimensions, got shape \(4,\)"),
        (torch.full((2, 4), torch.nan), (1, 1), r"scores for 'w': 8 of 8 are NaN"),
    ],
)
def test_bad_blocks(score: torch.Tensor, block: tuple | str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        pa.block_masks({"w": score}, sparsity=0.5, block=block)
