"""The battery that every method of training and pruning passes."""

import copy
import io
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torch import nn

import netgraph as ng
import prune_adapters as pa
from methods_cases import (
    GROWING,
    METHODS,
    STEPS,
    TOTAL,
    Run,
    X,
    adamw,
    assert_same_bits,
    batch,
    kept,
    network,
    nonzero,
    two_groups,
)

BUDGETS = [("direct", False), ("direct", True), ("effective", False), ("effective", True)]

pytestmark = [
    pytest.mark.filterwarnings("ignore:Selective.*what is removed still has"),  # the runs are short
    pytest.mark.filterwarnings("ignore:Selective.*stable"),
]
every_method = pytest.mark.parametrize("name", METHODS)


@every_method
@pytest.mark.parametrize(("target", "consistent"), BUDGETS)
def test_the_budget_is_met(name: str, target: str, consistent: bool) -> None:
    run = Run(name, settings={"target": target, "consistent": consistent}).take(STEPS)
    masks = run.method.finish()
    wanted = TOTAL - round(0.8 * TOTAL)

    assert masks.requested == wanted
    assert masks.achieved <= wanted
    assert masks.achieved >= wanted - (0 if target == "direct" else 5)
    assert masks.direct == masks.effective or not consistent
    assert kept(pa.remembered_masks(run.model)) == masks.direct
    assert nonzero(run) <= masks.direct


@every_method
@pytest.mark.parametrize("consistent", [False, True])
def test_what_is_removed_stays_away(name: str, consistent: bool) -> None:
    run = Run(name, settings={"consistent": consistent})
    seen = [pa.remembered_masks(run.model)]
    run.take(STEPS, every_step=lambda: seen.append(pa.remembered_masks(run.model)))
    seen.append(dict(run.method.finish()))

    for before, after in pairwise(seen):
        for weight, mask in before.items():
            assert name in GROWING or not (after[weight] & ~mask).any()
    for weight, value in run.model.named_parameters():
        assert weight not in seen[-1] or not value[~seen[-1][weight]].any()


@every_method
def test_removed_weights_have_no_optimizer_state(name: str) -> None:
    run = Run(name, make_optimizer=adamw).take(STEPS)
    masks = run.method.finish()

    for weight, mask in masks.items():
        for state in run.optimizer.state[run.model.get_parameter(weight)].values():
            assert state.shape != mask.shape or not state[~mask].any()


@every_method
def test_same_seed_same_bits(name: str) -> None:
    one, other = (Run(name).take(STEPS) for _ in range(2))

    assert dict(one.method.finish()).keys() == dict(other.method.finish()).keys()
    assert_same_bits(one.model, other.model)


@every_method
@pytest.mark.parametrize(
    ("stop", "order"), [(1, "method_last"), (7, "made_last"), (12, "method_first"), (STEPS, "method_last")]
)
def test_a_resumed_run_ends_with_the_same_bits(name: str, stop: int, order: str, tmp_path: Path) -> None:
    whole = Run(name).take(STEPS)
    begun = Run(name).take(stop)
    pa.save_method(tmp_path / "method.safetensors", begun.method)
    buffer = io.BytesIO()
    torch.save([begun.model.state_dict(), begun.optimizer.state_dict()], buffer)

    resumed = Run(name)
    buffer.seek(0)
    if order == "method_first":
        pa.load_method(tmp_path / "method.safetensors", resumed.method)
    elif order == "made_last":
        pa.remove_masks(resumed.model)
    for part, state in zip((resumed.model, resumed.optimizer), torch.load(buffer, weights_only=True), strict=True):
        part.load_state_dict(state)
    if order == "made_last":
        resumed.make_method()
    if order != "method_first":
        pa.load_method(tmp_path / "method.safetensors", resumed.method)
    resumed.take(STEPS - stop)

    torch.testing.assert_close(dict(resumed.method.finish()), dict(whole.method.finish()), rtol=0, atol=0)
    assert_same_bits(resumed.model, whole.model)


@every_method
def test_a_deep_copy_goes_its_own_way(name: str) -> None:
    run = Run(name).take(9)
    before = copy.deepcopy(run.model.state_dict())
    other = copy.deepcopy(run).take(STEPS - 9)

    torch.testing.assert_close(run.model.state_dict(), before, rtol=0, atol=0)
    run.take(STEPS - 9)
    torch.testing.assert_close(dict(run.method.finish()), dict(other.method.finish()), rtol=0, atol=0)
    assert_same_bits(run.model, other.model)


@every_method
def test_nothing_to_remove_nothing_changes(name: str) -> None:
    if "rewind" in getattr(METHODS[name], "keywords", {}):
        pytest.skip("rewinding changes the run")
    run = Run(name, sparsity=0.0).take(STEPS)
    masks = run.method.finish()
    plain = Run("one_shot", sparsity=0.0)
    for step in range(STEPS):
        plain.optimizer.zero_grad()
        plain.loss(batch(step)).backward()
        plain.optimizer.step()

    assert masks.direct == TOTAL
    assert_same_bits(run.model, plain.model)


@every_method
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_other_dtypes(name: str, dtype: torch.dtype) -> None:
    run = Run(name, dtype=dtype).take(STEPS)

    assert run.method.finish().direct == TOTAL - round(0.8 * TOTAL)
    assert all(weight.dtype == dtype and weight.isfinite().all() for weight in run.model.parameters())


@every_method
@pytest.mark.parametrize("make", [adamw, two_groups])
def test_other_optimizers_and_groups_of_parameters(name: str, make: object) -> None:
    run = Run(name, make_optimizer=make).take(STEPS)

    assert run.method.finish().direct == TOTAL - round(0.8 * TOTAL) >= nonzero(run)


@every_method
def test_accumulated_gradients_are_those_of_the_whole_batch(name: str) -> None:
    whole, halves = (Run(name, dtype=torch.float64) for _ in range(2))
    whole.take(STEPS)
    for step in range(STEPS):
        halves.optimizer.zero_grad()
        for part in batch(step).chunk(2):
            (halves.loss(part) / 2).backward()
        halves.method.penalty().backward() if halves.method.penalty().requires_grad else None
        halves.method.after_backward()
        halves.optimizer.step()
        halves.method.after_step()

    torch.testing.assert_close(halves.model.state_dict(), whole.model.state_dict(), rtol=1e-9, atol=1e-12)


@every_method
def test_with_a_gradient_scaler_and_clipping(name: str) -> None:
    run = Run(name)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10)
    for step in range(STEPS):
        run.optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            loss = run.loss(batch(step)) + run.method.penalty()
        scaler.scale(loss).backward()
        scaler.unscale_(run.optimizer)
        nn.utils.clip_grad_norm_(run.model.parameters(), 1.0)
        run.method.after_backward()
        scaler.step(run.optimizer)
        scaler.update()
        run.method.after_step()

    assert run.method.finish().direct == TOTAL - round(0.8 * TOTAL)
    assert all(weight.isfinite().all() for weight in run.model.parameters())


@every_method
def test_masks_from_before_stay(name: str) -> None:
    run = Run(name)
    pa.remove_masks(run.model)
    gone = torch.zeros(16, 6, dtype=torch.bool)
    gone[:, 3:] = True
    pa.apply_masks(run.model, {"0.weight": gone})
    after = Run(name, model=run.model)
    masks = after.take(STEPS).method.finish()

    assert name in GROWING or not (masks["0.weight"] & ~gone).any()
    assert masks.direct == TOTAL - round(0.8 * TOTAL)


@every_method
def test_stopping_early_gives_the_whole_budget(name: str) -> None:
    run = Run(name).take(5)
    masks = run.method.finish()
    again = run.method.finish()

    assert masks is again
    assert masks.direct == TOTAL - round(0.8 * TOTAL)
    run.take(3)
    assert nonzero(run) <= masks.direct


@every_method
def test_the_recipe_makes_the_method_again(name: str) -> None:
    run = Run(name, settings={"scope": "layer", "seed": 5})
    settings = run.method.settings
    again = type(run.method)(run.model, optimizer=run.optimizer, graph=run.method.graph, **settings)

    assert again.settings == settings
    assert settings["scope"] == "layer"


@every_method
def test_a_state_of_other_settings_is_refused(name: str) -> None:
    run, other = Run(name), Run(name, sparsity=0.5)
    before = pa.remembered_masks(other.model)

    with pytest.raises(pa.MethodStateError, match=r"saved with sparsity=0\.8 instead of 0\.5"):
        other.method.load_state_dict(run.method.state_dict())
    torch.testing.assert_close(pa.remembered_masks(other.model), before)


@every_method
def test_a_file_makes_the_method_again(name: str, tmp_path: Path) -> None:
    run = Run(name).take(9)
    pa.save_method(tmp_path / "method", run.method)
    method, again = run.method, Run(name)
    again.model.load_state_dict(run.model.state_dict())
    again.optimizer.load_state_dict(copy.deepcopy(run.optimizer.state_dict()))
    objects = {"scores": method.scores} if hasattr(method, "scores") else {}
    again.method = pa.restore_method(
        tmp_path / "method", again.model, optimizer=again.optimizer, graph=method.graph, **objects
    )

    assert (type(again.method), again.method.step) == (type(method), 9)
    run.take(STEPS - 9)
    again.take(STEPS - 9)
    assert_same_bits(again.model, run.model)


def test_a_file_of_an_unknown_class_is_refused(tmp_path: Path) -> None:
    class Other(pa.OneShotPruning):
        pass

    Other.__name__ = "SomebodyElses"
    pa.save_method(tmp_path / "method", Other(nn.Linear(2, 2), sparsity=0.5, steps=10))
    Other.__name__ = "Other"

    with pytest.raises(pa.MethodStateError, match="no class SomebodyElses is known; import it first"):
        pa.restore_method(tmp_path / "method", nn.Linear(2, 2))
    pa.save_method(tmp_path / "method", pa.OneShotPruning(nn.Linear(2, 2), sparsity=0.5, steps=10))
    with pytest.raises(pa.MethodStateError, match=r"settings do not fit: .*optimiser"):
        pa.restore_method(tmp_path / "method", nn.Linear(2, 2), optimiser=None)


def test_a_state_of_another_method_is_refused() -> None:
    state = Run("rigl").method.state_dict()

    with pytest.raises(pa.MethodStateError, match="GradualPruning: expected its own state, got one of Dynamic"):
        Run("gradual").method.load_state_dict(state)
    with pytest.raises(pa.MethodStateError, match="expected a state with"):
        Run("gradual").method.load_state_dict({"step": 3})


@pytest.mark.parametrize("damage", ["cut", "byte", "other", "empty"])
def test_a_damaged_file_is_refused(damage: str, tmp_path: Path) -> None:
    path = tmp_path / "method.safetensors"
    run = Run("gradual").take(12)
    pa.save_method(path, run.method)
    content = bytearray(path.read_bytes())
    if damage == "byte":
        content[-3] ^= 1
    elif damage == "other":
        pa.save_masks(path, run.method.finish())
        content = bytearray(path.read_bytes())
    path.write_bytes({"cut": content[:-9], "empty": b""}.get(damage, content))

    with pytest.raises(pa.MethodStateError, match=str(path)):
        pa.load_method(path, Run("gradual").method)


def test_a_missing_file_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="nowhere"):
        pa.read_method(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sparsity": 1.5}, "sparsity: expected the fraction to remove, in .0, 1., got 1.5"),
        ({"steps": 0}, "steps: expected at least 1, got 0"),
        ({"scope": "all"}, "scope: expected one of 'global', 'layer', 'erk', 'igq', got 'all'"),
        ({"target": "some"}, "target: expected one of 'direct', 'effective', got 'some'"),
        ({"consistent": True}, "consistent=True: expected a graph; pass graph=to_graph"),
        ({"target": "effective"}, "target 'effective': expected a graph"),
        ({"begin": 0.9}, "expected 0 <= begin < end <= 1, got 0.9 and 0.7"),
        ({"every": 0}, "every: expected at least 1 step, got 0"),
    ],
)
def test_bad_settings(settings: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        pa.GradualPruning(nn.Linear(2, 2), **{"sparsity": 0.5, "steps": 10, **settings})


def test_growing_without_gradients_says_what_is_missing() -> None:
    method = pa.DynamicSparseTraining(nn.Linear(8, 8), sparsity=0.5, steps=10, every=1)

    with pytest.raises(RuntimeError, match=r"no gradients; call after_backward\(\) in each step"):
        method.after_step()


def test_rewinding_brings_back_weights_and_learning_rate() -> None:
    run = Run("one_shot", sparsity=0.0)
    first = copy.deepcopy(run.model.state_dict())
    scheduler = torch.optim.lr_scheduler.LinearLR(run.optimizer, 1.0, 0.1, total_iters=8)
    run.method = pa.IterativePruning(
        run.model,
        sparsity=0.75,
        steps=24,
        optimizer=run.optimizer,
        rounds=2,
        rewind="weights",
        scheduler=scheduler,
    )
    rates: list[float] = []
    for _ in range(8):
        rates.append(run.optimizer.param_groups[0]["lr"])
        run.take(1)
        scheduler.step()
    again = run.optimizer.param_groups[0]["lr"]
    masks = pa.remembered_masks(run.model)

    assert rates[0] == 0.05
    assert rates[-1] < 0.02
    assert again == pytest.approx(rates[1])  # the scheduler has stepped once since
    for name, mask in masks.items():
        torch.testing.assert_close(run.model.get_parameter(name).detach(), first[name] * mask, rtol=0, atol=0)


def test_a_consistent_dynamic_network_never_spends_a_weight_off_the_paths() -> None:
    run = Run("rigl", sparsity=0.9, settings={"consistent": True})

    def check() -> None:
        graph = pa.to_graph(run.model, X[:1], masks=pa.remembered_masks(run.model))
        trimmed = pa.to_masks(ng.trim(graph))
        assert kept(trimmed) == kept(pa.remembered_masks(run.model)) == TOTAL - round(0.9 * TOTAL)

    run.take(STEPS, every_step=check)


@every_method
@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 100))])
def test_a_consistent_method_never_cuts_the_input_off(name: str, seed: int) -> None:
    settings = {"consistent": True, "seed": seed}
    masks = Run(name, sparsity=0.97, model=network(seed=seed), settings=settings).take(STEPS).method.finish()

    assert masks.direct == masks.effective == TOTAL - round(0.97 * TOTAL)


def test_one_step_of_gradual_pruning_by_hand() -> None:
    layer = nn.Linear(4, 1, bias=False)
    layer.weight.data.copy_(torch.tensor([[4.0, 3.0, 2.0, 1.0]]))
    method = pa.GradualPruning(layer, sparsity=0.5, steps=4, begin=0.0, end=0.5, every=1)
    method.after_step()  # half of the time: 0.5 * (1 - 0.5 ** 3) = 0.4375 of 4 weights

    assert layer.weight.tolist() == [[4.0, 3.0, 0.0, 0.0]]
