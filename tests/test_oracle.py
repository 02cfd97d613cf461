"""The oracles are right where the answer is drawn by hand, and where plain reachability is known to be exact."""

from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from networks import CASES, MLP, VGG, GatedLinear, LayerScale, LeNet, NormedWeight, ViT, edge_names
from oracle import CONSTANT, LIVE, ZERO, input_gradient, live_masks, random_masks, value_classes

HIDDEN = torch.tensor([[1, 0], [0, 0], [0, 1]], dtype=torch.bool)
OUT = torch.tensor([[1, 1, 0], [0, 1, 0]], dtype=torch.bool)
X = torch.ones(1, 2)


def full_masks(model, **changed):
    """Return masks that keep every edge, but for those given (dots in names as double underscores)."""
    parameters = dict(model.named_parameters())
    masks = {name: torch.ones_like(parameters[name], dtype=torch.bool) for name in edge_names(model)}
    return masks | {name.replace("__", "."): mask for name, mask in changed.items()}


def without_rows(model, name, rows):
    mask = torch.ones_like(model.get_parameter(name), dtype=torch.bool)
    mask[rows] = False
    return mask


def drawn_mlp():
    """2 inputs, 3 hidden, 2 outputs: hidden 1 has no source, hidden 2 no target, output 1 hears only hidden 1."""
    model = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 2))
    return model, {"0.weight": HIDDEN, "2.weight": OUT}


def test_drawn_mlp_keeps_only_what_lies_on_a_path():
    model, masks = drawn_mlp()

    live = live_masks(model, X, masks)

    assert live["0.weight"].tolist() == [[True, False], [False, False], [False, False]]
    assert live["2.weight"].tolist() == [[True, False, False], [False, False, False]]


def test_with_biases_the_weights_behind_a_constant_count_too():
    model, masks = drawn_mlp()

    live = live_masks(model, X, masks, constants=True)

    assert live["0.weight"].tolist() == [[True, False], [False, False], [False, False]]
    assert live["2.weight"].tolist() == OUT.tolist()


def test_drawn_mlp_has_a_constant_where_only_a_bias_speaks():
    model, masks = drawn_mlp()

    classes = value_classes(model, X, masks, ["0", "2"])

    assert classes["0"].tolist() == [LIVE, CONSTANT, LIVE]
    assert classes["2"].tolist() == [LIVE, CONSTANT]
    assert input_gradient(model, X, masks, "0", 1) == (False, True)
    assert input_gradient(model, X, masks, "0", 0) == (True, True)


def test_without_biases_the_same_unit_is_zero():
    model = MLP((2, 3, 2), bias=False)
    masks = {"layers.0.weight": HIDDEN, "layers.1.weight": OUT}

    assert value_classes(model, X, masks, ["layers.0"])["layers.0"].tolist() == [LIVE, ZERO, LIVE]
    assert input_gradient(model, X, masks, "layers.0", 1) == (False, False)


def test_a_skip_keeps_alive_what_its_branch_drops():
    model = LayerScale()
    masks = full_masks(model, branch__weight=torch.zeros(12, 12, dtype=torch.bool))

    live = live_masks(model, torch.ones(2, 8), masks)

    assert live["entry.weight"].all()
    assert not live["branch.weight"].any()


def test_a_product_with_zero_is_dead_for_the_other_factor():
    model = GatedLinear(gated=False)
    masks = full_masks(model, joint__weight=without_rows(model, "joint.weight", 0))

    live = live_masks(model, torch.ones(2, 8), masks)

    assert not live["joint.weight"][[0, 12]].any()
    assert live["joint.weight"][torch.arange(24) % 12 != 0].all()
    assert live["head.weight"].any(dim=0).tolist() == [False] + [True] * 11


def test_a_sigmoid_of_zero_is_a_constant_factor():
    model = GatedLinear(gated=True)
    no_gate = full_masks(model, joint__weight=without_rows(model, "joint.weight", slice(12, 24)))
    no_value = full_masks(model, joint__weight=without_rows(model, "joint.weight", slice(0, 12)))

    assert live_masks(model, torch.ones(2, 8), no_gate)["joint.weight"][:12].all()
    assert not live_masks(model, torch.ones(2, 8), no_value)["joint.weight"].any()


@pytest.mark.parametrize(
    ("norm", "mixes"), [(nn.LayerNorm, True), (partial(nn.GroupNorm, 1), True), (nn.BatchNorm1d, False)]
)
def test_layer_and_group_norm_mix_channels_and_batch_norm_does_not(norm, mixes):
    model = nn.Sequential(nn.Linear(2, 3), norm(3), nn.Linear(3, 1))
    only_first = torch.tensor([[True, False, False]])
    masks = {"0.weight": torch.ones(3, 2, dtype=torch.bool), "2.weight": only_first}

    live = live_masks(model, X, masks)["0.weight"]

    assert live.all(dim=1).tolist() == [True, mixes, mixes]
    assert live.any(dim=1).tolist() == [True, mixes, mixes]


def test_attention_without_values_needs_no_scores():
    model = ViT(image=8, patch=4, dim=4, depth=1, heads=1, hidden=4, classes=2, readout="mean")
    name = "blocks.0.attention.qkv.weight"
    no_values = full_masks(model, **{name: without_rows(model, name, slice(8, 12))})
    no_queries = full_masks(model, **{name: without_rows(model, name, slice(0, 4))})
    x = torch.ones(1, 3, 8, 8)

    assert not live_masks(model, x, no_values)[name].any()
    assert live_masks(model, x, no_queries)[name].any(dim=1).tolist() == [False] * 8 + [True] * 4


def test_groups_keep_their_channels_apart():
    model = nn.Sequential(nn.Conv2d(4, 4, 1, groups=2), nn.Conv2d(4, 4, 3, padding=1, groups=4), nn.Conv2d(4, 1, 1))
    only_last = torch.tensor([False, False, False, True]).reshape(1, 4, 1, 1)
    masks = full_masks(model, **{"2.weight": only_last})

    live = live_masks(model, torch.ones(1, 4, 5, 5), masks)

    assert live["0.weight"].flatten(1).all(dim=1).tolist() == [False, False, False, True]
    assert live["1.weight"].flatten(1).all(dim=1).tolist() == [False, False, False, True]


def test_a_tap_that_sees_only_padding_has_no_gradient():
    """So the oracle wraps around unless told not to: the graph knows no image size."""
    model = nn.Sequential(nn.Conv2d(1, 1, 3, padding=1))
    x = torch.ones(1, 1, 1, 1)

    assert live_masks(model, x, full_masks(model), wrap=False)["0.weight"].flatten().nonzero().tolist() == [[4]]
    assert live_masks(model, x, full_masks(model))["0.weight"].all()


@pytest.mark.parametrize("name", CASES)
def test_everything_is_live_in_a_dense_network(name):
    """No activation saturates and no term cancels: whatever the oracle calls dead, a mask has cut off."""
    case = CASES[name]
    model = case.model()

    live = live_masks(model, case.inputs(), full_masks(model))

    assert {parameter: int((~mask).sum()) for parameter, mask in live.items() if not mask.all()} == {}


@pytest.mark.parametrize("name", ["vgg", "resnet18", "mobilenet_v2", "densenet"])
def test_wrapping_around_only_adds_what_padding_hid(name):
    case = CASES[name]
    model = case.model()
    masks = random_masks(model, edge_names(model), 0.1, seed=0, least=2.0)

    padded, wrapped = (live_masks(model, case.inputs(), masks, wrap=wrap) for wrap in (False, True))

    assert not any((padded[parameter] & ~wrapped[parameter]).any() for parameter in masks)


def reachable(masks):
    """Return the elements of a chain of layers that lie on a path from an input to an output, by plain loops."""
    chain = list(masks.values())
    blocks, channels = [], chain[0].shape[1]
    for mask in chain:
        blocks.append(mask.reshape(mask.shape[0], channels, -1).numpy())
        channels = mask.shape[0]
    forward, backward = [np.ones(blocks[0].shape[1], bool)], [np.ones(blocks[-1].shape[0], bool)]
    for block in blocks:
        forward.append((block.any(axis=2) & forward[-1]).any(axis=1))
    for block in reversed(blocks):
        backward.insert(0, (block.any(axis=2) & backward[0][:, None]).any(axis=0))
    kept = [b & s[None, :, None] & t[:, None, None] for b, s, t in zip(blocks, forward, backward[1:], strict=False)]
    return {name: torch.from_numpy(k).reshape(masks[name].shape) for name, k in zip(masks, kept, strict=True)}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("density", [0.5, 0.1, 0.05, 0.02])
@pytest.mark.parametrize("build", [MLP, LeNet, VGG])
def test_chains_agree_with_plain_reachability(build, density, seed):
    model = build()
    masks = random_masks(model, edge_names(model), density, seed=seed)
    x = {MLP: torch.ones(1, 12), LeNet: torch.ones(1, 1, 28, 28), VGG: torch.ones(1, 3, 32, 32)}[build]

    live = live_masks(model, x, masks)

    for name, mask in reachable(masks).items():
        assert torch.equal(live[name], mask), name


def test_the_model_is_not_changed():
    model = NormedWeight()
    before = {name: value.clone() for name, value in model.state_dict().items()}

    live_masks(model, torch.ones(2, 8), full_masks(model))

    model(torch.ones(2, 8))
    torch.testing.assert_close(dict(model.state_dict()), before, rtol=0, atol=0)
