"""Random small networks under random masks: the graph says what autograd says, however the model was captured."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import netgraph as ng
import prune_adapters as pa
from agreement import compared, masked
from networks import edge_names
from networks.grammar import LAYERS, Concat, Conv, Depthwise, Gate, Layer, Pool, Residual, Sentence
from oracle import random_masks

DRAWS = 16
"""In one draw of the oracle of two a channel far below its group's mean is shut behind a ReLU."""

widths = st.sampled_from((4, 3, 6, 8, 1))
kernels = st.sampled_from((1, 3, 5))
layers = st.builds(Layer, st.sampled_from(sorted(LAYERS, key=lambda kind: (kind != "relu", kind))))
convs = st.builds(
    Conv,
    width=widths,
    kernel=kernels,
    stride=st.integers(1, 2),
    dilation=st.integers(1, 2),
    groups=st.sampled_from((1, 1, 2, 3, 4)),
    padding=st.sampled_from(("same", "none", "more")),
    bias=st.booleans(),
)
depthwise = st.builds(Depthwise, times=st.integers(1, 2), kernel=kernels, stride=st.integers(1, 2))
pools, gates = st.builds(Pool, st.sampled_from(("max", "avg"))), st.builds(Gate, width=st.integers(1, 3))
simple = st.one_of(layers, convs, convs, convs, depthwise, pools, gates)

BOUNDS = {torch.float32: 1e-5, torch.float64: 1e-12}
"""Largest max|dy| / max|y| between a compacted and a masked network."""


def sequences(block: st.SearchStrategy, least: int, most: int) -> st.SearchStrategy:
    """Return tuples of `least` to `most` blocks, every second one followed by a layer, as networks have it."""
    pairs = st.tuples(block, layers) | st.tuples(block)
    return st.lists(pairs, min_size=least, max_size=most).map(lambda parts: sum(parts, ()))


def branched(block: st.SearchStrategy) -> st.SearchStrategy:
    inner = sequences(block, 0, 2)
    return st.one_of(
        st.builds(Residual, inner),
        st.builds(Residual, inner, width=widths),
        st.builds(Concat, inner, inner),
    )


blocks = st.one_of(simple, branched(simple), branched(simple | branched(simple)))
sentences = st.builds(
    Sentence,
    body=sequences(blocks, 1, 5),
    images=st.sampled_from((True, True, False)),
    readout=st.sampled_from(("pool", "flatten")),
    tail=sequences(simple, 0, 1),
    seed=st.integers(0, 1000),
)


@dataclass(frozen=True)
class Pruning:
    """Which weights go: each with probability 1 - `density`, and a share of all rows and columns `emptied`.

    A share `channels` of the numbers below each width goes wherever a layer has this width, as in a residual stream.
    """

    density: float
    emptied: float
    seed: int
    channels: float = 0.0

    def masks(self, model: nn.Module) -> dict[str, Tensor]:
        masks = random_masks(model, edge_names(model), self.density, seed=self.seed)
        generator = torch.Generator().manual_seed(self.seed)
        for mask in masks.values():
            for dim in (0, 1):
                mask.movedim(dim, 0)[torch.rand(mask.shape[dim], generator=generator) < self.emptied] = False
                mask.movedim(dim, 0)[self.empty_channels(mask.shape[dim])] = False
        return masks

    def empty_channels(self, width: int) -> Tensor:
        return torch.rand(width, generator=torch.Generator().manual_seed(self.seed + width)) < self.channels


prunings = st.builds(
    Pruning,
    density=st.sampled_from((1.0, 0.5, 0.3, 0.2, 0.1)),
    emptied=st.sampled_from((0.0, 0.2, 0.3, 0.5)),
    seed=st.integers(0, 1000),
    channels=st.sampled_from((0.0, 0.4, 0.7)),
)


def lifts_zero(model: nn.Module) -> bool:
    """Return whether some f(0) is a constant that no mask can take away: trimmed edges behind it have a gradient."""
    return any(isinstance(module, nn.Sigmoid) for module in model.modules())


def check_gradients(sentence: Sentence, pruning: Pruning) -> None:
    """Hold the graph against the gradient oracle."""
    model, inputs = sentence.model(), sentence.inputs()[0]
    graph, masks = pa.to_graph(model, inputs, masks={}), pruning.masks(model)
    questions = ("drop_dead",) if lifts_zero(model) else ("drop_dead", "trim")

    assert set(graph.edge_parameters) == set(edge_names(model))
    for question in questions:
        assert compared(model, inputs, graph, masks, question, draws=DRAWS) == {}, question


def check_captures(sentence: Sentence, pruning: Pruning) -> None:
    """Hold the graphs of both captures, and of both settings for positions, against each other."""
    model, inputs = sentence.model(), sentence.inputs()[0]
    masks = pruning.masks(model)
    options = [{"follow": f, "positions": p} for f in (None, "example") for p in ("join", "split")]
    graphs = [masked(pa.to_graph(model, inputs, masks={}, **each), masks) for each in options]
    for clear in (ng.trim, ng.drop_dead):
        first, *others = [pa.to_masks(clear(graph)) for graph in graphs]

        for found in others:
            torch.testing.assert_close(found, first, rtol=0, atol=0)


def check_compact(sentence: Sentence, pruning: Pruning) -> None:
    """Hold the compacted network against the masked one, in both precisions, on two inputs of different size."""
    model, inputs = sentence.model(), sentence.inputs()
    graph = pa.to_graph(model, inputs[0], masks=pruning.masks(model))
    for dtype, bound in BOUNDS.items():
        masked_model = pa.apply_masks(sentence.model().to(dtype), pa.to_masks(graph))
        compacted = pa.compact(sentence.model().to(dtype), graph, inputs[0].to(dtype))

        assert type(compacted) is type(model)
        assert size(compacted) <= size(model)
        for x in inputs:
            assert relative_error(compacted, masked_model, x.to(dtype)) < bound, dtype


def size(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def relative_error(model: nn.Module, expected: nn.Module, x: Tensor) -> float:
    """Return max|dy| / max|y|."""
    with torch.no_grad():
        y, right = model(x), expected(x)
    return float((y - right).abs().max() / right.abs().max())


BORDERS = Sentence((Residual(width=8), Layer("gelu")) * 2), Pruning(0.5, 0.5, 0)
"""Constants behind zero padding: wrong if the next bias takes them over as plain numbers."""


def cases(check: Callable[[Sentence, Pruning], None], number: int) -> Callable[[], None]:
    """Return a test of `check` on this many sentences with masks."""
    return settings(max_examples=number)(given(sentences, prunings)(check))


test_kept_elements_are_those_with_a_gradient = cases(check_gradients, 15)
test_both_captures_find_the_same_edges = cases(check_captures, 15)
test_compacted_networks_compute_the_same = example(*BORDERS)(cases(check_compact, 15))
test_many_kept_elements_are_those_with_a_gradient = pytest.mark.slow(cases(check_gradients, 500))
test_many_captures_find_the_same_edges = pytest.mark.slow(cases(check_captures, 500))
test_many_compacted_networks_compute_the_same = pytest.mark.slow(cases(check_compact, 500))
