"""Layers of a model exchanged for sparse ones and back: what is chosen, what stays, what the optimizer holds."""

import copy
from importlib import import_module

import pytest
import torch
from torch import nn

import netgraph as ng
import prune_adapters as pa


class Net(nn.Module):
    """Two convolutions, a head that is used twice, and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 16, 3, padding=1)
        self.second = nn.Conv2d(16, 32, 3, stride=2)
        self.norm = nn.BatchNorm2d(32)
        self.hidden = nn.Linear(32, 64)
        self.head = nn.Linear(64, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.norm(self.second(self.first(x).relu())).relu()
        return self.head(self.hidden(x.mean(dim=(2, 3))).relu())


def masked_net(seed: int = 0) -> Net:
    torch.manual_seed(seed)
    net = Net().double()
    graph = ng.generators.circulant(4, degree=2)
    masks = pa.regular_masks(net, torch.randn(2, 3, 9, 9).double(), graph, dense=["first.weight", "head.weight"])
    masks["head.weight"] = torch.rand(10, 64) < 0.1
    return pa.apply_masks(net, masks)


X = torch.randn(4, 3, 9, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("policy", ["sparse", "regular", "dense", "predict"])
def test_the_model_computes_the_same_in_every_form(policy: str) -> None:
    net = masked_net()
    net(X)  # running statistics
    dense = copy.deepcopy(net).eval()
    record = pa.sparsify(net, policy=policy)
    torch.testing.assert_close(net.eval()(X), dense(X))
    assert list(net.state_dict()) == list(dense.state_dict())
    torch.testing.assert_close(dict(net.state_dict()), dict(dense.state_dict()), rtol=0, atol=0)
    assert list(record.forms) == ["second", "hidden", "head"]
    back = pa.densify(net)
    assert str(back) == str(dense)
    for found, wanted in zip(pa.remembered_masks(back).items(), pa.remembered_masks(dense).items(), strict=True):
        assert found[0] == wanted[0]
        assert torch.equal(found[1], wanted[1])


def test_forms_are_those_that_are_asked_for() -> None:
    net = masked_net()
    record = pa.sparsify(net, policy="regular")

    assert record.forms == {"second": "dense", "hidden": "regular", "head": "dense"}  # 4 inputs a block are too few
    assert isinstance(net.hidden, pa.RegularLinear)
    assert type(net.second) is nn.Conv2d
    assert list(pa.remembered_masks(net)) == ["second.weight", "head.weight"]


def test_measured_choices_are_made_again_from_the_record() -> None:
    net, other = masked_net(), masked_net()
    record = pa.sparsify(net, policy="measure", example_inputs=X)
    again = pa.sparsify(other, policy=pa.SparsifyRecord.from_json(record.to_json()))

    assert record.policy == "measured"
    assert all(set(c.seconds) >= {"dense", "sparse"} for c in record.layers)
    assert "measured on 4x16x9x9" in str(record)
    assert again.forms == record.forms
    assert str(other) == str(net)


def test_a_form_is_chosen_only_if_it_gains(monkeypatch: pytest.MonkeyPatch) -> None:
    times = {"second": 0.96, "hidden": 0.5, "head": 2.0}
    found = iter(times.values())
    monkeypatch.setattr(
        import_module("prune_adapters.sparsify.policy"),
        "seconds_of",
        lambda forms, shape, training: dict.fromkeys(forms, next(found)) | {"dense": 1.0},
    )
    record = pa.sparsify(masked_net(), example_inputs=X)

    assert [c.form == "dense" for c in record.layers] == [True, False, True]
    assert [round(c.speedup, 2) for c in record.layers] == [1, 2, 1]


def test_measuring_leaves_the_model_as_it_is() -> None:
    net = masked_net()
    net(X).sum().backward()
    before = copy.deepcopy(net)
    grads = [p.grad.clone() for p in net.parameters()]
    pa.sparsify(net, policy={}, example_inputs=X)
    record = pa.sparsify(copy.deepcopy(net), policy="measure", example_inputs=X)

    assert record.layers
    assert net.training
    torch.testing.assert_close(dict(net.state_dict()), dict(before.state_dict()), rtol=0, atol=0)
    torch.testing.assert_close([p.grad for p in net.parameters()], grads, rtol=0, atol=0)


@pytest.mark.parametrize(
    "build", [lambda p: torch.optim.SGD(p, 0.1, momentum=0.9), lambda p: torch.optim.AdamW(p, 0.01)]
)
def test_training_goes_on_with_a_state_as_small_as_the_weights(build) -> None:
    dense = masked_net()
    sparse = copy.deepcopy(dense)
    optimizers = [build(net.parameters()) for net in (dense, sparse)]
    keepers = [pa.keep_masks(net, o) for net, o in zip((dense, sparse), optimizers, strict=True)]

    def step(net: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        optimizer.zero_grad()
        net(X).square().mean().backward()
        optimizer.step()

    for net, optimizer in zip((dense, sparse), optimizers, strict=True):
        step(net, optimizer)
    pa.sparsify(sparse, policy="sparse", optimizer=optimizers[1])
    for _ in range(3):
        for net, optimizer in zip((dense, sparse), optimizers, strict=True):
            step(net, optimizer)
    torch.testing.assert_close(dict(sparse.state_dict()), dict(dense.state_dict()))
    held = optimizers[1].state
    assert all(t.shape == p.shape for p, state in held.items() for t in state.values() if t.dim())
    assert sparse.hidden.values in held

    pa.densify(sparse, optimizer=optimizers[1])
    keepers.append(pa.keep_masks(sparse, optimizers[1]))
    for net, optimizer in zip((dense, sparse), optimizers, strict=True):
        step(net, optimizer)
    torch.testing.assert_close(dict(sparse.state_dict()), dict(dense.state_dict()))


def test_layers_are_measured_on_inputs_that_lie_as_theirs_do(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[torch.Tensor] = []
    monkeypatch.setattr(
        import_module("prune_adapters.sparsify.policy"),
        "seconds_of",
        lambda forms, x, training: given.append(x) or dict.fromkeys(forms, 1.0),
    )

    class Named(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = masked_net().to(memory_format=torch.channels_last)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.net.hidden(input=self.net.second(self.net.first(x)).mean(dim=(2, 3)))

    record = pa.sparsify(Named(), policy="measure", example_inputs=X.to(memory_format=torch.channels_last))

    assert [tuple(x.shape) for x in given] == [(4, 16, 9, 9), (4, 32)]
    assert given[0].is_contiguous(memory_format=torch.channels_last)
    assert record.layers[2].reason == "it does not run on these inputs"


def test_a_graph_is_of_the_dense_model_and_multiply_adds_count_as_its() -> None:
    net = masked_net()
    dense = copy.deepcopy(net)
    pa.sparsify(net, policy="sparse")
    with pytest.raises(pa.TraceError, match=r"pair_conv2d in module 'second'.*no dense weight.*densify\(model\) first"):
        pa.to_graph(net, X, unknown="mix")

    assert repr(pa.count_macs(net, X)) == repr(pa.count_macs(dense, X))
    assert isinstance(net.hidden, pa.SparseLinear)
    assert pa.to_masks(pa.to_graph(pa.densify(net), X)).keys() == pa.to_masks(pa.to_graph(dense, X)).keys()


def test_a_sparse_model_is_compiled_exported_and_averaged_as_a_whole() -> None:
    net = masked_net().eval()
    pa.sparsify(net, policy="sparse")
    y = net(X)
    torch.testing.assert_close(torch.compile(net, fullgraph=True, backend="aot_eager")(X), y)
    batch = torch.export.Dim("batch", min=2, max=64)
    torch.testing.assert_close(torch.export.export(net, (X,), dynamic_shapes=({0: batch},)).module()(X[:3]), y[:3])
    averaged = torch.optim.swa_utils.AveragedModel(net)
    assert averaged.module.hidden.plan is net.hidden.plan


def test_shared_and_hooked_layers_stay_dense_and_say_why() -> None:
    net = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4))
    net[2].weight = net[0].weight
    net[4].register_forward_hook(lambda *_: None)
    masks = {"0.weight": torch.eye(4).bool(), "4.weight": torch.eye(4).bool()}
    record = pa.sparsify(net, masks, policy="sparse")

    assert set(record.forms.values()) == {"dense"}
    reasons = {c.name: c.reason for c in record.layers}
    assert reasons["0"] == "its weight is used elsewhere, too"
    assert reasons["4"] == "hooks hang on it; sparsify before they are registered"


def test_a_module_that_hangs_in_two_places_is_exchanged_in_both() -> None:
    layer = nn.Linear(4, 4)
    net = nn.Sequential(layer, nn.ReLU(), layer)
    x = torch.randn(3, 4)
    pa.apply_masks(net, {"0.weight": torch.eye(4).bool()})
    y = net(x)
    pa.sparsify(net, policy="sparse")

    assert net[0] is net[2]
    assert isinstance(net[0], pa.SparseLinear)
    torch.testing.assert_close(net(x), y)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"policy": "fast"}, "policy 'fast': expected 'auto', 'measure', 'predict', a form"),
        ({"policy": "measure"}, "policy 'measure' needs example_inputs"),
        ({"policy": {"third": "sparse"}}, "'third' is no masked layer of the model; those are second, hidden, head"),
        ({"policy": {"head": "regular"}}, "layer 'head' cannot become 'regular': its mask allows dense, sparse"),
    ],
)
def test_errors_say_what_is_wrong(arguments: dict, message: str) -> None:
    net = masked_net()
    before = str(net)
    with pytest.raises(ValueError, match=message):
        pa.sparsify(net, **arguments)
    assert str(net) == before


def test_a_model_without_masks_or_parts_is_refused() -> None:
    with pytest.raises(ValueError, match="the model has no masks"):
        pa.sparsify(nn.Sequential(nn.Linear(2, 2)))
    net = masked_net()
    pa.sparsify(net, policy="sparse")
    with pytest.raises(ValueError, match=r"sparse already: call densify\(model\) first"):
        pa.sparsify(net)
    with pytest.raises(ValueError, match="put it into a Sequential"):
        pa.sparsify(nn.Linear(2, 2), {"weight": torch.eye(2).bool()})
    with pytest.raises(ValueError, match="no record of sparsify"):
        pa.SparsifyRecord.from_json('{"format": 1, "layers": [{"form": "round"}]}')


@pytest.mark.parametrize(
    ("sparsity", "rows", "form"),
    [(0.9, None, "sparse"), (0.9, 128, "sparse"), (0.4, 128, "dense"), (0.9, 1, "dense"), (0.999, 32, "sparse")],
)
def test_predictions_go_by_density_and_the_rows_of_the_inputs(sparsity: float, rows: int | None, form: str) -> None:
    net = nn.Sequential(nn.Linear(512, 512))
    masks = {"0.weight": torch.rand(512, 512, generator=torch.Generator().manual_seed(0)) >= sparsity}
    example = None if rows is None else torch.randn(rows, 512)
    record = pa.sparsify(net, masks, policy="predict", example_inputs=example)

    assert record.forms == {"0": form}
    assert record.policy == "predicted"
    assert pa.SparsifyRecord.from_json(record.to_json()) == record


def test_single_taps_are_expected_to_be_slower_than_whole_kernels() -> None:
    net = nn.Sequential(nn.Conv2d(64, 64, 3), nn.Conv2d(64, 64, 3))
    pairs = (torch.rand(64, 64, generator=torch.Generator().manual_seed(0)) < 0.5)[:, :, None, None]
    taps = torch.rand(64, 64, 3, 3, generator=torch.Generator().manual_seed(0)) < 0.5
    record = pa.sparsify(net, {"0.weight": pairs.expand(-1, -1, 3, 3), "1.weight": taps}, policy="predict")

    assert record.forms == {"0": "sparse", "1": "dense"}
