"""Coupled channel slots: what must go together, what must stay and why."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from networks import GatedLinear, LayerScale, SharedModule, TiedEmbedding
from networks.cases import tokens
from prune_adapters.groups import (
    Coupling,
    Facts,
    LayerSlots,
    Recorder,
    coupled_slots,
    is_zero_padded,
    kept_pairs,
    rebuildable,
)
from prune_adapters.trace.tracer import capture


def facts_with(kept: np.ndarray, input_class: int) -> Facts:
    n_inputs = kept.shape[0] * kept.shape[2]
    return Facts(kept, np.full(n_inputs, input_class, dtype=np.uint8), np.full(n_inputs, np.nan))


def traced(model: nn.Module, x: Tensor) -> Recorder:
    """Return the slots of a model, every weight kept and every input live."""
    tape = capture(model.eval(), x)
    modules = rebuildable(tape, model)
    facts = {}
    for path, module in modules.items():
        weight = getattr(module, "weight", None)
        if weight is not None and weight.dim() > 1:
            kept = kept_pairs(torch.ones_like(weight, dtype=torch.bool), module)
            facts[path] = facts_with(kept, 2)
    return coupled_slots(tape, modules, facts)


def layer(recorder: Recorder, path: str) -> LayerSlots:
    return next(found for found in recorder.layers if found.path == path)


def roots(recorder: Recorder, path: str, side: str = "outputs") -> list[int]:
    return recorder.coupling.roots(getattr(layer(recorder, path), side)).tolist()


def reason(recorder: Recorder, path: str, channel: int = 0) -> str | None:
    return recorder.coupling.reason(int(layer(recorder, path).outputs[channel]))


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.entry, self.branch, self.head = nn.Linear(3, 4), nn.Linear(4, 4), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.relu(self.entry(x))
        return self.head(h + torch.tanh(self.branch(h)))


class Applied(nn.Module):
    """A convolution, some function of it, and a convolution after it."""

    def __init__(self, function: object, channels: int = 4, read: int = 4) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(2, channels, 3, padding=1), nn.Conv2d(read, 2, 1)
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.function(self.first(x)))


IMAGE = torch.ones(2, 2, 6, 6)


def test_joined_classes_are_one_and_share_the_reason():
    coupling = Coupling()
    slots = coupling.new(5)
    coupling.join(slots[:2], slots[2:4])
    coupling.pin(slots[3:4], "because")
    coupling.join(slots[3:4], slots[4:5])

    assert coupling.roots(slots).tolist() == [0, 1, 0, 1, 1]
    assert [coupling.reason(slot) for slot in range(5)] == [None, "because", None, "because", "because"]
    assert coupling.pinned(slots).tolist() == [False, True, False, True, True]


def test_a_later_slot_may_bring_the_reason():
    coupling = Coupling()
    slots = coupling.new(2)
    coupling.pin(slots[1:], "first")
    coupling.pin(slots[1:], "second")
    coupling.join(slots[:1], slots[1:])

    assert coupling.reason(0) == "first"


def test_a_residual_sum_couples_channel_by_channel():
    found = traced(Residual(), torch.ones(1, 3))

    assert roots(found, "entry") == roots(found, "branch") == roots(found, "head", "inputs")
    assert len(set(roots(found, "entry"))) == 4
    assert reason(found, "entry") is None
    assert reason(found, "head") == "it is an output of the model"


def test_a_flattened_channel_is_one_block_of_columns():
    model = nn.Sequential(nn.Conv2d(2, 3, 3, padding=1), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(27, 2))
    found = traced(model, IMAGE)

    assert roots(found, "3", "inputs") == np.repeat(roots(found, "0"), 9).tolist()


def test_a_depthwise_convolution_keeps_its_channels_and_a_grouped_one_its_groups():
    model = nn.Sequential(
        nn.Conv2d(2, 4, 1), nn.Conv2d(4, 4, 3, groups=4), nn.Conv2d(4, 6, 1, groups=2), nn.Conv2d(6, 2, 1)
    )
    found = traced(model, IMAGE)
    first, second = roots(found, "0")[::2]

    assert roots(found, "0") == roots(found, "1") == [first, first, second, second]
    assert roots(found, "2") == [first] * 3 + [second] * 3


def test_concatenated_channels_are_lined_up():
    found = traced(Applied(lambda h: torch.cat((h, h[:, 2:], h), dim=1), read=10), IMAGE)
    a, b, c, d = roots(found, "first")

    assert roots(found, "second", "inputs") == [a, b, c, d, c, d, a, b, c, d]


def test_halves_that_are_multiplied_are_coupled():
    for gated in (True, False):
        found = traced(GatedLinear(gated=gated), torch.ones(1, 8))

        assert roots(found, "joint")[:12] == roots(found, "joint")[12:] == roots(found, "head", "inputs")


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda h: h * h.mean(dim=1, keepdim=True), "mean reduces the channels"),
        (lambda h: h.softmax(dim=1), "softmax needs all the channels"),
        (lambda h: nn.functional.layer_norm(h.mT, (6,)), None),
        (lambda h: nn.functional.group_norm(h, 2), "group_norm has its channels in its statistics"),
        (lambda h: h + torch.ones(4, 1, 1), "add meets a tensor of fixed size"),
        (lambda h: h + torch.ones(6), None),
        (
            lambda h: h.unflatten(1, (2, 2)).transpose(1, 2).flatten(1, 2),
            "spreads the channels over several dimensions",
        ),
        (
            lambda h: torch.cat((h[:, 1:], h[:, :1]), dim=1),
            "spreads the channels over several dimensions, or singles one",
        ),
        (lambda h: h.amax(dim=3, keepdim=True).expand(-1, -1, -1, 6), None),
        (lambda h: torch.nn.functional.interpolate(h, scale_factor=2), None),
    ],
)
def test_what_needs_the_channels_as_they_are_pins_them(function, expected):
    found = traced(Applied(function), IMAGE)
    given = reason(found, "first")

    assert (given is None) == (expected is None)
    assert expected is None or expected in given


def test_channels_that_padding_adds_stay():
    found = traced(Applied(lambda h: nn.functional.pad(h, (0, 0, 0, 0, 1, 2)), read=7), IMAGE)
    reasons = [found.coupling.reason(int(slot)) for slot in layer(found, "second").inputs]

    assert [text is None for text in reasons] == [False, True, True, True, True, False, False]
    assert reasons[0] == "pad adds this channel"


def test_a_raw_parameter_pins_what_it_scales():
    found = traced(LayerScale(), torch.ones(1, 8))

    assert reason(found, "branch") == "mul meets a tensor of fixed size"


def test_constants_after_a_norm_are_uniform_where_its_whole_group_is():
    model = nn.Sequential(nn.Conv2d(2, 4, 1), nn.Conv2d(4, 4, 3, padding=1), nn.GroupNorm(2, 4), nn.Conv2d(4, 2, 1))
    tape = capture(model.eval(), IMAGE)
    kept = {
        "0": np.zeros((1, 4, 2), dtype=bool),
        "1": np.diag([True, False, False, False])[None],
        "2": np.ones((2, 2, 2), bool),
        "3": np.ones((1, 2, 4), bool),
    }
    facts = {path: facts_with(pairs, 1) for path, pairs in kept.items()}
    found = coupled_slots(tape, rebuildable(tape, model), facts)

    assert layer(found, "2").uniform.tolist() == [False, True, True, True]
    assert layer(found, "3").uniform.tolist() == [False, False, True, True]


def test_shared_and_tied_layers_are_not_rebuilt():
    shared, tied = SharedModule(), TiedEmbedding()

    assert set(rebuildable(capture(shared, torch.ones(1, 6)), shared)) == {"entry", "head"}
    assert set(rebuildable(capture(tied, tokens(20)()), tied)) == {"hidden"}


def test_uniform_constants_end_at_zero_padding():
    model = nn.Sequential(nn.Conv2d(2, 3, 1), nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3), nn.Conv2d(3, 2, 1))
    tape = capture(model.eval(), IMAGE)
    kept = {
        "0": np.zeros((1, 3, 2), dtype=bool),
        "1": np.diag([True, True, False])[None],
        "3": np.ones((1, 2, 3), bool),
    }
    facts = {path: facts_with(pairs, 1) for path, pairs in kept.items()}
    found = coupled_slots(tape, rebuildable(tape, model), facts)

    assert layer(found, "1").uniform.tolist() == [True, True, True]
    assert layer(found, "3").uniform.tolist() == [False, False, True]


@pytest.mark.parametrize(
    ("conv", "expected"),
    [
        (nn.Conv2d(1, 1, 3, padding=1), True),
        (nn.Conv2d(1, 1, 3), False),
        (nn.Conv2d(1, 1, 3, padding="same"), True),
        (nn.Conv2d(1, 1, 1, padding="same"), False),
        (nn.Conv2d(1, 1, 3, padding=1, padding_mode="circular"), False),
        (nn.ConvTranspose2d(1, 1, 3, padding=1), False),
    ],
)
def test_zero_padding_is_told_from_other_padding(conv, expected):
    assert is_zero_padded(conv) is expected


def test_kept_pairs_of_grouped_and_transposed_convolutions():
    mask = torch.zeros(4, 2, 3, 3, dtype=torch.bool)
    mask[0, 1, 2, 2] = mask[3, 0, 0, 0] = True

    assert kept_pairs(mask, nn.Conv2d(4, 4, 3, groups=2)).nonzero() == pytest.approx(np.array([[0, 1], [0, 1], [1, 0]]))
    assert kept_pairs(mask, nn.ConvTranspose2d(4, 4, 3, groups=2)).tolist() == [
        [[False, False], [True, False]],
        [[False, True], [False, False]],
    ]
