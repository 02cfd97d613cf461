"""What users of other pruning tools reported, each held here with the number of the report: removal.

Elsewhere: every network in tests/test_compact.py, files in tests/test_recipe_store.py, optimizers one by one in
tests/test_carry_optimizer_training.py, collapse in tests/test_acceptance_budgets.py.
"""

import copy
import pickle
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import prune_adapters as pa
from compacting import compacted, drawn, error, masked, n_parameters, randomized
from networks import CASES


class ResidualNorm(nn.Module):
    """A residual stream whose last channels are unread zeros, behind a layer norm or group norm."""

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.entry, self.norm, self.mlp, self.head = nn.Linear(3, 8), norm, nn.Linear(8, 8), nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.entry(x)
        return self.head(x + torch.relu(self.mlp(self.norm(x))))


def filter_masks(model: nn.Module, *, fraction: float, seed: int) -> dict[str, Tensor]:
    """Return masks that remove whole filters of every convolution, as all of these tools do."""
    generator, masks = torch.Generator().manual_seed(seed), {}
    for name, module in model.named_modules():
        if isinstance(module, nn.Conv2d):
            kept = torch.rand(module.out_channels, generator=generator) >= fraction
            kept[0] = True
            masks[f"{name}.weight"] = kept.reshape(-1, 1, 1, 1).expand_as(module.weight).clone()
    return masks


def without_filters(name: str) -> tuple[nn.Module, nn.Module, Tensor]:
    """Return a network whose norms have random biases, masked and compacted, and an input."""
    model, x = randomized(CASES[name].model(), 0), CASES[name].inputs()
    masks = filter_masks(model, fraction=0.5, seed=0)
    return masked(model, masks), compacted(model, masks, x).eval(), drawn(x, 1)


def loss_of(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    return nn.functional.cross_entropy(model(x), y)


def trained(model: nn.Module, optimizer: torch.optim.Optimizer, x: Tensor, y: Tensor, steps: int) -> list[float]:
    found = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = loss_of(model, x, y)
        loss.backward()
        optimizer.step()
        found.append(loss.item())
    return found


# (15) Outputs are equal to 1e-5 with random norm biases, zero padding, layer norm and group norm


@pytest.mark.parametrize("name", ["vgg_bn", "resnet20_b", "mobilenet_v2", "se_resnet"])
def test_outputs_stay_when_filters_before_a_batch_norm_go(name: str) -> None:
    """microsoft/nni#3010, he-y/filter-pruning-geometric-median#27: a filter of zeros is the norm's bias behind it."""
    expected, small, x = without_filters(name)

    assert error(expected, small, x) < 1e-5
    assert n_parameters(small) < n_parameters(expected)


def test_outputs_stay_beside_a_zero_padded_border() -> None:
    """EIDOSLAB/simplify#7, #3: a constant that goes through a padded convolution is no bias beside the border."""
    expected, small, x = without_filters("vgg_bn")
    maps = [module for module in small.modules() if "ones_weight" in module._parameters]
    exact = error(expected, small, x)
    with torch.no_grad():
        for layer in maps:
            bias = layer.ones_weight.sum((1, 2, 3))
            layer.bias = nn.Parameter(bias if layer.bias is None else layer.bias + bias)
            layer.ones_weight.zero_()

    assert maps
    assert exact < 1e-5
    assert error(expected, small, x) > 1e-3


@pytest.mark.parametrize("norm", [nn.LayerNorm(8), nn.GroupNorm(2, 8), nn.BatchNorm1d(8)], ids=["LN", "GN", "BN"])
def test_outputs_stay_behind_norms_that_count_their_channels(norm: nn.Module) -> None:
    """EIDOSLAB/simplify#3: without care the zeros that leave move the mean and the variance of those that stay."""
    model = randomized(ResidualNorm(norm), 0).eval()
    with torch.no_grad():
        model.entry.bias[6:] = 0
    masks = {n: torch.ones_like(p, dtype=torch.bool) for n, p in model.named_parameters() if p.dim() > 1}
    masks["entry.weight"][6:] = masks["mlp.weight"][:, 6:] = masks["mlp.weight"][6:] = masks["head.weight"][:, 6:] = (
        False
    )
    x = torch.randn(16, 3)
    small = compacted(model, masks, x)

    assert error(masked(model, masks), small, x) < 1e-5
    assert small.entry.out_features == 6


# (17) A pruned model loads from recipe and state_dict, without pickle


@pytest.fixture
def no_pickle(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("pickle was used")

    for name in ("load", "loads", "dump", "dumps", "Pickler", "Unpickler"):
        monkeypatch.setattr(pickle, name, refuse)
    monkeypatch.setattr(torch, "load", refuse)
    monkeypatch.setattr(torch, "save", refuse)


def test_a_pruned_model_goes_through_one_file_without_pickle(tmp_path: Path, no_pickle: None) -> None:
    """VainF/Torch-Pruning#29, #436, StijnVerdenius/SNIP-it#6: other programs have the class, not the pruned object."""
    _, small, x = without_filters("vgg_bn")
    pa.save_compacted(tmp_path / "small.safetensors", small)
    again = pa.load_compacted(tmp_path / "small.safetensors", CASES["vgg_bn"].model(7)).eval()

    assert error(small, again, x) == 0
    assert [tuple(p.shape) for p in again.parameters()] == [tuple(p.shape) for p in small.parameters()]


def test_a_state_dict_of_a_pruned_model_fits_the_class_with_its_recipe(tmp_path: Path) -> None:
    """microsoft/nni#3527, jacobgil/pytorch-pruning#26: load_state_dict alone is a size mismatch."""
    _, small, x = without_filters("mobilenet_v2")
    torch.save(small.state_dict(), tmp_path / "small.pt")
    (tmp_path / "recipe.json").write_text(pa.compact_recipe(small).to_json(), encoding="utf-8")
    values = torch.load(tmp_path / "small.pt", weights_only=True)
    dense = CASES["mobilenet_v2"].model(7)
    with pytest.raises(RuntimeError, match="size mismatch"):
        copy.deepcopy(dense).load_state_dict(values)
    again = pa.rebuild(dense, pa.Recipe.from_json((tmp_path / "recipe.json").read_text(encoding="utf-8"))).eval()
    again.load_state_dict(values)

    assert error(small, again, x) == 0


def test_masks_and_removals_are_both_kept_for_later(tmp_path: Path, no_pickle: None) -> None:
    """VainF/Torch-Pruning#428: which channels a pruned model has lost can be said from its files alone."""
    model, x = CASES["vgg_bn"].model(), CASES["vgg_bn"].inputs()
    masks = filter_masks(model, fraction=0.5, seed=0)
    pa.save_masks(tmp_path / "masks.safetensors", masks)
    pa.save_compacted(tmp_path / "small.safetensors", compacted(model, masks, x))
    stored = pa.load_masks(tmp_path / "masks.safetensors", model=model)
    recipe = pa.compact_recipe(pa.load_compacted(tmp_path / "small.safetensors", model))
    removed = {f"{r.layer}.weight": set(r.outputs) for r in recipe.removals if r.kind == "Conv2d"}

    assert removed
    for name, channels in removed.items():
        gone = (~stored[name].flatten(1).any(1)).nonzero().flatten().tolist()
        assert channels == set(gone), name


# (18) The optimizer's state goes on with the smaller model


def without_hidden(model: nn.Module, channels: range) -> dict[str, Tensor]:
    """Return masks that remove hidden units with all their weights."""
    masks = {name: torch.ones_like(model.get_parameter(name), dtype=torch.bool) for name in ("0.weight", "2.weight")}
    masks["0.weight"][list(channels)] = masks["2.weight"][:, list(channels)] = False
    return masks


@pytest.mark.parametrize("kind", [torch.optim.SGD, torch.optim.AdamW])
def test_pruning_while_training_keeps_the_momentum(kind: type[torch.optim.Optimizer]) -> None:
    """VainF/Torch-Pruning#140 (it cites #120): each round of pruning needed a new optimizer."""
    torch.manual_seed(0)
    x, y = torch.randn(64, 8, dtype=torch.float64), torch.randint(0, 3, (64,))
    dense = nn.Sequential(nn.Linear(8, 20), nn.ReLU(), nn.Linear(20, 3)).double()
    small = copy.deepcopy(dense)
    optimizers = [kind(m.parameters(), lr=0.05, weight_decay=0.01) for m in (dense, small)]
    for group in (g for optimizer in optimizers for g in optimizer.param_groups if "momentum" in g):
        group["momentum"] = 0.9
    schedulers = [torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.9) for optimizer in optimizers]
    for n_removed in (5, 10, 15):
        pa.apply_masks(dense, without_hidden(dense, range(n_removed)))
        before, small = small, compacted(small, without_hidden(small, range(5)), x)
        pa.carry_optimizer(optimizers[1], before, small)
        with pa.keep_masks(dense, optimizers[0]):
            expected, found = (trained(m, o, x, y, 5) for m, o in zip((dense, small), optimizers, strict=True))
        for scheduler in schedulers:
            scheduler.step()
        torch.testing.assert_close(torch.tensor(found), torch.tensor(expected), rtol=1e-10, atol=0)

    assert small[0].out_features == 5


def test_a_new_optimizer_would_not_go_on_the_same_way() -> None:
    """VainF/Torch-Pruning#140: what is lost with the momentum shows in the next losses."""
    x, y = torch.randn(64, 8), torch.randint(0, 3, (64,))
    model = nn.Sequential(nn.Linear(8, 20), nn.ReLU(), nn.Linear(20, 3))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    trained(model, optimizer, x, y, 10)
    small = compacted(model, without_hidden(model, range(5)), x)
    fresh = copy.deepcopy(small)
    pa.carry_optimizer(optimizer, model, small)
    carried = trained(small, optimizer, x, y, 5)
    begun_anew = trained(fresh, torch.optim.SGD(fresh.parameters(), lr=0.05, momentum=0.9), x, y, 5)

    assert carried[0] == begun_anew[0]
    assert abs(carried[-1] - begun_anew[-1]) > 1e-3
