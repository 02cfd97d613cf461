"""The graph as data: bits, units, masks, what is refused, and what a changed graph keeps."""

import copy
import pickle
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import netgraph as ng
from netgraph.bits import PACKED_WIDTH, full_rows, n_words, pack_columns, pack_rows, unpack_rows
from netgraph.weights import pack_weights, with_whole


def chain(**changes: object) -> ng.NetGraph:
    """Return x (2 units) -> h (3) -> y (1); h is fed by (1, 0), (0, 0), (1, 1), y by h0 and h2."""
    weights = [np.array([[1, 0], [0, 0], [1, 1]]), np.array([[1, 0, 1]])]
    connections = [
        ng.Connection("w", "x", "h", 3, 2, index=ng.ElementIndex(0, (6, 2, 1, 1))),
        ng.Connection("v", "h", "y", 1, 3, index=ng.ElementIndex(0, (3, 3, 1, 1))),
    ]
    values = {
        "layers": {"x": 2, "h": 3, "y": 1},
        "connections": connections,
        "bits": np.concatenate([pack_rows(w) for w in weights]),
        "inputs": [0, 1],
        "outputs": [5],
    }
    return ng.NetGraph(**(values | changes))


@given(rows=st.integers(0, 9), width=st.integers(0, 140), seed=st.integers(0, 99))
def test_bits_come_back_as_they_went_in(rows, width, seed):
    kept = np.random.default_rng(seed).random((rows, width)) < 0.5
    words = pack_rows(kept)

    assert words.dtype == np.uint64
    assert words.shape == (n_words(rows, width),)
    np.testing.assert_array_equal(unpack_rows(words, rows, width), kept)


@given(rows=st.integers(0, 9), width=st.integers(0, 140), seed=st.integers(0, 99))
def test_the_ways_to_pack_agree(rows, width, seed):
    kept = np.random.default_rng(seed).random((rows, width)) < 0.5
    words = pack_rows(kept)

    np.testing.assert_array_equal(full_rows(rows, width), pack_rows(np.ones_like(kept)))
    np.testing.assert_array_equal(pack_weights(np.where(kept, -1.5, 0.0)), words)
    if width >= PACKED_WIDTH:
        np.testing.assert_array_equal(pack_columns(kept.T).reshape(-1), words)


def test_weights_are_packed_in_bfloat16_and_nan_is_refused():
    one, minus_zero, nan = 0x3F80, 0x8000, 0x7FC0

    assert pack_weights(np.array([[one, minus_zero]], dtype=np.uint16), dtype="bfloat16").tolist() == [1]
    with pytest.raises(ng.WeightValueError, match="element 1 is NaN"):
        pack_weights(np.array([[one, nan]], dtype=np.uint16), dtype="bfloat16")


def test_whole_parameters_leave_the_others_as_they_are():
    graph = with_whole(chain(), {"v"})

    assert graph.masks()["v"].tolist() == [True] * 3
    assert graph.masks()["w"].tolist() == chain().masks()["w"].tolist()


@pytest.mark.parametrize("index", [ng.ElementIndex(3, (1, 50, 5, 2)), np.arange(48).reshape(6, 4, 2)])
def test_elements_of_some_rows_are_those_of_all(index):
    c = ng.Connection("w", "x", "y", 6, 4, taps=2, groups=3, index=index)

    np.testing.assert_array_equal(c.elements_of(1, 5), c.elements()[1:5])


def test_wide_rows_start_a_word_and_narrow_ones_follow_each_other():
    ones = np.ones((3, 33), dtype=bool)

    assert pack_rows(ones).tolist() == [2**33 - 1] * 3
    assert pack_rows(ones[:, :31]).tolist() == [2**64 - 1, 2**29 - 1]


def test_units_edges_and_masks_of_a_drawn_graph():
    graph = chain()

    assert graph.n_units == 6
    assert graph.slices == {"x": slice(0, 2), "h": slice(2, 5), "y": slice(5, 6)}
    assert [graph.layer_of(unit) for unit in range(6)] == ["x", "x", "h", "h", "h", "y"]
    assert [ends.tolist() for ends in graph.edges()] == [[0, 0, 1, 2, 4], [2, 4, 4, 5, 5]]
    assert {name: mask.astype(int).tolist() for name, mask in graph.masks().items()} == {
        "w": [1, 0, 0, 0, 1, 1],
        "v": [1, 0, 1],
    }


def test_grouped_rows_see_the_units_of_their_group():
    connection = ng.Connection("w", "x", "y", 4, 1, groups=2, index=ng.ElementIndex(0, (2, 1, 1, 1)))
    graph = ng.NetGraph({"x": 2, "y": 4}, [connection], pack_rows(np.ones((4, 1))), [0, 1], [2, 3, 4, 5])

    assert [ends.tolist() for ends in graph.edges()] == [[0, 0, 1, 1], [2, 3, 4, 5]]


def test_an_element_used_twice_is_kept_if_one_use_keeps_it():
    index = ng.ElementIndex(0, (2, 2, 1, 1))
    twice = [ng.Connection("w", "x", "y", 1, 2, index=index), ng.Connection("w", "x", "z", 1, 2, index=index)]
    graph = ng.NetGraph({"x": 2, "y": 1, "z": 1}, twice, np.array([0b01, 0b00]), [0, 1], [2, 3])

    assert graph.masks()["w"].tolist() == [True, False]
    assert len(graph.uses("w")) == 2
    assert graph.with_masks({"w": np.array([False, True])}).bits.tolist() == [0b10, 0b10]


@pytest.mark.parametrize("swept", [False, True])
@pytest.mark.parametrize("copied", [copy.deepcopy, lambda graph: pickle.loads(pickle.dumps(graph))])
def test_copies_and_pickles_are_the_same_graph(swept, copied):
    graph = chain(shift=[False, False, True, False, False, False], notes=("drawn",))
    if swept:
        ng.sweep(graph)
    twin = copied(graph)

    assert repr(twin) == repr(graph)
    assert ng.unit_classes(twin).tolist() == ng.unit_classes(graph).tolist()
    assert not twin.bits.flags.writeable


def test_a_graph_is_read_only_and_the_arrays_of_its_caller_are_not():
    bits = chain().bits.copy()
    graph = chain(bits=bits)
    with pytest.raises(ValueError, match="read-only"):
        graph.bits[0] = 0
    with pytest.raises(AttributeError):
        graph.layers = {}

    assert bits.flags.writeable


def test_a_changed_graph_leaves_the_old_one_alone():
    graph = chain()
    emptied = graph.with_bits(np.zeros_like(graph.bits))

    assert emptied.edges()[0].size == 0
    assert graph.edges()[0].size == 5
    assert emptied.connections is graph.connections


def test_masks_of_gates_and_shifts_fold_in_order():
    index = np.arange(3)[:, None]
    acting = [
        ng.UnitParameter("bias", "shift", "h", index),
        ng.UnitParameter("scale", "gate", "h", index),
        ng.UnitParameter("beta", "shift", "h", index),
    ]
    parameters = {
        name: ng.ParameterInfo((3,), "gate" if name == "scale" else "constant") for name in ("bias", "scale", "beta")
    }
    graph = chain(unit_parameters=acting, parameters=parameters | dict(chain().parameters))
    masked = graph.with_masks({"scale": np.array([True, False, False]), "beta": np.array([False, False, True])})

    assert graph.shift[2:5].all()
    assert masked.gate[2:5].tolist() == [True, False, False]
    assert masked.shift[2:5].tolist() == [True, False, True]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bits": np.zeros(3)}, r"bits: expected shape \(2,\), got \(3,\)"),
        ({"inputs": [6]}, r"inputs: expected unit ids in \[0, 6\), got \[6\]"),
        ({"outputs": [-1]}, r"outputs: expected unit ids"),
        ({"layers": {"x": 2, "h": 3}}, r"connection 'h' -> 'y': no layer 'y'; the graph has 'x', 'h'"),
        ({"layers": {"h": 3, "x": 2, "y": 1}}, r"'x' -> 'h': the source must stand before the target"),
        ({"layers": {"x": 1, "h": 3, "y": 1}}, r"reaches source unit 1 and target unit 2; the layers have 1 and 3"),
        ({"layers": {"x": -2, "h": 3, "y": 1}}, r"layer 'x': expected a size of at least 0, got -2"),
        ({"products": frozenset({"z"})}, r"product 'z': no such layer"),
        ({"products": frozenset({"h"})}, r"'h'"),
        ({"gate": [True]}, r"gate: expected shape \(6,\), got \(1,\)"),
        ({"unit_parameters": [ng.UnitParameter("b", "bias", "h")]}, r"unit parameter 'b': layer 'h' or role 'bias'"),
    ],
)
def test_what_does_not_fit_together_is_refused(changes, message):
    with pytest.raises(ng.GraphStructureError, match=message):
        chain(**changes)


@pytest.mark.parametrize(
    ("masks", "error", "message"),
    [
        ({"u": np.ones(3, dtype=bool)}, KeyError, "mask for 'u': no such parameter; the graph has 'w', 'v'"),
        ({"v": np.ones(4, dtype=bool)}, ValueError, r"mask for 'v': expected shape \(3,\), got \(4,\)"),
        ({"v": np.ones(3)}, ValueError, "mask for 'v': expected dtype bool, got float64; use mask != 0"),
    ],
)
def test_masks_that_do_not_fit_are_refused(masks, error, message):
    with pytest.raises(error, match=message):
        chain().with_masks(masks)


def test_a_unit_outside_the_graph_has_no_layer():
    with pytest.raises(IndexError, match="unit 6: expected 0 <= unit < 6"):
        chain().layer_of(6)


def test_long_graphs_are_shown_with_their_middle_left_out():
    names = [f"l{i}" for i in range(60)]
    pairs = pairwise(names)
    graph = ng.NetGraph(dict.fromkeys(names, 1), [ng.Wiring(a, b, 1) for a, b in pairs], np.zeros(0), [0], [59])

    assert "... 20 more layers" in " ".join(repr(graph).split())
    assert repr(graph).count("\n") == 42
