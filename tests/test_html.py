"""prune_adapters.html: numbers against loops, words of drawn graphs, and that no name in a graph becomes markup."""

import json
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from torch import nn

import netgraph as ng
import prune_adapters as pa
from netgraph.notebook import html_table
from prune_adapters.graph_pruning.search.candidate import SearchResult, best_of
from prune_adapters.graph_pruning.search.picture import losses_svg
from prune_adapters.html import html_report
from prune_adapters.html import words as words_of_graphs
from prune_adapters.html.difference import difference
from prune_adapters.html.facts import degree_bins, graph_facts
from prune_adapters.html.layout import lanes, ranks
from prune_adapters.html.reasons import examples, reasons
from prune_adapters.html.words import in_words

HOSTILE = ["</script><script>alert(1)</script>", "<!-- <img src=x onerror=alert(2)>", "a&b\"'\u2028${x}"]


class Parts(HTMLParser):
    """Every tag of a page, and the text of its scripts."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict]] = []
        self.scripts: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list) -> None:
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1][0] == "script":
            self.scripts.append(data)


def chain(*widths: int, density: float = 0.3, seed: int = 0, layers: list[str] | None = None) -> ng.NetGraph:
    random = np.random.default_rng(seed)
    blocks = [random.random((b, a)) < density for a, b in pairwise(widths)]
    return ng.from_biadjacency(blocks, layers=layers)


def said(graph: ng.NetGraph) -> dict[str, str]:
    return {sentence.heading: sentence.text for sentence in in_words(graph)}


def data_of(page: str) -> dict:
    return json.loads(Parts(page).scripts[0])


def test_the_page_is_whole_and_loads_nothing() -> None:
    page = html_report(chain(6, 5, 4), title="Small")
    tags = Parts(page).tags
    loading = [(tag, a) for tag, a in tags if {"src", "href", "style", "action"} & set(a) or tag in ("link", "iframe")]

    assert page.startswith("<!DOCTYPE html>")
    assert page.rstrip().endswith("</html>")
    assert loading == []
    assert [word for word in ("://", "@import", "fetch(", "innerHTML", "XMLHttp") if word in page] == []
    assert page.replace("url(#head-", "").count("url(") == 0
    assert "default-src 'none'" in dict(tags[[tag for tag, _ in tags].index("meta") + 1][1])["content"]


def test_names_never_become_markup() -> None:
    graph = chain(2, 2, 2, layers=HOSTILE)
    page = html_report(graph, compare=graph, title=HOSTILE[0], names=(HOSTILE[0], HOSTILE[1]))
    parts = Parts(page)

    assert [tag for tag, _ in parts.tags].count("script") == 2
    assert "img" not in [tag for tag, _ in parts.tags]
    assert [layer["name"] for layer in data_of(page)["graphs"][0]["layers"]] == HOSTILE
    assert "<" not in parts.scripts[0]


def test_the_same_graph_gives_the_same_bytes(tmp_path: Path) -> None:
    page = html_report(chain(9, 8, 7), tmp_path / "a.html")

    assert page == html_report(chain(9, 8, 7))
    assert (tmp_path / "a.html").read_text(encoding="utf-8") == page
    assert [path.name for path in tmp_path.iterdir()] == ["a.html"]


def test_the_size_grows_with_layers_not_with_units() -> None:
    small, wide = html_report(chain(20, 20, 20)), html_report(chain(400, 400, 400))
    deep = html_report(chain(*[4] * 81))

    assert len(wide) < 1.1 * len(small)
    assert len(deep) < len(small) + 81 * 4_000


def test_records_of_layers_are_those_of_the_report() -> None:
    graph = chain(9, 8, 7, seed=1)
    facts = graph_facts(graph, "")
    degrees = ng.layer_degrees(graph)

    for record, row, degree in zip(facts["layers"], pa.report(graph).layers, degrees, strict=True):
        assert {key: record[key] for key in row.to_dict()} == row.to_dict()
        entering = record["in"] or {"min": 0, "max": 0}
        assert (entering["min"], entering["max"]) == (degree.in_min, degree.in_max)
    assert facts["layers"][0]["in"] is None
    assert facts["layers"][2]["out"] is None


def test_two_layers_joined_twice_are_one_record() -> None:
    weights = [
        ng.Connection("w", "x", "y", 2, 2, taps=2, index=ng.ElementIndex(0, (0, 4, 2, 1))),
        ng.Connection("v", "x", "y", 2, 2, index=ng.ElementIndex(0, (0, 2, 1, 1))),
    ]
    bits = np.array([0b0100_0011, 0b00_01])
    graph = ng.NetGraph({"x": 2, "y": 2}, [*weights, ng.Wiring("x", "y", 2)], bits, [0, 1], [2, 3])
    [record] = graph_facts(graph, "")["connections"]

    assert record == {
        "source": 0,
        "target": 1,
        "feedback": False,
        "parameters": ["w", "v"],
        "weights": 12,
        "kept": 4,
        "consistent": 4,
        "edges": 3,
        "pairs": 8,
        "wires": 2,
    }


def test_bins_of_degrees_are_those_of_a_loop() -> None:
    degrees = np.arange(70)
    edges = [(0, 0), (1, 1), (2, 2), (3, 4), (5, 8), (9, 16), (17, 32), (33, 64), (65, 128)]

    assert degree_bins(degrees) == [sum(low <= d <= high for d in range(70)) for low, high in edges]
    assert degree_bins(degrees[:0]) == []


@pytest.mark.parametrize("seed", range(5))
def test_edges_lead_to_higher_ranks_and_no_two_layers_share_a_place(seed: int) -> None:
    random = np.random.default_rng(seed)
    names = [f"l{i}" for i in range(12)]
    pairs = [(i, j) for j in range(12) for i in range(j) if random.random() < 0.25]
    wires = [ng.Wiring(names[i], names[j], 1) for i, j in pairs] + [ng.Wiring("l5", "l2", 1, feedback=True)]
    graph = ng.NetGraph(dict.fromkeys(names, 1), wires, np.zeros(0), [0], [11])
    rank, lane = ranks(graph), lanes(graph)

    assert all(rank[names[i]] < rank[names[j]] for i, j in pairs)
    assert len({(rank[name], lane[name]) for name in names}) == 12


def test_words_of_a_network_that_is_cut() -> None:
    found = said(ng.from_biadjacency([[[0, 0], [0, 0]], [[0, 1]]]))

    assert found["Reach"] == "No input reaches an output: the network computes a constant."
    assert found["Least repair"] == (
        "Putting back 1 weight makes a path from layer0[0] to layer2[0], and no fewer do: weight1[1, 0]."
    )
    assert found["Cut"] == "2 layers have no weight on a path: layer1, layer2."
    assert "Bottleneck" not in found


def test_words_of_a_network_that_no_weight_repairs() -> None:
    graph = ng.from_biadjacency([[[1]], [[1]]])
    closed = ng.NetGraph(graph.layers, graph.connections, graph.bits, [0], [2], gate=[True, False, True])

    assert said(closed)["Repair"].startswith("No removed weights would make a path")


def test_words_of_a_network_with_lost_outputs_and_unused_inputs() -> None:
    assert said(ng.from_biadjacency([[[1, 1], [0, 0]]]))["Reach"] == (
        "The input reaches 1 of 2 outputs; the other does not depend on it."
    )
    one = said(ng.from_biadjacency([[[1, 0]]]))
    assert one["Reach"] == "The input reaches the output. 1 of 2 input units is not used."
    assert one["Pruned"] == "1 of 2 weights is kept: 50.0 % sparsity."
    assert one["Effective"].startswith("1 of the kept weights leads from")
    assert said(ng.from_biadjacency([[[1, 1]]]))["Bottleneck"].startswith("None: an edge leads straight")


def test_words_of_a_network_without_weights() -> None:
    found = said(ng.NetGraph({"x": 1, "y": 1}, (ng.Wiring("x", "y", 1),), np.zeros(0), [0], [1]))

    assert found["Pruned"] == "The network has no weights."


def test_a_graph_that_is_too_large_for_a_cut_names_the_narrowest_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(words_of_graphs, "MOST_EDGES", 3)
    graph = ng.from_biadjacency([np.ones((4, 3)), np.ones((2, 4)), np.ones((3, 2))])

    assert said(graph)["Narrowest layer"] == "layer2 has 2 live of 2 units."


def test_reasons_count_every_dead_and_constant_unit_once() -> None:
    layers = {"x": 2, "h": 5, "gated": 2, "y": 1}
    graph = ng.NetGraph(
        layers,
        [
            ng.Connection("w", "x", "h", 5, 2),
            ng.Wiring("h", "gated", 2),
            ng.Connection("v", "h", "y", 1, 5),
        ],
        np.array([0b01_01_01, 0b11100]),
        [0, 1],
        [9],
        gate=[1, 1, 1, 1, 1, 1, 1, 0, 1, 1],
        shift=[0, 0, 0, 0, 0, 1, 0, 0, 0, 0],
    )
    why = reasons(graph, ng.sweep(graph))

    assert why["h"] == [
        "2 of 5 units are dead: 1 because all that follows it has a masked scale; "
        "1 because no output depends on what follows it.",
        "2 of 5 units are constant: 1 because it emits 0; 1 because it emits a constant that biases make.",
    ]
    assert why["gated"] == ["2 of 2 units are dead: nothing follows them."]
    assert why["x"] == ["1 of 2 units is dead: no weight out of it is kept."]
    assert "y" not in why


def test_examples_explain_the_first_unit_of_each_kind() -> None:
    graph = ng.from_biadjacency([[[1, 0], [0, 0], [1, 1]], [[1, 1, 0]]])
    shown = examples(graph, ng.sweep(graph))

    assert shown["layer1"] == [ng.explain(graph, "layer1[2]").text, ng.explain(graph, "layer1[1]").text]


@pytest.mark.parametrize("seed", range(4))
def test_differences_are_those_of_the_masks(seed: int) -> None:
    first, second = chain(9, 8, 7, seed=seed), chain(9, 8, 7, seed=seed + 10)
    found = difference(first, second)
    pairs = list(zip(first.masks().values(), second.masks().values(), strict=True))

    for row, (a, b) in zip([*found["layers"]], pairs, strict=True):
        assert_array_equal([row["first"], row["second"]], [a.sum(), b.sum()])
        assert row["jaccard"] == round((a & b).sum() / (a | b).sum(), 4)
    assert found["total"]["both"] == sum((a & b).sum() for a, b in pairs)
    assert difference(first, first)["total"]["jaccard"] == 1.0


def test_nothing_kept_has_no_overlap() -> None:
    graph = ng.from_biadjacency([[[0, 0]]])

    assert difference(graph, graph)["total"]["jaccard"] is None


def test_comparing_other_networks_says_what_differs() -> None:
    with pytest.raises(ValueError, match=r"with layer 'layer1' of 5 units, found 'layer1' of 4"):
        html_report(chain(6, 5), compare=chain(6, 4))
    with pytest.raises(ValueError, match="expected two different names, got 'a' twice"):
        html_report(chain(6, 5), compare=chain(6, 5), names=("a", "a"))
    with pytest.raises(ValueError, match="with 2 layers, found 3"):
        html_report(chain(6, 5), compare=chain(6, 5, 4))


def test_a_pruned_model_from_end_to_end() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(16, 3))
    graphs = [
        pa.to_graph(model, torch.zeros(1, 1, 4, 4), masks=pa.masks_from_scores(scores, sparsity=0.9))
        for scores in (pa.magnitude_scores(model), pa.random_scores(model, seed=0))
    ]
    page = html_report(graphs[0], compare=graphs[1], names=("magnitude", "random"))
    data = data_of(page)

    assert [graph["name"] for graph in data["graphs"]] == ["magnitude", "random"]
    assert data["graphs"][0]["total"] == json.loads(json.dumps(pa.report(graphs[0]).total.to_dict()))
    assert "<h3>magnitude</h3>" in page


def test_a_notebook_shows_a_graph_as_a_table() -> None:
    graph = ng.from_biadjacency([[[1, 0], [0, 0]]], layers=["<b>x", "y"])
    text = graph._repr_html_()

    assert "NetGraph: 2 layers, 4 units, 1 of 4 weights kept" in text
    assert '<td class="left">&lt;b&gt;x</td>' in text
    assert "width:25.0%" in text
    assert chain(*[2] * 61)._repr_html_().count("</tr>") == 42


def test_a_notebook_shows_what_a_search_found() -> None:
    history = [((n, 2), pa.Evaluation(loss=1 / n, accuracy=n / 10)) for n in range(1, 9)]
    text = best_of(tuple(history))._repr_html_()

    assert "Best of 8 candidates: loss 0.125, accuracy 80.0 %" in text
    assert text.index("8, 2") < text.index("7, 2") < text.index("4, 2")
    assert "3, 2</td>" not in text
    assert "<circle" not in SearchResult((1,), pa.Evaluation(1.0, 0.5), ())._repr_html_()


def test_a_long_search_is_a_small_picture() -> None:
    picture = losses_svg(list(np.linspace(2, 1, 5000)))

    assert picture.count("<circle") <= 240
    assert len(picture) < 20_000
    assert losses_svg([1.0, 1.0]).count("<circle") == 2


def test_text_below_a_table_is_escaped() -> None:
    assert "<p>a&lt;b</p>" in html_table("t", ("x",), [("1",)], below=["a<b"])
