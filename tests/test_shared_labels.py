"""Parameters that differ from position to position, and positions that weights mix."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import netgraph as ng
import prune_adapters as pa
from agreement import compared
from oracle import random_masks

X = torch.linspace(0.5, 1.5, 2 * 3 * 4).reshape(2, 3, 4)


class Relative(nn.Module):
    """A table of relative positions, picked for each pair and multiplied with the queries, as MViT V2 does."""

    def __init__(self, *, einsum: bool) -> None:
        super().__init__()
        self.query, self.table, self.einsum = nn.Linear(4, 6), nn.Parameter(torch.rand(5, 6)), einsum
        self.head = nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        steps = torch.arange(3)
        picked = self.table[steps[:, None] - steps[None, :] + 2]
        query = self.query(x)
        if self.einsum:
            return self.head(torch.einsum("bic,ijc->bij", query, picked))
        return self.head((query.transpose(0, 1) @ picked.transpose(1, 2)).transpose(0, 1))


class Mixer(nn.Module):
    """Linear layers over tokens, then over channels, beside skips."""

    def __init__(self, tokens: int = 3, width: int = 5) -> None:
        super().__init__()
        self.entry, self.head = nn.Linear(4, width), nn.Linear(width, 2)
        self.norm = nn.LayerNorm(width)
        self.first, self.second = nn.Linear(tokens, 6), nn.Linear(6, tokens)

    def forward(self, x: Tensor) -> Tensor:
        x = self.entry(x)
        mixed = self.second(F.gelu(self.first(self.norm(x).transpose(1, 2)))).transpose(1, 2)
        return self.head((x + mixed).mean(1))


def disagreements(model: nn.Module, seed: int, **options: str) -> dict[str, tuple[int, int]]:
    graph = pa.to_graph(model, X, **options)
    masks = random_masks(model, graph.edge_parameters, 0.35, seed=seed)
    found: dict[str, tuple[int, int]] = {}
    for question in ("bare", "drop_dead"):
        found |= {f"{question} {n}": c for n, c in compared(model, X, graph, masks, question).items()}
    return found


@pytest.mark.parametrize("einsum", [True, False])
def test_a_table_of_relative_positions_has_edges(einsum):
    torch.manual_seed(0)
    model = Relative(einsum=einsum).eval()
    graph = pa.to_graph(model, X)

    assert graph.edge_parameters == ("query.weight", "table", "head.weight")
    assert ng.co_accessible(graph).all()
    for seed in range(4):
        assert not any(missing for missing, _ in disagreements(model, seed).values()), f"seed {seed}"


@pytest.mark.parametrize("seed", range(4))
def test_weights_between_positions_are_exact_where_positions_are_told_apart(seed):
    torch.manual_seed(0)
    model = Mixer().eval()
    joined, split = disagreements(model, seed), disagreements(model, seed, positions="split")

    assert not any(missing for missing, _ in joined.values())
    assert split == {}
