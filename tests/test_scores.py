"""Scores: what is scored by default, and the values."""

import numpy as np
import pytest
import torch
from torch import nn

import prune_adapters as pa
from chains import chain
from networks import CASES
from prune_adapters.scores import magnitude_scores, random_scores


class Mixed(nn.Module):
    """Holds one of everything that looks like a weight matrix."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(5, 4)
        self.raw = nn.Parameter(torch.ones(4, 4))
        self.conv = nn.Conv1d(4, 2, 3)
        self.directed = nn.utils.parametrizations.weight_norm(nn.Linear(4, 4, bias=False))
        self.norm = nn.LayerNorm((2, 4))
        self.attention = nn.MultiheadAttention(4, 2, add_bias_kv=True)
        self.recurrent = nn.LSTM(4, 2)


def test_default_is_every_weight_but_tables_norms_and_biases() -> None:
    found = magnitude_scores(Mixed())

    assert list(found) == [
        "raw",
        "conv.weight",
        "directed.parametrizations.weight.original1",
        "attention.in_proj_weight",
        "attention.out_proj.weight",
        "recurrent.weight_ih_l0",
        "recurrent.weight_hh_l0",
    ]


def test_a_graph_says_what_the_edge_parameters_are() -> None:
    model = nn.Module()
    model.w2, model.table, model.w1 = nn.Parameter(torch.ones(1, 3)), nn.Embedding(2, 2), nn.Parameter(torch.ones(3, 2))
    model.other = nn.Parameter(torch.ones(3, 2))

    assert list(magnitude_scores(model, graph=chain([2, 3, 1]))) == ["w2", "w1"]


def test_a_table_shared_with_the_last_layer_stays_a_table() -> None:
    model = nn.Sequential(nn.Linear(4, 5, bias=False), nn.Embedding(5, 4))
    model[1].weight = model[0].weight

    assert magnitude_scores(model) == {}
    assert list(magnitude_scores(model, parameters=["1.weight"])) == ["0.weight"]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_magnitude_keeps_dtype_and_is_detached(dtype: torch.dtype) -> None:
    layer = nn.Linear(2, 1).to(dtype)
    layer.weight.data.copy_(torch.tensor([[-0.0, -float("inf")]]))

    score = magnitude_scores(layer)["weight"]

    assert score.dtype == dtype
    assert not score.requires_grad
    assert score.tolist() == [[0.0, float("inf")]]
    assert not torch.signbit(score).any()


def test_magnitude_of_nan_is_an_error() -> None:
    layer = nn.Linear(2, 2)
    layer.weight.data[1, 0] = float("nan")

    with pytest.raises(ValueError, match=r"weight 'weight': 1 of 4 values are NaN"):
        magnitude_scores(layer)


def test_scores_do_not_change_when_the_weights_do() -> None:
    layer = nn.Linear(2, 2)
    layer.weight.data.fill_(1.0)
    score = magnitude_scores(layer)["weight"]

    layer.weight.data.fill_(-2.0)

    torch.testing.assert_close(score, torch.ones(2, 2))


def test_random_scores_follow_the_seed_alone() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    first, same, other = (random_scores(model, seed=seed) for seed in (1, np.random.default_rng(1), 2))

    assert list(first) == ["0.weight", "1.weight"]
    torch.testing.assert_close(first, same, rtol=0, atol=0)
    assert not torch.equal(first["0.weight"], other["0.weight"])
    assert all(0 <= float(score.min()) <= float(score.max()) < 1 for score in first.values())


EFFECTIVE = [
    ("layer", 10, 0.964, 10.4),
    ("layer", 100, 0.092, 1_069),
    ("layer", 316, 0.011, 26_620),
    ("erk", 100, 0.861, 116),
    ("erk", 1000, 0.052, 19_014),
    ("igq", 100, 0.978, 102),
    ("igq", 1000, 0.18, 5_725),
]
"""Scope, compression, and what other random masks of LeNet-300-100 gave: the mean share of kept weights that are
consistent, the median effective compression."""


@pytest.mark.parametrize(("scope", "compression", "share", "effective"), EFFECTIVE)
def test_effective_compression_of_random_masks(scope: str, compression: int, share: float, effective: float) -> None:
    """Ten masks; within two of their standard deviations. Vysogorets and Kempe, JMLR 2023, show the same curves."""
    model = CASES["lenet_300_100"].model()
    graph = pa.to_graph(model, CASES["lenet_300_100"].inputs())
    every = (random_scores(model, seed=seed, graph=graph) for seed in range(10))
    chosen = [pa.masks_from_scores(s, sparsity=1 - 1 / compression, scope=scope, graph=graph) for s in every]
    shares = np.array([selection.effective / selection.direct for selection in chosen])
    compressions = np.log([selection.total / max(selection.effective, 1) for selection in chosen])

    np.testing.assert_allclose(shares.mean(), share, rtol=0, atol=2 * shares.std())
    np.testing.assert_allclose(np.median(compressions), np.log(effective), rtol=0, atol=2 * compressions.std())


def test_bad_arguments() -> None:
    layer = nn.Linear(2, 2)

    with pytest.raises(pa.MaskError, match=r"no parameter 'wieght'; the model has 'weight', 'bias'"):
        magnitude_scores(layer, parameters=["wieght"])
    with pytest.raises(ValueError, match=r"parameters and graph: expected at most one"):
        random_scores(layer, seed=0, parameters=["weight"], graph=chain([2, 2]))
