"""SNIP and GraSP: drawn answers, what removal really does, and a model that nothing has happened to."""

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import prune_adapters as pa
from networks import CASES
from prune_adapters.scores import grasp_scores, snip_scores

Scores = Callable[..., dict[str, Tensor]]
BOTH = pytest.mark.parametrize("scores_of", [snip_scores, grasp_scores])


def drawn(seed: int, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def small_model(dtype: torch.dtype = torch.float64) -> nn.Sequential:
    """Three inputs, four hidden units, two classes, smooth; the same weights each time."""
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).to(dtype)
    for number, parameter in enumerate(model.parameters()):
        parameter.data.copy_(drawn(number, *parameter.shape, dtype=dtype))
    return model


def small_data(count: int = 6, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    return drawn(9, count, 3, dtype=dtype), torch.arange(count) % 2


def mixed_model() -> nn.Sequential:
    """Batch norm, dropout, a frozen layer and one that two places share."""
    shared = nn.Linear(4, 4)
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), shared, nn.ReLU(), shared)
    model[0].requires_grad_(False)
    return model


def state(model: nn.Module) -> dict[str, object]:
    """Return everything that a score might have changed."""
    gradients = {name: None if p.grad is None else p.grad.clone() for name, p in model.named_parameters()}
    modes = {name: module.training for name, module in model.named_modules()}
    needed = {name: p.requires_grad for name, p in model.named_parameters()}
    return {"values": copy.deepcopy(model.state_dict()), "gradients": gradients, "modes": modes, "needed": needed}


def gradient_norm(model: nn.Module, weights: dict[str, Tensor], data: tuple[Tensor, Tensor]) -> Tensor:
    """Return the squared length of the gradient of the loss by some weights, at given values of these."""
    leaves = {name: weight.detach().requires_grad_() for name, weight in weights.items()}
    loss = functional.cross_entropy(torch.func.functional_call(model, leaves, (data[0],)), data[1])
    return sum((g.square().sum() for g in torch.autograd.grad(loss, list(leaves.values()))), start=torch.tensor(0.0))


def test_snip_is_the_change_of_the_loss_when_a_weight_shrinks() -> None:
    model, data, step = small_model(), small_data(), 1e-6
    scores = snip_scores(model, data)

    for name, score in scores.items():
        weight, expected = model.get_parameter(name).data, torch.zeros_like(score)
        for place in range(weight.numel()):
            before = weight.view(-1)[place].item()
            losses = []
            for factor in (1 + step, 1 - step):
                weight.view(-1)[place] = before * factor
                losses.append(functional.cross_entropy(model(data[0]), data[1]).item())
            weight.view(-1)[place] = before
            expected.view(-1)[place] = abs(losses[0] - losses[1]) / (2 * step)
        torch.testing.assert_close(score, expected, rtol=1e-6, atol=1e-8)


def test_grasp_keeps_the_weights_whose_removal_would_cost_the_gradient_most() -> None:
    """The score is half the loss of squared gradient norm, to first order, as a weight starts on its way to 0."""
    model, data, step = small_model(), small_data(), 1e-5
    scores = grasp_scores(model, data, temperature=1)
    weights = {name: model.get_parameter(name).detach() for name in scores}

    for name, score in scores.items():
        expected = torch.zeros_like(score)
        for place in range(score.numel()):
            norms = []
            for factor in (1 + step, 1 - step):
                moved = weights[name].clone()
                moved.view(-1)[place] *= factor
                norms.append(gradient_norm(model, {**weights, name: moved}, data).item())
            expected.view(-1)[place] = (norms[0] - norms[1]) / (2 * step) / 2
        torch.testing.assert_close(score, expected, rtol=1e-5, atol=1e-8)


def test_grasp_divides_the_outputs_by_the_temperature() -> None:
    model, data = small_model(), small_data()
    cooler = copy.deepcopy(model)
    cooler.append(CoolingLayer(7.0))

    torch.testing.assert_close(grasp_scores(model, data, temperature=7.0), grasp_scores(cooler, data, temperature=1))


class CoolingLayer(nn.Module):
    """Divides by a number."""

    def __init__(self, by: float) -> None:
        super().__init__()
        self.by = by

    def forward(self, x: Tensor) -> Tensor:
        return x / self.by


@BOTH
def test_batches_add_up_to_the_whole(scores_of: Scores) -> None:
    model, (x, y) = small_model(), small_data(7)
    whole = scores_of(model, (x, y), batch_size=7)

    torch.testing.assert_close(scores_of(model, (x, y), batch_size=3), whole)
    torch.testing.assert_close(scores_of(model, [(x[:5], y[:5]), [x[5:], y[5:]]]), whole)
    torch.testing.assert_close(scores_of(model, iter([(x[:1], y[:1]), (x[1:], y[1:])])), whole)


@BOTH
@pytest.mark.parametrize("training", [True, False])
def test_nothing_of_the_model_is_changed(scores_of: Scores, training: bool) -> None:
    model = mixed_model().train(training)
    model[1].eval()
    model(torch.ones(3, 3)).sum().backward()
    before, numbers = state(model), torch.get_rng_state()

    first, second = (scores_of(model, small_data(dtype=torch.float32)) for _ in range(2))

    torch.testing.assert_close(first, second, rtol=0, atol=0)
    torch.testing.assert_close(torch.get_rng_state(), numbers)
    torch.testing.assert_close(state(model), before, rtol=0, atol=0)


@BOTH
def test_a_frozen_weight_is_scored_like_others_and_a_shared_one_once(scores_of: Scores) -> None:
    model, data = mixed_model().eval(), small_data(dtype=torch.float32)
    frozen = scores_of(model, data)

    assert list(frozen) == ["0.weight", "3.weight"]
    torch.testing.assert_close(scores_of(model.requires_grad_(True), data), frozen, rtol=0, atol=0)


@BOTH
def test_the_mode_of_the_model_decides_on_batch_norm(scores_of: Scores) -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    data = small_data(dtype=torch.float32)
    training, evaluated = (scores_of(model.train(mode), data)["0.weight"] for mode in (True, False))

    assert not torch.allclose(training, evaluated)


@BOTH
def test_seed_sets_dropout_alone(scores_of: Scores) -> None:
    model, data = mixed_model().train(), small_data(dtype=torch.float32)
    first, same, other = (scores_of(model, data, seed=seed)["3.weight"] for seed in (1, 1, 2))

    torch.testing.assert_close(first, same, rtol=0, atol=0)
    assert not torch.allclose(first, other)


@BOTH
def test_removed_weights_come_last_and_change_nothing_for_the_others(scores_of: Scores) -> None:
    """Also where training has moved them, as it does without `keep_masks`."""
    model, data = small_model(), small_data()
    kept = torch.tensor([[True, False, True]]).expand(4, 3)
    pa.apply_masks(model, {"0.weight": kept})
    before = scores_of(model, data)
    model[0].weight.data += ~kept * 5.0

    after = scores_of(model, data)

    torch.testing.assert_close(after, before, rtol=0, atol=0)
    assert set(after["0.weight"][~kept].tolist()) == {0.0 if scores_of is snip_scores else -torch.inf}
    assert torch.isfinite(after["0.weight"][kept]).all()


def test_the_gradient_that_grasp_keeps_is_that_of_kept_weights() -> None:
    """Removing a weight and leaving it out of the network are the same."""
    model, (x, y) = small_model(), small_data()
    pa.apply_masks(model, {"0.weight": torch.tensor([[True, True, False]]).expand(4, 3)})
    narrow = nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 2)).double()
    narrow.load_state_dict({**model.state_dict(), "0.weight": model[0].weight.data[:, :2]})

    masked, left_out = grasp_scores(model, (x, y)), grasp_scores(narrow, (x[:, :2], y))

    torch.testing.assert_close(masked["0.weight"][:, :2], left_out["0.weight"])
    torch.testing.assert_close(masked["2.weight"], left_out["2.weight"])


@BOTH
def test_half_precision_is_scored_in_float32(scores_of: Scores) -> None:
    model, data = small_model(torch.bfloat16), small_data(dtype=torch.bfloat16)
    expected = scores_of(copy.deepcopy(model).float(), (data[0].float(), data[1]))

    scores = scores_of(model, data)

    assert {score.dtype for score in scores.values()} == {torch.float32}
    torch.testing.assert_close(scores, expected, rtol=0, atol=0)


@BOTH
@pytest.mark.parametrize("case", ["two_inputs", "named_inputs"])
def test_several_inputs_in_order_or_by_name(scores_of: Scores, case: str) -> None:
    model, inputs = CASES[case].model(), CASES[case].inputs()
    targets = torch.tensor([0, 1])
    loss = (lambda out, y: functional.nll_loss(out["log_probabilities"], y)) if case == "named_inputs" else None
    given = {"loss": loss, **({"temperature": 1} if scores_of is grasp_scores else {})} if loss else {}

    whole = scores_of(model, (inputs, targets), batch_size=1, **given)

    torch.testing.assert_close(scores_of(model, [(inputs, targets)], **given), whole, rtol=1e-4, atol=1e-7)
    assert all(score.any() for score in whole.values())


@BOTH
@pytest.mark.parametrize("case", ["vit_class", "torch_vit", "embedding", "weight_norm", "resnet20_a", "se_resnet"])
def test_every_kind_of_network_gets_scores(scores_of: Scores, case: str) -> None:
    """Attention needs the second derivative of its kernel."""
    model, x = CASES[case].model(), CASES[case].inputs()
    graph = pa.to_graph(model, x)

    scores = scores_of(model, (x, torch.zeros(len(x), dtype=torch.long)), graph=graph)

    assert list(scores) == list(pa.magnitude_scores(model, graph=graph))
    assert sum(float(score.abs().sum()) for score in scores.values()) > 0


@BOTH
def test_a_recurrent_layer_keeps_its_own_weights(scores_of: Scores) -> None:
    model = nn.LSTM(3, 2)
    outputs = model(torch.ones(2, 1, 3))[0]

    scores = scores_of(
        model,
        (torch.ones(2, 1, 3), torch.zeros(2)),
        loss=lambda out, _: out[0].square().mean(),
        **({"temperature": 1} if scores_of is grasp_scores else {}),
    )

    assert all(score.any() for score in scores.values())
    assert all(held is own for held, own in zip(model._flat_weights, model.parameters(), strict=True))
    torch.testing.assert_close(model(torch.ones(2, 1, 3))[0], outputs, rtol=0, atol=0)


@BOTH
def test_wrappers_are_seen_through(scores_of: Scores) -> None:
    model, data = small_model(), small_data()

    torch.testing.assert_close(scores_of(nn.DataParallel(model), data), scores_of(model, data), rtol=0, atol=0)
    assert list(scores_of(model, data, parameters=["module.2.weight"])) == ["2.weight"]


def test_a_part_of_the_weights_alone_has_a_gradient_of_its_own() -> None:
    """GraSP keeps the gradient of what is scored: a part is scored as if the rest could not move."""
    model, data = small_model(), small_data()

    alone = grasp_scores(model, data, parameters=["2.weight"])["2.weight"]

    assert not torch.allclose(alone, grasp_scores(model, data)["2.weight"])


@BOTH
def test_prune_takes_them_as_a_method(scores_of: Scores) -> None:
    model, data = small_model(), small_data()
    pa.apply_masks(model, {"0.weight": torch.tensor([[True, True, False]]).expand(4, 3)})

    masks = pa.prune(model, data[0], sparsity=0.5, method=lambda net: scores_of(net, data))

    assert masks.achieved == masks.requested == 10
    assert not masks["0.weight"][:, 2].any()


@BOTH
def test_a_parameter_that_the_loss_does_not_depend_on_scores_zero(scores_of: Scores) -> None:
    model, data = small_model(), small_data()
    model[2].unused = nn.Parameter(torch.ones(2, 2, dtype=torch.float64))

    assert scores_of(model, data)["2.unused"].tolist() == [[0, 0], [0, 0]]


def test_a_loss_without_curvature_gives_grasp_nothing_to_lose() -> None:
    layer = nn.Linear(2, 1)
    scores = grasp_scores(layer, (torch.ones(1, 2), torch.zeros(1)), loss=lambda out, _: out.sum(), temperature=1)

    assert scores["weight"].tolist() == [[0, 0]]


@BOTH
def test_bad_arguments(scores_of: Scores) -> None:
    model, (x, y) = small_model(), small_data()

    with pytest.raises(ValueError, match=r"data: expected as many inputs as targets, got 6 and 5"):
        scores_of(model, (x, y[:5]))
    with pytest.raises(ValueError, match=r"data: expected at least one example, got none"):
        scores_of(model, [])
    with pytest.raises(ValueError, match=r"data: expected pairs of inputs and a tensor of targets, got Tensor"):
        scores_of(model, x)
    with pytest.raises(ValueError, match=r"loss: expected a loss that depends on a scored weight"):
        scores_of(model, (x, y), loss=lambda out, _: out.detach().sum())
    with pytest.raises(ValueError, match=r"loss: expected the mean of the batch, got shape \(6, 2\)"):
        scores_of(model, (x, y), loss=lambda out, _: out)
    with pytest.raises(FloatingPointError, match=r"scores for '0.weight': 12 of 12 are not finite"):
        scores_of(model, (x * torch.nan, y))
    with pytest.raises(pa.MaskError, match=r"no parameter 'wieght'"):
        scores_of(model, (x, y), parameters=["wieght"])


def test_bad_temperature() -> None:
    model = CASES["named_inputs"].model()

    with pytest.raises(ValueError, match=r"temperature: expected a number above 0, got 0"):
        grasp_scores(model, [], temperature=0)
    with pytest.raises(ValueError, match=r"temperature: expected a model that returns one tensor, got dict"):
        grasp_scores(model, (CASES["named_inputs"].inputs(), torch.zeros(2)))
