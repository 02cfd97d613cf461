"""How far a run shrinks the weights under selective weight decay, and which strength a wanted shrink needs."""

import math

import pytest
import torch

import prune_adapters as pa

RATES = [0.1, 0.01, 0.001]
RUN = {"weight_decay": 5e-4, "momentum": 0.9}


@pytest.mark.parametrize(
    ("steps", "a_max", "shrink"),
    [
        (3910, 1e3, -1.8),
        (3910, 1e4, -11.5),
        (3910, 1e5, -32),
        (780, 1e3, -0.3),
        (780, 1e4, -2.1),
        (780, 1e5, -6.1),
        (780, 1e6, -9.9),
    ],
)
def test_known_figures(steps, a_max, shrink):
    """Those of our notes on the paper, to the digits that they have."""
    assert pa.decay_shrink(RATES, steps=steps, a_max=a_max, **RUN) == pytest.approx(shrink, abs=0.06)


@pytest.mark.parametrize(("steps", "shrink"), [(780, -2.0), (780, -6.0), (3910, -6.0), (3910, -20.0)])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_the_suggestion_shrinks_as_far_as_wanted_and_is_stable(steps, shrink, momentum):
    given = {"weight_decay": 5e-4, "momentum": momentum, "steps": steps}
    a_max = pa.suggest_a_max(RATES, shrink=shrink, **given)
    strengths = [pa.decay_strength(step / steps, a_min=0.1, a_max=a_max) for step in range(steps)]

    assert pa.decay_shrink(RATES, a_max=a_max, **given) <= shrink
    assert pa.decay_shrink(RATES, a_max=a_max / 1.01, **given) > shrink
    assert all(RATES[3 * s // steps] * 5e-4 * (1 + a) < 2 * (1 + momentum) for s, a in enumerate(strengths))


@pytest.mark.parametrize("optimizer", ["SGD", "AdamW"])
def test_a_weight_under_the_term_shrinks_as_computed(optimizer):
    steps, rate = 60, 0.1
    weight = torch.nn.Linear(2, 1, bias=False).double()
    weight.weight.data.copy_(torch.tensor([[1e-3, 1.0]]))
    own = getattr(torch.optim, optimizer)(weight.parameters(), lr=rate, weight_decay=5e-3)
    method = pa.SelectiveWeightDecay(weight, sparsity=0.5, steps=steps, optimizer=own, a_max=1e3)
    for _ in range(steps):
        weight.weight.grad = torch.zeros_like(weight.weight)
        method.after_backward()
        own.step()
        method.after_step()
    expected = pa.decay_shrink([rate], weight_decay=5e-3, steps=steps, a_max=1e3, decoupled=optimizer == "AdamW")
    left = weight.weight[0, 0].abs().item() / 1e-3

    assert expected < -1.0
    assert math.log10(left) == pytest.approx(expected, abs=1e-3)


def test_rates_by_epoch_by_step_and_by_function_are_one():
    by_step = [RATES[3 * step // 780] for step in range(780)]
    found = [pa.decay_shrink(r, steps=780, a_max=1e4, **RUN) for r in (RATES, by_step, by_step.__getitem__)]

    assert found[0] == found[1] == found[2]


def test_a_learning_rate_of_0_bounds_nothing():
    rates = [0.0] * 10 + [0.1] * 990

    assert pa.suggest_a_max(rates, steps=1000, shrink=-3.0, **RUN) > 0.1


def test_a_strength_past_the_bound_blows_weights_up():
    assert pa.decay_shrink([0.1], steps=100, a_max=1e6, **RUN) > 0
    assert pa.decay_shrink([0.1], steps=10_000, a_max=1e9, **RUN) > 10_000  # far beyond the floats


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shrink": -6.0}, "reaches in 100 steps, got -6; the best is -2.* at a_max .*; take more steps"),
        ({"shrink": 6.0}, "shrink: expected a log10 below 0, such as -6.0, got 6.0"),
        ({"steps": 0}, "steps: expected at least 1, got 0"),
        ({"momentum": 1.0}, r"momentum: expected a number in \[0, 1\), got 1.0"),
        ({"weight_decay": 0.0}, "expected weight_decay and a_min above 0, got 0.0 and 0.1"),
        ({"weight_decay": 100.0}, "learning rate 0.1 of step 0 with weight decay 100 is unstable at any a_max"),
        ({"learning_rates": []}, "learning_rates: expected 1 to 100 rates, at most one a step, got 0"),
    ],
)
def test_what_does_not_fit_is_told(options, message):
    given = {"learning_rates": RATES, "steps": 100, "shrink": -1.0} | RUN | options
    with pytest.raises(ValueError, match=message):
        pa.suggest_a_max(**given)
