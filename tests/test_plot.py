"""Pictures show the counts that the graph functions give; nothing global is left changed."""

from collections.abc import Iterator

import matplotlib as mpl
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import netgraph as ng
from netgraph.plot.style import shortened

mpl.use("Agg")
plt = pytest.importorskip("matplotlib.pyplot")


@pytest.fixture(autouse=True)
def no_open_figures() -> Iterator[None]:
    yield
    plt.close("all")


def drawn_graph() -> ng.NetGraph:
    """Return x (2) -> h (3) -> y (1) with a dead unit, a constant unit and a skip past h.

    0 -> 2 -> 5      0 -> 4 (dead)      3 -> 5 (3 is constant)      1 .. 5 (fixed)
    """
    chain = ng.from_biadjacency([[[1, 0], [0, 0], [1, 0]], [[1, 1, 0]]], layers=["x", "h", "y"])
    connections = (*chain.connections, ng.Wiring("x", "y", 1, source_start=1))
    shift = [0, 0, 1, 1, 1, 0]
    return ng.NetGraph(chain.layers, connections, chain.bits, [0, 1], [5], shift=shift, parameters=chain.parameters)


def legend_texts(ax: "mpl.axes.Axes") -> list[str]:
    return [text.get_text() for text in ax.get_legend().get_texts() if text.get_text()]


def widths(ax: "mpl.axes.Axes") -> np.ndarray:
    """Return the widths of the bars, one row a layer."""
    return np.array([[bar.get_width() for bar in bars] for bars in ax.containers]).T


def test_unit_bars_are_the_shares_of_the_classes() -> None:
    ax = ng.plot_unit_classes(drawn_graph(), layers=["x", "h", "y"])

    assert_allclose(widths(ax), [[100, 0, 0], [100 / 3, 100 / 3, 100 / 3], [100, 0, 0]])
    assert legend_texts(ax) == ["live units", "constant units", "dead units"]
    assert [text.get_text() for text in ax.texts] == ["2", "3", "1"]


def test_weight_bars_are_the_densities() -> None:
    ax = ng.plot_weights(drawn_graph())

    assert_allclose(widths(ax), [[100 / 6, 100 / 6], [100 / 3, 100 / 3]])
    assert [label.get_text() for label in ax.get_yticklabels()] == ["h", "y"]
    assert [text.get_text() for text in ax.texts] == ["2 of 6", "2 of 3"]


def test_profile_has_both_and_draws_on_given_axes() -> None:
    figure, axes = plt.subplots(ncols=2)
    before = tuple(figure.get_size_inches())
    left, right = ng.plot_profile(drawn_graph(), axes)

    assert (left, right) == tuple(axes)
    assert tuple(figure.get_size_inches()) == before
    assert plt.get_fignums() == [figure.number]
    assert (len(left.containers), len(right.containers)) == (3, 2)


def test_network_drawing_counts_and_places_everything() -> None:
    ax = ng.plot_network(drawn_graph())
    marks = {line.get_marker(): line.get_xydata() for line in ax.lines if line.get_marker() not in ("None", "")}

    assert sorted(legend_texts(ax)) == [
        "consistent edges (2)",
        "constant units (1)",
        "dead units (1)",
        "fixed edges (1)",
        "inconsistent edges (2)",
        "live units (4)",
    ]
    assert {marker: len(points) for marker, points in marks.items()} == {"o": 4, "s": 1, "X": 1}
    assert_array_equal(marks["X"], [[1, -1]])
    assert sum(len(lines.get_segments()) for lines in ax.collections) == 5
    assert [label.get_text() for label in ax.get_xticklabels()] == ["x\n2 units", "h\n3 units", "y\n1 unit"]


def test_edges_past_a_layer_are_arcs_above_it_and_feedback_below() -> None:
    cycle = ng.from_edge_array([(0, 1), (1, 2), (2, 1), (0, 2)], 3, outputs=[2])
    curves = [points for lines in ng.plot_network(cycle).collections for points in lines.get_segments()]

    assert sorted(len(points) for points in curves) == [2, 2, 25, 25]
    assert max(points[:, 1].max() for points in curves) > 0.7
    assert min(points[:, 1].min() for points in curves) < -0.7


def test_a_product_layer_says_so() -> None:
    wires = ng.Wiring("x", "y", 1, factor=0), ng.Wiring("z", "y", 1, factor=1)
    graph = ng.NetGraph({"x": 1, "z": 1, "y": 1}, wires, np.zeros(0), [0, 1], [2], products=frozenset({"y"}))

    assert ng.plot_network(graph).get_xticklabels()[-1].get_text() == "y\nproduct, 1 unit"


def test_a_large_network_is_refused() -> None:
    graph = ng.from_biadjacency([np.eye(200)])

    with pytest.raises(ValueError, match="expected 1 to 300 units, got 400; plot_profile shows a large network"):
        ng.plot_network(graph)
    assert len(ng.plot_network(graph, max_units=400).collections[0].get_segments()) == 200


def test_connection_marks_every_edge() -> None:
    ax = ng.plot_connection(drawn_graph(), "x", "h")
    inconsistent, consistent = (line.get_xydata().tolist() for line in ax.lines)

    assert (consistent, inconsistent) == ([[0, 0]], [[0, 2]])
    assert legend_texts(ax) == ["consistent edges (1)", "inconsistent edges (1)"]
    assert (ax.get_xlim(), ax.get_ylim()) == ((-0.5, 1.5), (2.5, -0.5))


def test_an_edge_out_of_a_constant_unit_is_inconsistent() -> None:
    inconsistent, consistent = (
        line.get_xydata().tolist() for line in ng.plot_connection(drawn_graph(), "h", "y").lines
    )

    assert (consistent, inconsistent) == ([[0, 0]], [[1, 0]])


def test_unknown_layers_are_named() -> None:
    for draw in (ng.plot_unit_classes, ng.plot_weights, ng.plot_profile):
        with pytest.raises(KeyError, match="no layer 'fc9'; the graph has 'x', 'h', 'y'"):
            draw(drawn_graph(), layers=["fc9"])
    with pytest.raises(ValueError, match="no connection 'y' -> 'x'"):
        ng.plot_connection(drawn_graph(), "y", "x")


@pytest.mark.parametrize(
    "graph",
    [
        ng.from_biadjacency([np.zeros((3, 2))]),
        ng.from_biadjacency([np.ones((1, 1))]),
        ng.from_biadjacency([np.zeros((0, 2)), np.zeros((1, 0))]),
        ng.NetGraph({"x": 1, "y": 1}, (ng.Wiring("x", "y", 1),), np.zeros(0), [0], [1]),
    ],
    ids=["nothing kept", "one unit", "empty layer", "no weights"],
)
def test_edge_cases_are_drawn_without_a_warning(graph: ng.NetGraph) -> None:
    first, second = list(graph.layers)[:2]
    pictures = [ng.plot_profile(graph)[0], ng.plot_network(graph), ng.plot_connection(graph, first, second)]
    for ax in pictures:
        ax.figure.canvas.draw()

    assert len(plt.get_fignums()) == 3


def test_settings_of_matplotlib_stay() -> None:
    before = dict(mpl.rcParams)
    ng.plot_profile(drawn_graph())
    ng.plot_network(drawn_graph())

    assert dict(mpl.rcParams) == before


@pytest.mark.parametrize(
    ("name", "width", "short"),
    [
        ("fc1", 10, "fc1"),
        ("encoder.layers.11.mlp.0", 14, "...11.mlp.0"),
        ("averyveryverylongname", 10, "...ongname"),
    ],
)
def test_names_keep_their_end(name: str, width: int, short: str) -> None:
    assert shortened(name, width) == short
    assert len(short) <= width
