"""What earlier residual blocks foretell of later ones, and how residual blocks are found."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from torch import Tensor, nn
from torch.nn import functional as F
from torch.testing import assert_close

from models import VisionTransformer, resnet20
from networks import CASES
from prune_adapters.graph_pruning.redundancy.redundancy import explained, redundancy
from prune_adapters.graph_pruning.redundancy.residual import residual_branches


class Block(nn.Module):
    """A convolution around a skip, before or after which nothing else happens."""

    def __init__(self, width: int, *, inplace: bool = False) -> None:
        super().__init__()
        self.body, self.inplace = nn.Conv2d(width, width, 3, padding=1), inplace

    def forward(self, x: Tensor) -> Tensor:
        y = self.body(x)
        if self.inplace:
            y += x
            return F.relu_(y)
        return x + y


class Planted(nn.Module):
    """Two blocks whose branches are fixed mixtures of the input's channels, and a third after a stride."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(4, 4, 1, bias=False), nn.Conv2d(4, 4, 1, bias=False)
        self.down, self.third = nn.Conv2d(4, 4, 1, stride=2, bias=False), nn.Conv2d(4, 4, 1, bias=False)
        with torch.no_grad():
            for layer in self.children():
                layer.weight.zero_()
            self.down.weight[range(4), range(4)] = 1.0
            self.first.weight[0, 0] = self.first.weight[1, 1] = 1.0

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.first(x)
        x = x + self.second(x)
        x = self.down(x)
        return x + self.third(x)


def noise(n: int, channels: int = 4, size: int = 6) -> Tensor:
    return torch.randn(n, channels, size, size, generator=torch.Generator().manual_seed(0))


def planted(second: list[list[float]], third: list[list[float]]) -> Planted:
    """Return the network with rows of weights in the branches of the second and the third block."""
    model = Planted()
    with torch.no_grad():
        for layer, rows in ((model.second, second), (model.third, third)):
            for place, row in enumerate(rows):
                layer.weight[place, :, 0, 0] = torch.tensor(row)
    return model


def test_a_planted_copy_is_foretold_and_independent_noise_is_not():
    copies = [[1.0, 0.0, 0.0, 0.0], [2.0, -1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.5, 2.0]]
    found = redundancy(planted(copies, [[0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]]), noise(400))

    assert found.names == ("sum 1", "sum 2", "sum 3")
    assert found.stages == (0, 0, 1)
    assert_allclose(found.scores[0, 1][:2], 1.0, atol=1e-6)
    assert_allclose(found.scores[0, 1][2:], 0.0, atol=0.05)
    assert_allclose(found.scores[0, 2], [1.0, 0.0, np.nan, np.nan], atol=0.05)
    assert_allclose(found.scores[1, 2][:2], [1.0, 1.0], atol=1e-3)
    assert_allclose(found.shares[1, 0], 0.5)
    assert_allclose([found.mean(same_stage=True), found.mean(same_stage=False)], [0.5, 0.75])
    assert np.isnan(found.shares[0]).all()
    assert len(found.pooled(same_stage=True)) == 4
    assert len(found.pooled(same_stage=False)) == 4


def test_the_untrained_twin_is_the_same_network_with_other_weights():
    copies = [[1.0, 0.0, 0.0, 0.0], [2.0, -1.0, 0.0, 0.0]]
    model = planted(copies, [])
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    found, again = redundancy(model, noise(200), samples=400), redundancy(model, noise(200), samples=400)

    assert found.scores.keys() == found.twin.keys()
    assert not np.isnan(found.twin[0, 2]).any()
    assert_array_equal(found.twin[0, 1], again.twin[0, 1])
    for name, tensor in model.state_dict().items():
        assert_close(tensor, before[name], rtol=0, atol=0)


def test_r2_is_the_share_of_the_held_out_variance_that_least_squares_explains():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 5))
    y = x @ rng.normal(size=(5, 3)) + rng.normal(size=(300, 3)) * [0.1, 1.0, 5.0]
    halves = np.arange(300) % 3 > 0
    rows = np.hstack([x, np.ones((300, 1))])
    missed = y[~halves] - rows[~halves] @ np.linalg.lstsq(rows[halves], y[halves])[0]
    expected = 1 - (missed**2).sum(0) / ((y[~halves] - y[~halves].mean(0)) ** 2).sum(0)

    assert_allclose(explained(x, y, halves=halves, ridge=0.0), expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "names", "stages"),
    [
        ("resnet20_a", 9, (0, 0, 0, 1, 1, 1, 2, 2, 2)),
        ("mobilenet_v2", 3, (0, 1, 2)),
        ("densenet", 0, ()),
    ],
)
def test_stages_of_known_networks(name: str, names: int, stages: tuple[int, ...]):
    found = residual_branches(CASES[name].model().eval(), CASES[name].inputs())

    assert (len(found.names), found.stages) == (names, stages)


@pytest.mark.parametrize("inplace", [False, True])
def test_a_branch_is_what_its_module_gives_before_the_sum(inplace: bool):
    torch.manual_seed(0)
    model = nn.Sequential(*(Block(4, inplace=inplace) for _ in range(3)))
    x, held = noise(2), []
    for block in model:
        block.body.register_forward_hook(lambda _, given, output: held.append(output.detach().clone()))
    found = residual_branches(model, x).values(model, x)
    held.clear()
    with torch.no_grad():
        model(x)

    for branch, output in zip(found, held, strict=True):
        assert_close(branch, output, rtol=0, atol=0)


def test_tokens_and_several_sums_in_a_module():
    model = VisionTransformer(size=8, patch=4, width=8, depth=2, heads=2, classes=3).eval()
    found = redundancy(model, noise(40, 3, 8), samples=160, batch_size=10)

    assert found.names == ("encoder.0 1", "encoder.0 2", "encoder.1 1", "encoder.1 2")
    assert found.scores[0, 3].shape == (8,)


def test_the_table_is_read_by_eye():
    torch.manual_seed(0)
    text = str(redundancy(resnet20(width=4), noise(40, 3, 8), samples=160, batch_size=10))
    lines = text.splitlines()

    assert lines[0] == "R2 of the channels of residual blocks in a ridge regression on earlier blocks, 9 blocks"
    assert lines[2].startswith("blocks of one stage")
    assert len(lines) == 4 + 9


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"threshold": 1.0}, r"threshold: expected a number in \(0, 1\), got 1.0"),
        ({"samples": 0}, "expected samples and positions of at least 1"),
        ({"ridge": -1.0}, "ridge of at least 0"),
        ({"batch_size": 21}, "data: expected at least two batches of 21 inputs, got 40; set batch_size"),
    ],
)
def test_bad_numbers(options: dict[str, float], message: str):
    with pytest.raises(ValueError, match=message):
        redundancy(planted([], []), noise(40), **options)


def test_a_model_without_blocks_is_refused():
    with pytest.raises(ValueError, match="expected at least two residual sums in the model, found 0"):
        redundancy(nn.Sequential(nn.Conv2d(4, 4, 1), nn.ReLU()), noise(100))


def test_a_batch_of_another_size_is_refused():
    model = planted([], [])
    found = residual_branches(model, noise(4))

    with pytest.raises(ValueError, match="batches of the sizes of the first"):
        found.values(model, noise(3))
