"""Optimizers and pairs of models that carry_optimizer refuses, with nothing changed."""

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

import prune_adapters as pa
from carrying import OPTIMIZERS, held, loss_of, perceptron_and_small, stepped, without_bias
from compacting import compacted
from smaller import perceptron


def snapshot(optimizer: Optimizer) -> tuple[object, object]:
    """Return what an optimizer holds, in a form that can be compared."""
    states = {
        id(p): {k: v.tolist() if isinstance(v, Tensor) else v for k, v in s.items()} for p, s in optimizer.state.items()
    }
    return held(optimizer), states


def test_a_model_that_was_not_compacted():
    model, small = perceptron_and_small()
    optimizer = torch.optim.Adam(model.parameters())

    with pytest.raises(ValueError, match="this Sequential was not returned by compact"):
        pa.carry_optimizer(optimizer, small, model)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m, s: (nn.Sequential(nn.Linear(2, 5), nn.ReLU(), nn.Linear(5, 2)), s), "'0': expected 2 inputs and 4"),
        (lambda m, s: (nn.Sequential(nn.Linear(2, 4)), s), "expected a module '2', the Sequential has '', '0'"),
        (
            lambda m, s: (m.append(nn.Linear(2, 2)), s),
            r"'3.weight': expected shape \(2, 2\) in the smaller model, got no",
        ),
        (
            lambda m, s: (m, s.append(nn.Linear(2, 2))),
            "the smaller model has '3.bias', '3.weight', which the model has n",
        ),
        (
            lambda m, s: (m, s.__setitem__(2, nn.Linear(1, 3)) or s),
            r"'2.weight': expected shape \(2, 1\) in .* got \(3, 1",
        ),
    ],
)
def test_a_pair_that_does_not_belong_together(change: Callable, message: str):
    model, small = perceptron_and_small()
    optimizer = stepped(model, OPTIMIZERS["Adam"], torch.ones(1, 2))
    model, small = change(model, small)
    before = snapshot(optimizer)

    with pytest.raises(pa.RecipeError, match=f"carry_optimizer: expected what compact made of this model: .*{message}"):
        pa.carry_optimizer(optimizer, model, small)
    assert snapshot(optimizer) == before


def test_weights_that_are_tied_in_the_model_only():
    model = nn.Sequential(*perceptron()[0], nn.Linear(2, 2), nn.Linear(2, 2))
    model[4].weight = model[3].weight
    small = compacted(model, perceptron()[1], torch.ones(1, 2))
    small[4].weight = nn.Parameter(torch.ones(2, 2))

    with pytest.raises(pa.RecipeError, match=r"'4.weight' is shared in the model and one of its own in the smaller"):
        pa.carry_optimizer(torch.optim.Adam(model.parameters()), model, small)


def test_the_optimizer_of_another_model():
    model, small = perceptron_and_small()
    other = copy.deepcopy(model)

    with pytest.raises(
        ValueError, match="carry_optimizer: the optimizer holds no parameter of the model; give the one"
    ):
        pa.carry_optimizer(torch.optim.Adam(other.parameters()), model, small)


def lbfgs(parameters: list[nn.Parameter]) -> Optimizer:
    return torch.optim.LBFGS(parameters, max_iter=2)


def test_state_that_cannot_be_cut_to_size():
    x = torch.randn(5, 2)
    model, small = perceptron_and_small()
    rows = stepped(model, lambda p: torch.optim.Adafactor(p, lr=0.1), x)
    before = snapshot(rows)
    with pytest.raises(
        ValueError, match=r"state 'row_var' of '0.weight': expected a number or a tensor of shape \(4, 2"
    ):
        pa.carry_optimizer(rows, model, small)
    history = lbfgs(list(model.parameters()))
    history.step(lambda: loss_of(model, x).backward() or 1.0)
    with pytest.raises(ValueError, match="LBFGS has one history of all parameters together; build a new optimizer"):
        pa.carry_optimizer(history, model, small)

    assert snapshot(rows) == before
    assert held(history) == [[id(p) for p in model.parameters()]]


def test_optimizers_of_that_kind_go_on_before_their_first_step():
    model, small = perceptron_and_small()
    optimizer = lbfgs(list(model.parameters()))
    pa.carry_optimizer(optimizer, model, small)
    before = copy.deepcopy(small.state_dict())
    x = torch.randn(5, 2)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = loss_of(small, x)
        loss.backward()
        return loss

    optimizer.step(closure)

    assert not torch.equal(small[2].bias, before["2.bias"])


def test_a_new_bias_is_nothing_for_an_optimizer_of_matrices():
    model, small = without_bias()
    optimizer = torch.optim.Muon([model[0].weight, model[2].weight])
    before = snapshot(optimizer)

    with pytest.raises(ValueError, match="Muon takes matrices only, and compact added a bias; build a new optimizer"):
        pa.carry_optimizer(optimizer, model, small)
    assert snapshot(optimizer) == before
