"""Every method on a model that is on a GPU: its budget, its masks, and a run that is resumed."""

import copy

import pytest
import torch
from torch import nn

import prune_adapters as pa
from methods_cases import METHODS, STEPS, TOTAL, Run, kept, network, nonzero

DEVICE = "cuda"

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.filterwarnings("ignore:Selective.*what is removed still has"),  # the runs are short
]
every_method = pytest.mark.parametrize("name", METHODS)


def on_device(name: str, **settings: object) -> Run:
    return Run(name, model=network().to(DEVICE), settings=settings)


@every_method
@pytest.mark.parametrize("consistent", [False, True])
def test_the_budget_is_met_and_masks_hold(name: str, consistent: bool) -> None:
    run = on_device(name, consistent=consistent).take(STEPS)
    masks = run.method.finish()

    assert masks.direct == TOTAL - round(0.8 * TOTAL) == kept(pa.remembered_masks(run.model))
    assert {mask.device.type for mask in masks.values()} == {DEVICE}
    assert masks.direct == masks.effective or not consistent
    run.take(2)
    assert nonzero(run) <= masks.direct


@pytest.mark.parametrize(
    ("name", "settings"),
    [*((name, {}) for name in METHODS), ("swd", {"refresh": 7}), ("swd", {"refresh": 7, "consistent": True})],
)
def test_a_resumed_run_goes_on_as_it_would_have(name: str, settings: dict, tmp_path) -> None:
    whole, stopped, resumed = (on_device(name, **settings) for _ in range(3))
    whole.take(STEPS)
    stopped.take(9)
    pa.save_method(tmp_path / "method.safetensors", stopped.method)
    pa.load_method(tmp_path / "method.safetensors", resumed.method)
    for part in ("model", "optimizer"):
        getattr(resumed, part).load_state_dict(copy.deepcopy(getattr(stopped, part).state_dict()))
    resumed.take(STEPS - 9)

    torch.testing.assert_close(dict(resumed.method.finish()), dict(whole.method.finish()))
    torch.testing.assert_close(resumed.model.state_dict(), whole.model.state_dict())


@every_method
def test_the_masks_are_those_of_the_cpu_but_for_rounding(name: str) -> None:
    there, here = on_device(name).take(STEPS).method.finish(), Run(name).take(STEPS).method.finish()
    same = sum(int((mask.cpu() == here[key]).sum()) for key, mask in there.items())

    assert same >= 0.95 * TOTAL


@pytest.mark.parametrize("consistent", [False, True])
def test_scales_of_batch_norms_decay_with_their_filters(consistent: bool) -> None:
    torch.manual_seed(0)
    layers = nn.Linear(6, 16, bias=False), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 4)
    model, x = nn.Sequential(*layers).to(DEVICE), torch.randn(64, 6, device=DEVICE)
    own = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-2)
    graph, given = pa.to_graph(model, x[:1]), {"sparsity": 0.9, "steps": 100, "a_max": 300.0}
    method = pa.SelectiveWeightDecay(
        model, graph=graph, optimizer=own, norms=True, refresh=5, consistent=consistent, **given
    )
    for _ in range(100):
        own.zero_grad()
        nn.functional.cross_entropy(model(x), (x[:, 0] > 0).long()).backward()
        method.after_backward()
        own.step()
        method.after_step()
    lost, scales = ~method.finish()["0.weight"].any(dim=1), model[1].weight.detach().abs()

    assert lost.any()
    assert not lost.all()
    assert scales[lost].median() < 1e-2 < scales[~lost].median()
