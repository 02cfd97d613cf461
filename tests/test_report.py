"""A report says the same thing as a sentence, a table, a file and a picture."""

import csv
import io
import json
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
import rich.console
import torch
from torch import nn

import netgraph as ng
import prune_adapters as pa
from prune_adapters.report.text import percent

mpl.use("Agg")


def drawn_graph() -> ng.NetGraph:
    """Return x (2) -> h (3) -> y (1) beside a layer that only adds; h has a live, a constant and a dead unit.

    0 -> 2 -> 5 .. 6      0 -> 4 (dead)      3 -> 5 (3 is constant)      1 .. 6 (fixed)
    """
    chain = ng.from_biadjacency([[[1, 0], [0, 0], [1, 0]], [[1, 1, 0]]], layers=["x", "h", "y"])
    return ng.NetGraph(
        layers={"x": 2, "h": 3, "y": 1, "add": 1},
        connections=(*chain.connections, ng.Wiring("y", "add", 1), ng.Wiring("x", "add", 1, source_start=1)),
        bits=chain.bits,
        inputs=[0, 1],
        outputs=[6],
        shift=[0, 0, 1, 1, 1, 0, 0],
        parameters=dict(chain.parameters)
        | {
            "norm": ng.ParameterInfo((3,), "gate"),
            "bias": ng.ParameterInfo((3,), "constant"),
            "spare": ng.ParameterInfo((2, 2), "unused"),
        },
        notes=("two layers were joined",),
    )


def test_rows_of_the_drawn_graph() -> None:
    found = pa.report(drawn_graph())

    assert found.layers == (
        pa.LayerRow("x", 2, 2, 0, 0, 0, 0, 0),
        pa.LayerRow("h", 3, 1, 1, 1, 6, 2, 1),
        pa.LayerRow("y", 1, 1, 0, 0, 3, 2, 1),
        pa.LayerRow("add", 1, 1, 0, 0, 0, 0, 0),
    )
    assert found.total == pa.LayerRow("total", 7, 5, 1, 1, 9, 4, 2)
    assert found.parameters == (
        pa.ParameterRow("weight1", "edge", (3, 2), 2, 1),
        pa.ParameterRow("weight2", "edge", (1, 3), 2, 1),
        pa.ParameterRow("norm", "gate", (3,), None, None),
        pa.ParameterRow("bias", "constant", (3,), None, None),
        pa.ParameterRow("spare", "unused", (2, 2), None, None),
    )


def test_the_printed_text() -> None:
    assert str(pa.report(drawn_graph())).splitlines() == [
        "At 55.6 % sparsity (4 of 9 weights kept) 1 of 7 units is dead and 1 constant; "
        "2 of the kept weights are consistent, effective sparsity 77.8 %.",
        "",
        "layer  units  live  const  dead  weights  kept  consistent  sparsity  effective",
        "x          2     2      0     0        -     -           -         -          -",
        "h          3     1      1     1        6     2           1    66.7 %     83.3 %",
        "y          1     1      0     0        3     2           1    33.3 %     66.7 %",
        "add        1     1      0     0        -     -           -         -          -",
        "total      7     5      1     1        9     4           2    55.6 %     77.8 %",
        "",
        "Parameters: 2 edge, 1 gate, 1 constant, 1 unused (spare)",
        "Note: two layers were joined",
    ]


def test_folding_hides_layers_without_weights_from_tables_only() -> None:
    whole, folded = pa.report(drawn_graph()), pa.report(drawn_graph(), fold=True)
    lines = str(folded).splitlines()

    assert [line.split()[0] for line in lines[3:6]] == ["h", "y", "total"]
    assert "2 layers without weights are not shown." in lines
    one = ng.from_biadjacency([[[1, 1]]])
    assert "1 layer without weights is not shown." in str(pa.report(one, fold=True))
    assert folded.total == whole.total
    assert folded.to_dict() == whole.to_dict()


def test_rich_shows_the_same_numbers() -> None:
    console = rich.console.Console(width=100, record=True, file=io.StringIO())
    console.print(pa.report(drawn_graph()))
    lines = [line.split() for line in console.export_text().splitlines()]

    assert ["h", "3", "1", "1", "1", "6", "2", "1", "66.7", "%", "83.3", "%"] in lines
    assert ["total", "7", "5", "1", "1", "9", "4", "2", "55.6", "%", "77.8", "%"] in lines


def test_names_in_brackets_are_no_markup_for_rich() -> None:
    console = rich.console.Console(width=100, record=True, file=io.StringIO())
    console.print(pa.report(ng.from_biadjacency([[[1]]], layers=["[red]x[/red]", "y"])))

    assert "[red]x[/red]" in console.export_text()


def test_parameter_tables_have_every_role() -> None:
    found = pa.report(drawn_graph())
    console = rich.console.Console(width=100, record=True, file=io.StringIO())
    console.print(found.parameter_table())
    shown = console.export_text()

    assert found.parameter_text().splitlines() == [
        "parameter  role      shape  elements  kept  consistent",
        "weight1    edge        3x2         6     2           1",
        "weight2    edge        1x3         3     2           1",
        "norm       gate          3         3     -           -",
        "bias       constant      3         3     -           -",
        "spare      unused      2x2         4     -           -",
    ]
    assert all(name in shown for name in ("weight2", "gate", "constant", "unused"))


def test_html_escapes_names() -> None:
    text = pa.report(ng.from_biadjacency([[[1]]], layers=["a<b", "y"]))._repr_html_()

    assert '<td class="left">a&lt;b</td>' in text
    assert text.count("</tr>") == 4


def test_json_and_csv_hold_the_rows(tmp_path: Path) -> None:
    found = pa.report(drawn_graph())
    found.to_json(tmp_path / "report.json")
    found.to_csv(tmp_path / "report.csv")
    read = json.loads((tmp_path / "report.json").read_text())
    with open(tmp_path / "report.csv", newline="") as file:
        lines = list(csv.DictReader(file))

    assert read == found.to_dict()
    assert read["layers"][1]["effective_sparsity"] == 5 / 6
    assert read["parameters"][0] == {
        "parameter": "weight1",
        "role": "edge",
        "shape": [3, 2],
        "kept": 2,
        "consistent": 1,
        "size": 6,
    }
    assert [line["layer"] for line in lines] == ["x", "h", "y", "add"]
    assert (lines[1]["dead"], float(lines[1]["sparsity"]), lines[0]["sparsity"]) == ("1", 4 / 6, "")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report.csv", "report.json"]


@pytest.mark.parametrize(("ending", "start"), [("png", b"\x89PNG"), ("pdf", b"%PDF"), ("svg", b"<?xml")])
def test_plot_writes_the_picture_and_closes_it(ending: str, start: bytes, tmp_path: Path) -> None:
    import matplotlib.pyplot as plt

    before = plt.get_fignums()
    axes = pa.report(drawn_graph()).plot(tmp_path / f"profile.{ending}")

    assert (tmp_path / f"profile.{ending}").read_bytes().startswith(start)
    assert [ax.get_xlabel()[:5] for ax in axes] == ["units", "kept "]
    assert plt.get_fignums() == before


def test_plot_draws_on_given_axes() -> None:
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(ncols=2)
    drawn = pa.report(drawn_graph()).plot(axes=axes)

    assert drawn == tuple(axes)
    plt.close(figure)


def test_it_warns_when_no_input_reaches_an_output() -> None:
    text = pa.report(ng.from_biadjacency([[[1]], [[0]]])).summary

    assert text.startswith("WARNING: no input reaches an output, so the network computes a constant. At 50.0 %")
    assert text.endswith("netgraph.least_repair which weights would make one.")


def test_it_warns_when_some_outputs_do_not_depend_on_the_input() -> None:
    text = pa.report(ng.from_biadjacency([[[1], [0], [0]]])).summary

    assert text.endswith("WARNING: 2 of 3 outputs do not depend on the input; netgraph.explain tells why.")


def test_one_is_spoken_of_in_the_singular() -> None:
    text = pa.report(ng.from_biadjacency([[[1], [0]]])).summary

    assert "1 of the kept weights is consistent" in text
    assert "1 of 2 outputs does not depend on the input" in text


def test_a_graph_without_weights() -> None:
    graph = ng.NetGraph({"x": 1, "y": 1}, (ng.Wiring("x", "y", 1),), np.zeros(0), [0], [1])
    found = pa.report(graph)

    assert found.summary == "No weights; 0 of 2 units are dead and 0 constant."
    assert found.total.sparsity is None


def test_a_pruned_model_end_to_end() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 3))
    masks = {"0.weight": torch.zeros(6, 8, dtype=torch.bool), "2.weight": torch.ones(3, 6, dtype=torch.bool)}
    masks["0.weight"][0, 0] = True
    found = pa.report(pa.to_graph(model, torch.zeros(1, 8), masks=masks))

    assert (found.total.weights, found.total.kept, found.total.consistent) == (66, 19, 4)
    assert [(row.live, row.constant, row.dead) for row in found.layers] == [(1, 0, 7), (1, 5, 0), (3, 0, 0)]
    assert {row.parameter: row.role for row in found.parameters} == {
        "0.weight": "edge",
        "0.bias": "constant",
        "2.weight": "edge",
        "2.bias": "constant",
    }


@pytest.mark.parametrize(
    ("share", "text"),
    [(0.0, "0.0 %"), (1.0, "100.0 %"), (0.5, "50.0 %"), (0.9996, "99.96 %"), (1e-5, "0.001 %"), (None, "-")],
)
def test_percent_never_rounds_to_all_or_nothing(share: float | None, text: str) -> None:
    assert percent(share) == text
