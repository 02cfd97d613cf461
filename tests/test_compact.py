"""Compacted models compute what the masked ones do, are smaller, and say what had to stay."""

import copy
import pickle
import subprocess
import sys

import pytest
import torch
from torch import Tensor, nn

import netgraph as ng
import prune_adapters as pa
from compacting import compacted, drawn, error, masked, randomized, whole_masks
from networks import CASES, edge_names
from oracle import random_masks
from smaller import padded_pair, perceptron


def test_dead_and_constant_units_of_a_drawn_network():
    model, masks = perceptron()
    small = compacted(model, masks, torch.ones(1, 2))
    values = [p.tolist() for p in small.parameters()]

    assert values == [[[1.0, 2.0]], [0.0], [[1.0], [1.0]], [10.0 + 4 * 0.5, 20.0]]
    assert str(small[0]) == "Linear(in_features=2, out_features=1, bias=True)"
    assert pa.compact_report(small) == pa.CompactReport(
        (22, 7),
        (pa.LayerChange("0", (2, 2), (4, 1)), pa.LayerChange("2", (4, 1), (2, 2))),
        (),
    )


def test_the_original_is_untouched_and_shares_nothing():
    model, masks = perceptron()
    before, train = copy.deepcopy(model.state_dict()), model.train().training
    small = compacted(model, masks, torch.ones(1, 2))
    with torch.no_grad():
        for p in small.parameters():
            p.zero_()

    torch.testing.assert_close(model.state_dict(), before, rtol=0, atol=0)
    assert model[0].out_features == 4
    assert model.training == small.training == small[0].training == train


def test_frozen_parameters_stay_frozen_and_train_flags_stay():
    model, masks = perceptron()
    model[0].requires_grad_(False)
    model[2].eval()
    small = compacted(model, masks, torch.ones(1, 2))

    assert [p.requires_grad for p in small.parameters()] == [False, False, True, True]
    assert (small.training, small[2].training) == (True, False)


def test_remembered_masks_count_and_the_result_is_dense():
    model, masks = perceptron()
    pa.apply_masks(model, masks)
    small = pa.compact(model, pa.to_graph(model, torch.ones(1, 2)), torch.ones(1, 2))

    assert pa.remembered_masks(small) == {}
    assert list(small.buffers()) == []
    assert pa.remembered_masks(model).keys() == masks.keys()


def test_nothing_to_remove_gives_an_equal_copy():
    model = CASES["resnet20_a"].model()
    small = pa.compact(model, pa.to_graph(model, CASES["resnet20_a"].inputs()), CASES["resnet20_a"].inputs())

    torch.testing.assert_close(small.state_dict(), model.state_dict(), rtol=0, atol=0)
    assert small is not model
    assert pa.compact_report(small).changes == ()


def test_a_constant_is_exact_beside_the_border():
    model, masks = padded_pair()
    x = torch.zeros(1, 1, 4, 5, dtype=torch.float64)
    small, taps_inside = (
        compacted(model, masks, x),
        torch.tensor([2.0, 3, 3, 3, 2]) * torch.tensor([[2.0], [3], [3], [2]]),
    )
    with torch.no_grad():
        found = small(x)

    torch.testing.assert_close(found[0, 0], (0.2 + 0.7) * taps_inside.double(), rtol=0, atol=1e-12)
    assert small[1].ones_weight.shape == (1, 1, 3, 3)
    assert small[1].in_channels == 1


@pytest.mark.parametrize("mode", ["circular", "reflect", "replicate"])
def test_other_padding_needs_no_map(mode):
    model, masks = padded_pair()
    conv = nn.Conv2d(2, 1, 3, padding=1, padding_mode=mode, dtype=torch.float64)
    model[1] = conv
    x = torch.ones(1, 1, 6, 6, dtype=torch.float64)
    small = compacted(model, masks, x)

    assert type(small[1]) is nn.Conv2d
    assert small[1].in_channels == 1
    assert error(masked(model, masks), small, torch.randn(2, 1, 7, 9, dtype=torch.float64)) < 1e-12


def test_a_constant_that_a_border_has_changed_stays_with_a_reason():
    """Channel 0 of the second convolution is constant, but another number beside the border."""
    model = nn.Sequential(nn.Conv2d(1, 2, 1), nn.Conv2d(2, 2, 3, padding=1), nn.Conv2d(2, 1, 1)).double()
    masks = whole_masks(model)
    masks["0.weight"][1] = False
    nn.init.ones_(model[0].bias)
    masks["1.weight"][0, 0] = False
    small = compacted(model, masks, torch.ones(1, 1, 8, 8, dtype=torch.float64))
    kept = pa.compact_report(small).kept

    assert kept == (
        pa.KeptChannels(
            "1", (0,), "its constant may differ between positions or image sizes, so no bias of '2' can hold it"
        ),
    )
    assert small[0].out_channels == 1
    assert error(masked(model, masks), small, torch.randn(1, 1, 5, 7, dtype=torch.float64)) < 1e-12


def test_constants_go_through_norm_and_activation():
    norm = nn.BatchNorm2d(2)
    model = randomized(nn.Sequential(nn.Conv2d(1, 2, 1), norm, nn.SiLU(), nn.Conv2d(2, 1, 1)).eval(), 3).double()
    masks = {"0.weight": torch.tensor([True, False]).reshape(2, 1, 1, 1)}
    small = compacted(model, masks, torch.ones(1, 1, 3, 3, dtype=torch.float64))
    value = nn.functional.silu(
        (model[0].bias - norm.running_mean) / (norm.running_var + norm.eps).sqrt() * norm.weight + norm.bias
    )[1]

    torch.testing.assert_close(small[3].bias, model[3].bias + model[3].weight[:, 1, 0, 0] * value, rtol=1e-12, atol=0)
    assert (small[1].num_features, len(small[1].running_var)) == (1, 1)


def test_a_layer_without_bias_gets_one_for_a_constant():
    model, masks = perceptron()
    model[2] = nn.Linear(4, 2, bias=False)
    masks["2.weight"] = torch.ones(2, 4, dtype=torch.bool)
    small = compacted(model, masks, torch.ones(1, 2))

    assert small[2].bias.shape == (2,)
    assert error(masked(model, masks), small, torch.randn(5, 2)) < 1e-6


def test_whole_groups_go():
    model = nn.Sequential(nn.Conv2d(2, 4, 1), nn.Conv2d(4, 6, 3, groups=2), nn.Conv2d(6, 2, 1))
    masks = whole_masks(model)
    masks["2.weight"][:, 3:] = False
    small = compacted(model, masks, torch.ones(1, 2, 5, 5))

    assert (small[0].out_channels, small[1].groups, small[1].out_channels, small[2].in_channels) == (2, 1, 3, 3)


def test_a_cut_at_a_fixed_place_keeps_its_meaning():
    class Cut(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.entry, self.head, self.rest = nn.Linear(2, 6), nn.Linear(3, 2), nn.Linear(3, 2)

        def forward(self, x: Tensor) -> Tensor:
            h = torch.relu(self.entry(x))
            return self.head(h[:, :3]) + self.rest(h[:, 3:])

    model = Cut()
    masks = whole_masks(model)
    masks["rest.weight"][:, 1] = False
    behind = compacted(model, masks, torch.ones(1, 2))
    masks["head.weight"][:, 1] = False
    before = compacted(model, masks, torch.ones(1, 2))

    assert behind.entry.out_features == 5
    assert before.entry.out_features == 6
    assert "slice cuts at fixed places" in pa.compact_report(before).kept[0].reason


def test_a_size_written_into_forward_is_named():
    class Written(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.head = nn.Conv2d(1, 4, 3), nn.Linear(16, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.conv(x).view(-1, 4 * 2 * 2))

    model = Written()
    masks = {"head.weight": torch.ones(2, 16, dtype=torch.bool)}
    masks["head.weight"][:, :4] = False

    with pytest.raises(pa.CompactError, match=r"does not run: test_compact.py:\d+: .*view\(-1, 4 \* 2 \* 2\)"):
        compacted(model, masks, torch.ones(1, 1, 4, 4))


def test_a_graph_of_another_model_is_refused():
    model, _ = perceptron()
    other = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 2))

    with pytest.raises(pa.MaskError, match="expected shape"):
        pa.compact(other, pa.to_graph(model, torch.ones(1, 2)), torch.ones(1, 2))


def test_a_report_belongs_to_what_compact_returned():
    with pytest.raises(ValueError, match="was not returned by compact"):
        pa.compact_report(nn.Linear(1, 1))


def test_the_report_in_words():
    model, masks = perceptron()
    lines = str(pa.compact_report(compacted(model, masks, torch.ones(1, 2)))).splitlines()

    assert lines == ["parameters 22 -> 7", "layer  inputs  outputs", "0      2 -> 2  4 -> 1", "2      4 -> 1  2 -> 2"]


@pytest.mark.parametrize("norm", ["mix", "through"])
def test_whichever_graph_is_given_only_its_masks_count(norm):
    """A graph that follows channels through layer norm calls live channels dead; compact does not believe it."""
    model, inputs = randomized(CASES["vit_mean"].model(), 0).double(), CASES["vit_mean"].inputs().double()
    masks = random_masks(model, edge_names(model), 0.05, seed=1)
    small = pa.compact(model, pa.to_graph(model, inputs, masks=masks, norm=norm), inputs)

    assert error(masked(model, masks), small, drawn(inputs, 0)) < 1e-12


def test_trimmed_masks_change_the_function_and_compact_follows_them():
    model, masks = perceptron()
    x = torch.ones(1, 2)
    trimmed = ng.trim(pa.to_graph(model, x, masks=masks))
    small = pa.compact(model, trimmed, x)

    assert small[2].bias.tolist() == [10.0, 20.0]


def test_a_pickled_result_of_torch_layers_loads_without_this_package(tmp_path):
    """Issue 428 of Torch-Pruning: a pruned model that loads elsewhere."""
    model, masks = perceptron()
    small = compacted(model, masks, torch.ones(1, 2))
    torch.save(small, tmp_path / "small.pt")
    code = "import sys, torch; m = torch.load(sys.argv[1], weights_only=False); print(m(torch.ones(1, 2)).tolist())"
    code += "; print('prune_adapters' in sys.modules)"
    ran = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "small.pt"], capture_output=True, text=True, check=True
    )

    assert ran.stdout.splitlines() == [str(small(torch.ones(1, 2)).tolist()), "False"]


def test_a_result_with_a_map_is_pickled_copied_and_loaded():
    model, masks = padded_pair()
    x = torch.ones(1, 1, 4, 5, dtype=torch.float64)
    small, again = compacted(model, masks, x), compacted(model, masks, x)
    with torch.no_grad():
        for p in again.parameters():
            p.zero_()
    again.load_state_dict(small.state_dict())

    for other in (again, copy.deepcopy(small), pickle.loads(pickle.dumps(small))):
        torch.testing.assert_close(other(x), small(x), rtol=0, atol=0)


def test_the_result_trains():
    model, masks = padded_pair()
    x = torch.ones(1, 1, 4, 5, dtype=torch.float64)
    small = compacted(model, masks, x)
    small(x).sum().backward()

    assert all(p.grad is not None for p in small.parameters())
