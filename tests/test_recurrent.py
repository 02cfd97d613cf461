"""Recurrent layers and cells: the graph says what autograd says about sequences long enough for every path."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

import netgraph as ng
import prune_adapters as pa
from agreement import check_against_gradients, masked
from networks import edge_names
from networks.recurrent import CellLoop, GivenStates, LearnedStart, PackedTagger, Tagger, WrittenOut
from oracle import CONSTANT, LIVE, ZERO, random_masks, true_gradients, value_classes

SEQUENCE = torch.ones(2, 14, 4)
LAYERS: dict[str, Callable[[], nn.Module]] = {
    "lstm": lambda: Tagger(nn.LSTM(4, 5, batch_first=True), 5),
    "lstm_deep": lambda: Tagger(nn.LSTM(4, 4, 2, batch_first=True, bidirectional=True, proj_size=3), 6),
    "lstm_no_bias": lambda: Tagger(nn.LSTM(4, 5, 2, bias=False, batch_first=True, proj_size=3), 3),
    "gru": lambda: Tagger(nn.GRU(4, 5, batch_first=True), 5),
    "gru_deep": lambda: Tagger(nn.GRU(4, 4, 2, batch_first=True, bidirectional=True, bias=False), 8),
    "rnn_tanh": lambda: Tagger(nn.RNN(4, 5, 2, batch_first=True), 5),
    "rnn_relu": lambda: Tagger(nn.RNN(4, 5, nonlinearity="relu", batch_first=True, bidirectional=True), 10),
    "one_unit": lambda: Tagger(nn.LSTM(4, 1, batch_first=True), 1),
}
CELLS = {
    "lstm_cell": lambda: CellLoop(nn.LSTMCell(4, 5)),
    "gru_cell": lambda: CellLoop(nn.GRUCell(4, 5)),
    "rnn_cell": lambda: CellLoop(nn.RNNCell(4, 5)),
    "rnn_relu_cell": lambda: CellLoop(nn.RNNCell(4, 5, bias=False, nonlinearity="relu")),
}
NETWORKS: dict[str, tuple[Callable[[], nn.Module], object]] = {
    **{name: (build, SEQUENCE) for name, build in LAYERS.items()},
    **{name: (build, SEQUENCE[:, :6]) for name, build in CELLS.items()},
    "written_out": (WrittenOut, SEQUENCE[:, :6]),
    "written_out_no_bias": (lambda: WrittenOut(bias=False), SEQUENCE[:, :6]),
    "given_states": (GivenStates, (SEQUENCE, torch.ones(2, 3))),
    "learned_start": (LearnedStart, SEQUENCE),
    "packed": (PackedTagger, SEQUENCE.transpose(0, 1)),
}


def built(name: str) -> tuple[nn.Module, object]:
    build, inputs = NETWORKS[name]
    torch.manual_seed(0)
    return build().eval(), inputs


@pytest.mark.parametrize("follow", [None, "example"])
@pytest.mark.parametrize("name", NETWORKS)
def test_kept_elements_are_those_with_a_gradient(name, follow):
    model, inputs = built(name)
    graph = pa.to_graph(model, inputs, masks={}, follow=follow)

    assert set(graph.edge_parameters) == set(edge_names(model))
    check_against_gradients(model, inputs, graph, densities=(0.6, 0.4, 0.25))


@pytest.mark.parametrize("name", NETWORKS)
def test_nothing_with_a_gradient_is_called_dead(name):
    """With the real weights, which have both signs."""
    model, inputs = built(name)
    graph = pa.to_graph(model, inputs, masks={})
    for seed in range(3):
        masks = random_masks(model, edge_names(model), 0.4, seed=seed)
        found = pa.to_masks(ng.drop_dead(masked(graph, masks)))
        for parameter, gradient in true_gradients(model, inputs, masks).items():
            assert not (gradient.ne(0) & masks[parameter] & ~found[parameter]).any(), parameter


@pytest.mark.parametrize("name", ["lstm", "gru", "lstm_deep", "rnn_tanh", "gru_cell"])
def test_states_have_the_classes_that_random_biases_show(name):
    model, inputs = built(name)
    graph = pa.to_graph(model, inputs, masks={})
    read = graph.uses("out.weight")[0]
    first = graph.slices[read.source].start + read.source_start
    for density in (0.5, 0.2, 0.1):
        masks = random_masks(model, edge_names(model), density, seed=1)
        shown = value_classes(model, inputs, masks, ["out"], at="input")["out"]

        np.testing.assert_array_equal(ng.unit_classes(masked(graph, masks))[first : first + read.columns], shown)


def test_an_lstm_by_hand():
    """One unit: without the input gate's weights the cell is still written; without g's it is not."""
    model = nn.LSTM(1, 1, bias=False)

    def classes(removed: str) -> dict[str, int]:
        kept = torch.tensor([[name not in removed] for name in "ifgo"])
        graph = pa.to_graph(model, torch.zeros(3, 1, 1), masks={"weight_ih_l0": kept})
        return {layer: int(ng.unit_classes(graph)[where.start]) for layer, where in graph.slices.items()}

    assert classes("i")["lstm.l0.c"] == LIVE
    assert classes("g")["lstm.l0.c"] == ZERO
    assert classes("ig")["lstm.l0.i"] == CONSTANT


def test_the_graph_of_a_gru_has_a_unit_for_each_gate_and_a_cycle():
    graph = pa.to_graph(nn.GRU(2, 3), torch.zeros(5, 1, 2))
    back = [(c.source, c.target) for c in graph.connections if c.feedback]
    hidden = graph.uses("weight_hh_l0")

    assert back == [("gru.l0.h", "gru.l0.state")]
    assert [c.target.split(".")[-1] for c in hidden] == ["r", "z", "hidden"]
    assert [c.contiguous_offset for c in hidden] == [0, 9, 18]
    assert set(graph.products) == {"gru.l0.r*n", "gru.l0.(1-z)*n", "gru.l0.z*h"}


def test_a_cell_in_a_loop_uses_its_parameters_at_every_step():
    graph = pa.to_graph(CELLS["rnn_cell"](), SEQUENCE[:, :3])

    assert len(graph.uses("cell.weight_hh")) == 3
    assert not graph.is_cyclic


def test_sequences_without_a_batch():
    torch.manual_seed(0)
    graph = pa.to_graph(nn.LSTM(2, 3, 2), torch.zeros(5, 2))

    assert ng.sweep(graph).consistent.sum() == sum(c.size for c in graph.weighted)


def test_a_packed_sequence_as_an_input_is_followed_by_running():
    class Read(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.recurrent, self.out = nn.GRU(4, 5), nn.Linear(5, 3)

        def forward(self, packed: nn.utils.rnn.PackedSequence) -> Tensor:
            return self.out(self.recurrent(packed)[0].data)

    packed = pack_padded_sequence(SEQUENCE.transpose(0, 1), [14, 9])
    graph = pa.to_graph(Read(), (packed,), follow="example")

    assert graph.inputs.tolist() == [0, 1, 2, 3]
    assert ng.accessible(graph).all()


def test_nested_keyword_inputs_are_inputs_either_way():
    states = (torch.zeros(1, 2, 5), torch.zeros(1, 2, 5))
    inputs = {"input": SEQUENCE.transpose(0, 1), "hx": states}
    exported, followed = (pa.to_graph(nn.LSTM(4, 5), inputs, follow=follow) for follow in (None, "example"))

    assert list(exported.layers) == list(followed.layers)
    assert exported.inputs.tolist() == followed.inputs.tolist() == list(range(14))


def test_a_recurrent_layer_whose_weights_are_computed_is_refused():
    class Computed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cell = nn.RNNCell(4, 5)

        def forward(self, x: Tensor) -> Tensor:
            return torch.rnn_tanh_cell(x, x.new_zeros(2, 5), self.cell.weight_ih.exp(), self.cell.weight_hh)

    with pytest.raises(pa.TraceError, match=r"aten\.rnn_tanh_cell .*its weights are computed"):
        pa.to_graph(Computed(), torch.zeros(2, 4))


@pytest.mark.parametrize("name", ["lstm", "gru", "lstm_cell"])
def test_compact_keeps_the_function(name):
    model, inputs = built(name)
    graph = pa.to_graph(model, inputs, masks=random_masks(model, edge_names(model), 0.4, seed=2))
    pa.apply_masks(model, pa.to_masks(graph))
    draw = torch.rand(inputs.shape)

    torch.testing.assert_close(pa.compact(model, graph, inputs)(draw), model(draw))
