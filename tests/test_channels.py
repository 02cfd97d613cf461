"""Channel groups: what goes together, why, and what cannot go."""

import copy

import pytest
import torch
from torch import Tensor, nn

import prune_adapters as pa
from compacting import error
from networks import CASES, GroupNormNet, NormedStream


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.entry, self.branch, self.head = nn.Linear(3, 4), nn.Linear(4, 4), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.relu(self.entry(x))
        return self.head(h + torch.tanh(self.branch(h)))


def test_a_residual_sum_in_words():
    groups = pa.coupled_channels(Residual(), torch.ones(1, 3))

    assert [str(group) for group in groups[:1]] == [
        "group 0: entry[0], branch[0], branch[:, 0], head[:, 0]; add meets them at one index"
    ]
    assert groups[3] == pa.ChannelGroup(
        3,
        {"entry": (3,), "branch": (3,)},
        {"branch": (3,), "head": (3,)},
        {},
        "add meets them at one index",
    )
    assert groups[4].obstacle == "it is an output of the model"
    assert [group.removable for group in groups] == [True] * 4 + [False] * 2
    assert groups[0].layers == ("entry", "branch", "head")


def test_flattened_channels_are_blocks_of_columns_and_norms_come_along():
    model = nn.Sequential(
        nn.Conv2d(2, 3, 3, padding=1), nn.BatchNorm2d(3), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(27, 2)
    )
    group = pa.coupled_channels(model, torch.ones(1, 2, 6, 6))[1]

    assert (group.outputs, group.inputs) == ({"0": (1,), "1": (1,)}, {"4": tuple(range(9, 18))})
    assert str(group) == "group 1: 0[1], 1[1], 4[:, 9-17]; '0' feeds '4'"


def test_groups_of_a_convolution_go_as_a_whole():
    model = nn.Sequential(nn.Conv2d(2, 4, 1), nn.Conv2d(4, 6, 1, groups=2), nn.Conv2d(6, 2, 1))
    groups = pa.coupled_channels(model, torch.ones(1, 2, 3, 3))

    assert groups[1].outputs == {"0": (2, 3), "1": (3, 4, 5)}
    assert groups[1].inputs == {"1": (2, 3), "2": (3, 4, 5)}
    assert groups[1].reason == "conv2d in '1' has groups"


def test_a_cut_at_a_fixed_place_is_an_obstacle_only_for_what_it_moves():
    class Cut(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.entry, self.head = nn.Linear(2, 6), nn.Linear(3, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.entry(x)[:, :3])

    obstacles = [group.obstacle for group in pa.coupled_channels(Cut(), torch.ones(1, 2))[:6]]

    assert obstacles == ["slice cuts at fixed places"] * 3 + [""] * 3


def test_a_norm_over_channels_lets_them_go():
    groups = pa.coupled_channels(NormedStream(dim=6, depth=1), torch.ones(2, 6))

    assert groups[0].outputs == {"entry": (0,), "blocks.0.norm": (0,), "blocks.0.body.2": (0,), "norm": (0,)}
    assert groups[0].removable


class Tokens(nn.Module):
    """A class token before others, a position table, and a layer with a scale beside a skip."""

    def __init__(self, dim: int = 6) -> None:
        super().__init__()
        self.entry, self.norm = nn.Linear(3, dim), nn.LayerNorm(dim)
        self.layer, self.head = nn.Linear(dim, dim), nn.Linear(dim, 2)
        self.token, self.table = nn.Parameter(torch.randn(1, 1, dim)), nn.Parameter(torch.randn(5, dim))
        self.scale = nn.Parameter(torch.rand(dim, 1) + 0.5)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.cat([self.token.expand(len(x), -1, -1), self.entry(x)], dim=1) + self.table
        return self.head(x + self.layer(self.norm(x)) * self.scale.squeeze(1))[:, 0]


def test_parameters_that_a_forward_uses_by_itself_come_along():
    model, x = Tokens().double(), torch.randn(2, 4, 3, dtype=torch.float64)
    groups = pa.coupled_channels(model, x)
    small = pa.remove_channels(model, groups[1:3], x)
    silent = copy.deepcopy(model)
    for tensor in (silent.entry.weight, silent.entry.bias, silent.layer.weight, silent.layer.bias, silent.scale):
        tensor.data[1:3] = 0
    for tensor in (silent.token, silent.table, silent.layer.weight, silent.head.weight):
        tensor.data[..., 1:3] = 0
    for tensor in (silent.norm.weight, silent.norm.bias):
        tensor.data[1:3] = 0

    assert groups[1].parameters == {"token": (2, (1,)), "table": (1, (1,)), "scale": (0, (1,))}
    assert "token[:, :, 1], table[:, 1], scale[1]" in str(groups[1])
    assert (small.token.shape, small.table.shape, small.scale.shape) == ((1, 1, 4), (5, 4), (4, 1))
    assert error(silent, small, x) < 1e-12


def test_a_recipe_and_an_optimizer_know_of_these_parameters():
    model, x = Tokens(), torch.randn(2, 4, 3)
    optimizer = torch.optim.Adam(model.parameters())
    model(x).sum().backward()
    optimizer.step()
    small = pa.remove_channels(model, pa.coupled_channels(model, x)[1:3], x)
    recipe = pa.Recipe.from_json(pa.compact_recipe(small).to_json())
    again = pa.rebuild(Tokens(), recipe)
    again.load_state_dict(small.state_dict())
    momentum = optimizer.state[model.table]["exp_avg"].clone()
    pa.carry_optimizer(optimizer, model, small)

    torch.testing.assert_close(again(x), small(x), rtol=0, atol=0)
    assert {r.layer: (r.kind, r.inputs) for r in recipe.removals if r.dim is not None} == {
        "token": ("Parameter 2", (1, 2)),
        "table": ("Parameter 1", (1, 2)),
        "scale": ("Parameter 0", (1, 2)),
    }
    torch.testing.assert_close(optimizer.state[small.table]["exp_avg"], momentum[:, [0, 3, 4, 5]], rtol=0, atol=0)
    with pytest.raises(pa.RecipeError, match="'token': expected a parameter of 6 entries along dimension 2, got"):
        pa.rebuild(Tokens(7), recipe)


def test_a_parameter_that_is_used_in_another_way_too_pins_its_channels():
    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.entry, self.head, self.scale = nn.Linear(3, 4), nn.Linear(4, 2), nn.Parameter(torch.ones(4))

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.entry(x) * self.scale) / self.scale.sum()

    assert pa.coupled_channels(Both(), torch.ones(1, 3))[0].obstacle == "'scale' is used in several ways"


def test_a_table_over_positions_pins_nothing():
    class Weighed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.entry, self.head, self.scale = nn.Linear(3, 4), nn.Linear(4, 2), nn.Parameter(torch.ones(5, 1))

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.entry(x) * self.scale)

    group = pa.coupled_channels(Weighed(), torch.ones(1, 5, 3))[0]

    assert (group.obstacle, group.parameters) == ("", {})


def test_the_number_is_the_place_and_the_order_that_of_the_computation():
    groups = pa.coupled_channels(GroupNormNet(), torch.ones(1, 3, 8, 8))

    assert [group.number for group in groups] == list(range(len(groups)))
    assert groups == pa.coupled_channels(GroupNormNet(), torch.ones(2, 3, 9, 9))
    assert list(dict.fromkeys(next(iter(group.outputs)) for group in groups)) == ["stem", "inner", "head"]


@pytest.mark.parametrize("name", ["resnet18", "densenet", "mobilenet_v2", "embedding", "torch_vit", "shufflenet_v2"])
def test_every_output_channel_is_in_one_group(name):
    model, groups = CASES[name].model(), pa.coupled_channels(CASES[name].model(), CASES[name].inputs())
    found: dict[str, list[int]] = {}
    for group in groups:
        for path, channels in group.outputs.items():
            found.setdefault(path, []).extend(channels)

    for path, channels in found.items():
        layer = model.get_submodule(path)
        weight = layer.in_proj_weight if isinstance(layer, nn.MultiheadAttention) else layer.weight
        size = weight.shape[1] if isinstance(layer, nn.Embedding) else weight.shape[0]
        assert sorted(channels) == list(range(size))
