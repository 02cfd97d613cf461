"""Least squares: weights fitted to what a layer gave before channels went."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import prune_adapters as pa
from prune_adapters.graph_pruning.net.calibration import recalibrate
from prune_adapters.graph_pruning.smaller.reconstruct import NormalEquations, reconstruct
from residual_net import PICTURE, outputs_of, pictures, residual, without


def test_the_sums_are_those_of_numpy():
    rng = np.random.default_rng(0)
    rows, wanted = rng.normal(size=(50, 4)), rng.normal(size=(50, 3))
    equations = NormalEquations(4, 3)
    for part in (slice(0, 20), slice(20, 50)):
        equations.add(torch.from_numpy(rows[part]), torch.from_numpy(wanted[part]))
    strength = 0.1 * (rows**2).sum(axis=0).mean()
    expected = np.linalg.solve(rows.T @ rows + strength * np.eye(4), rows.T @ wanted)

    np.testing.assert_allclose(equations.solved(0.1).numpy(), expected, rtol=1e-10)
    np.testing.assert_allclose(NormalEquations(2, 1).solved(0.0).numpy(), np.zeros((2, 1)))


def test_with_nothing_removed_every_weight_stays_to_the_bit():
    model = residual()
    small = pa.remove_channels(model, [], PICTURE)
    again = reconstruct(small, model, pictures(16, 1))

    for name, tensor in model.state_dict().items():
        torch.testing.assert_close(again.state_dict()[name], tensor, rtol=0, atol=0)


@pytest.mark.parametrize("positions", [None, 20])
def test_channels_that_were_combinations_of_others_are_made_up_for(positions: int | None):
    """After a linear layer the channels that go are sums of those that stay, so the next layer can do without them."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 6, 3), nn.Conv2d(6, 5, 3, padding=1, stride=2), nn.ReLU(), nn.Flatten())
    model.append(nn.Linear(45, 2))
    with torch.no_grad():
        model[0].weight[4] = model[0].weight[0] - 2 * model[0].weight[1]
        model[0].bias[4] = model[0].bias[0] - 2 * model[0].bias[1]
        model[0].weight[5], model[0].bias[5] = model[0].weight[2], model[0].bias[2]
    x, other = pictures(32, 0), pictures(8, 1)
    small = without(model, "0", [4, 5], x[:1])
    again = reconstruct(small, model, x, positions=positions)

    assert (small(other) - model(other)).abs().max() > 0.05
    torch.testing.assert_close(again(other), model(other), rtol=0, atol=1e-4)


@pytest.mark.parametrize("seed", range(3))
def test_no_layer_gets_worse_than_by_plain_removal(seed: int):
    model, x = residual(seed), pictures(32, seed)
    small = without(model, "first", [0, 3, 5], PICTURE)
    again = reconstruct(small, model, x, positions=None)
    wanted = outputs_of(model, "second", x)
    errors = [float((outputs_of(m, "second", x) - wanted).square().sum()) for m in (small, again)]

    assert errors[1] < 0.9 * errors[0]
    torch.testing.assert_close(again.first.weight, small.first.weight, rtol=0, atol=0)
    torch.testing.assert_close(again.depthwise.weight, small.depthwise.weight, rtol=0, atol=0)


def test_a_later_layer_is_fitted_to_what_the_earlier_ones_give_now():
    """The least error of the last layer, on its own inputs in the smaller network, is the one of numpy's lstsq."""
    torch.manual_seed(1)
    model = nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 6), nn.Tanh(), nn.Linear(6, 3))
    x = torch.randn(200, 5)
    again = reconstruct(without(model, "0", [1, 2, 6], x[:1]), model, x, ridge=0.0)
    with torch.no_grad():
        rows = torch.cat([again[:4](x), torch.ones(200, 1)], dim=1).double().numpy()
        wanted, found = model(x).double().numpy(), again(x).double().numpy()
    best = rows @ np.linalg.lstsq(rows, wanted, rcond=None)[0]

    np.testing.assert_allclose(((found - wanted) ** 2).sum(), ((best - wanted) ** 2).sum(), rtol=1e-4)


@pytest.mark.parametrize("padding_mode", ["zeros", "circular", "reflect"])
@pytest.mark.parametrize("padding", [0, 2, "same"])
def test_windows_of_a_convolution_are_what_it_sees(padding: int | str, padding_mode: str):
    from prune_adapters.graph_pruning.smaller.reconstruct import _windows

    layer = nn.Conv2d(3, 4, (3, 5), padding=padding, padding_mode=padding_mode, dilation=(2, 1))
    x = pictures(2, 0)
    product = layer.weight.flatten(1) @ _windows(layer, x) + layer.bias[:, None]

    torch.testing.assert_close(product, layer(x).flatten(2))


def test_a_layer_that_runs_twice_stays():
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.body, self.last = nn.Linear(3, 4), nn.Linear(4, 4), nn.Linear(4, 2)
            self.hidden = nn.Linear(2, 5)
            self.out = nn.Linear(5, 2)

        def forward(self, x: Tensor) -> Tensor:
            x = self.body(torch.tanh(self.body(torch.tanh(self.first(x)))))
            return self.out(input=torch.tanh(self.hidden(torch.tanh(self.last(x)))))

    torch.manual_seed(0)
    model, x = Twice(), torch.randn(50, 3)
    again = reconstruct(without(model, "hidden", [0, 1], x[:1]), model, x)

    torch.testing.assert_close(again.body.weight, model.body.weight, rtol=0, atol=0)
    assert not torch.equal(again.out.weight, model.out.weight[:, 2:])


def test_statistics_are_the_mean_over_batches():
    torch.manual_seed(0)
    model, x = nn.Sequential(nn.BatchNorm1d(3), nn.Dropout(0.5), nn.BatchNorm1d(3)), torch.randn(40, 3)
    recalibrate(model, x, batch_size=20)
    means = torch.stack([x[:20].mean(0), x[20:].mean(0)]).mean(0)

    torch.testing.assert_close(model[0].running_mean, means)
    assert all(module.training for module in model.modules())
    assert model[0].momentum == 0.1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m, s: reconstruct(s, m, PICTURE, ridge=-1.0), "ridge: expected at least 0, got -1.0"),
        (lambda m, s: reconstruct(s, m, PICTURE, positions=0), "positions: expected at least 1 of a picture"),
        (lambda m, s: reconstruct(s, m, PICTURE[:0]), "calibration: expected at least one input, got none"),
        (lambda m, s: reconstruct(s, m, []), "calibration: expected at least one input, got none"),
        (lambda m, s: reconstruct(m, m, PICTURE), "was not returned by compact"),
    ],
)
def test_bad_input_of_reconstruct(call: Callable, message: str):
    model = residual()
    with pytest.raises(ValueError, match=message):
        call(model, pa.remove_channels(model, [], PICTURE))
