"""Elements picked by index: at known positions, and at positions that depend on the input."""

import pytest
import torch
from torch import Tensor, nn

import netgraph as ng
import prune_adapters as pa
from agreement import compared
from oracle import random_masks

SENTENCE = torch.arange(8)[None]


class LastToken(nn.Module):
    """Reads the state at the largest token, as CLIP does at the end of a sentence."""

    def __init__(self, pick: str = "index") -> None:
        super().__init__()
        self.embedding, self.mixer, self.head = nn.Embedding(8, 6), nn.Linear(6, 6), nn.Linear(6, 3)
        self.pick = pick

    def forward(self, tokens: Tensor) -> Tensor:
        hidden, place = self.mixer(self.embedding(tokens)), tokens.argmax(-1)
        if self.pick == "index":
            return self.head(hidden[torch.arange(len(tokens)), place])
        if self.pick == "gather":
            return self.head(hidden.gather(1, place[:, None, None].expand(-1, 1, 6))[:, 0])
        if self.pick == "take_along_dim":
            return self.head(torch.take_along_dim(hidden, place[:, None, None], 1)[:, 0])
        return self.head(hidden[0].index_select(0, place))


class Places(nn.Module):
    """Positions counted without padding, as RoBERTa does: the table is looked up where the tokens say."""

    def __init__(self, *, raw: bool) -> None:
        super().__init__()
        self.embedding, self.head, self.raw = nn.Embedding(8, 6), nn.Linear(6, 3), raw
        self.places = nn.Parameter(torch.rand(9, 6)) if raw else nn.Embedding(9, 6)

    def forward(self, tokens: Tensor) -> Tensor:
        place = tokens.ne(1).long().cumsum(1)
        return self.head(self.embedding(tokens) + (self.places[place] if self.raw else self.places(place)))


class Types(nn.Module):
    """A table of types that a buffer of zeros names, picked at computed positions."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.types, self.head = nn.Embedding(8, 6), nn.Embedding(2, 6), nn.Linear(6, 3)
        self.register_buffer("kinds", torch.zeros(1, 9, dtype=torch.long))

    def forward(self, tokens: Tensor) -> Tensor:
        kind = torch.gather(self.kinds, 1, tokens.ne(1).long().cumsum(1))
        return self.head(self.embedding(tokens) + self.types(kind))


class RawTable(nn.Module):
    """An embedding written as an index."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.head = nn.Parameter(torch.rand(8, 6)), nn.Linear(6, 3)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.table[tokens])


PICKS = ["index", "gather", "take_along_dim", "index_select"]
MODELS = {
    **{pick: lambda pick=pick: LastToken(pick) for pick in PICKS},
    "places": lambda: Places(raw=False),
    "raw places": lambda: Places(raw=True),
    "types": Types,
    "raw table": RawTable,
}


def built(name: str) -> nn.Module:
    torch.manual_seed(0)
    return MODELS[name]().eval()


@pytest.mark.parametrize("name", MODELS)
def test_kept_elements_are_those_with_a_gradient(name):
    model = built(name)
    graph = pa.to_graph(model, SENTENCE)
    roles = {n: info.role for n, info in graph.parameters.items() if info.role != "edge"}
    tables = {n: torch.ones_like(p, dtype=torch.bool) for n, p in model.named_parameters() if len(p) == 8}
    for seed in range(3):
        masks = random_masks(model, graph.edge_parameters, 0.3, seed=seed)
        masks |= {n: table for n, table in tables.items() if n in masks and name in PICKS}
        found = compared(model, SENTENCE, graph, masks, "drop_dead", roles=roles)
        allowed = {"embedding.weight"} if name in PICKS else set()

        assert set(found) <= allowed, f"seed {seed}"
        assert not any(missing for missing, _ in found.values()), f"seed {seed}"


def test_what_a_computed_index_picks_may_come_from_anywhere():
    graph = pa.to_graph(built("index"), SENTENCE)

    assert {n: s for n, s in graph.layers.items() if n.startswith("tokens")} == {"tokens": 8, "tokens.values": 1}
    assert ng.co_accessible(graph).all()


def test_a_table_at_computed_places_is_a_gate_and_at_tokens_it_has_edges():
    places, raw = pa.to_graph(built("places"), SENTENCE), pa.to_graph(built("raw table"), SENTENCE)

    assert places.parameters["places.weight"].role == "gate"
    assert raw.edge_parameters == ("table", "head.weight")


def test_a_masked_column_of_a_table_closes_its_channel():
    model = built("places")
    kept = torch.ones(9, 6, dtype=torch.bool)
    kept[:, 2] = False
    none = torch.zeros(8, 6, dtype=torch.bool)
    graph = pa.to_graph(model, SENTENCE, masks={"places.weight": kept, "embedding.weight": none})

    assert pa.to_masks(ng.trim(graph))["head.weight"].all(0).tolist() == [True, True, False, True, True, True]


def test_tokens_as_numbers_are_one_unit():
    class Numbers(nn.Linear):
        def forward(self, tokens: Tensor) -> Tensor:
            return super().forward(tokens.clamp(max=5).cumsum(1).float()) + super().forward(tokens.float())

    graph = pa.to_graph(Numbers(8, 3), SENTENCE)

    assert {size for name, size in graph.layers.items() if name.startswith("tokens.values")} == {1}
    assert ng.unit_classes(graph)[graph.outputs].tolist() == [2, 2, 2]
