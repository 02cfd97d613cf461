"""From the counts of a sub-network to an ordinary module: least squares, materialising, measured latency."""

import copy
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import prune_adapters as pa
from models import VisionTransformer
from prune_adapters.graph_pruning.net.calibration import recalibrate
from prune_adapters.graph_pruning.smaller.materialise import sub_network
from prune_adapters.graph_pruning.smaller.reconstruct import NormalEquations, reconstruct
from prune_adapters.graph_pruning.space.finding import width_space
from prune_adapters.graph_pruning.space.latency import LatencyTable
from prune_adapters.graph_pruning.space.layer_times import LayerTimes, layer_cases, monotone
from prune_adapters.graph_pruning.space.space import WidthSpace
from prune_adapters.graph_pruning.space.timing import measured_latency


class Residual(nn.Module):
    """A stem, a block around a skip, a depthwise convolution and a classifier."""

    def __init__(self, width: int = 6, inner: int = 8) -> None:
        super().__init__()
        self.stem, self.norm = nn.Conv2d(3, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)
        self.first, self.first_norm = nn.Conv2d(width, inner, 3, padding=1, bias=False), nn.BatchNorm2d(inner)
        self.second, self.second_norm = nn.Conv2d(inner, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)
        self.depthwise = nn.Conv2d(width, width, 3, stride=2, padding=1, groups=width)
        self.classes = nn.Linear(width, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.norm(self.stem(x)))
        inner = F.relu(self.first_norm(self.first(x)))
        x = F.relu(x + self.second_norm(self.second(inner)))
        return self.classes(F.relu(self.depthwise(x)).mean((2, 3)))


PICTURE = torch.zeros(1, 3, 8, 8)


def pictures(n: int, seed: int) -> Tensor:
    return torch.randn(n, 3, 8, 8, generator=torch.Generator().manual_seed(seed))


def residual(seed: int = 0) -> Residual:
    """Return the network with weights and statistics as training might leave them, in eval mode."""
    torch.manual_seed(seed)
    model = Residual()
    recalibrate(model, pictures(64, seed + 100))
    return model.eval()


def without(model: nn.Module, path: str, channels: list[int], x: Tensor) -> nn.Module:
    """Return the model without the groups of some output channels of a layer."""
    groups = [g for g in pa.coupled_channels(model, x) if {*g.outputs.get(path, ())} & {*channels}]
    return pa.remove_channels(model, groups, x)


def outputs_of(model: nn.Module, path: str, x: Tensor) -> Tensor:
    held: list[Tensor] = []
    handle = model.get_submodule(path).register_forward_hook(lambda _, given, output: held.append(output))
    with torch.no_grad():
        model(x)
    handle.remove()
    return held[0]


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


class Drawn:
    """Generates random weights for any sub-network, as a `PruningNet` does trained ones."""

    def __init__(self, space: WidthSpace) -> None:
        self.space = space

    def weights(self, counts: tuple[int, ...]) -> dict[str, Tensor]:
        generator = torch.Generator().manual_seed(sum(counts))
        named = self.space.narrowed(counts).named_parameters()
        return {name: torch.randn(p.shape, generator=generator) for name, p in named}


@pytest.fixture(scope="module")
def space() -> WidthSpace:
    return width_space(residual(), PICTURE)


def drawn(space: WidthSpace, seed: int) -> tuple[int, ...]:
    return space.counts(np.random.default_rng(seed).uniform(0.2, 1.0, len(space.widths)).tolist())


INITS: list[dict[str, object]] = [
    {"init": "trained"},
    {"init": "trained", "choose": "first"},
    {"init": "trained", "calibration": pictures(8, 0)},
    {"init": "scratch"},
    {"init": "generated"},
]


@pytest.mark.parametrize(
    "options", INITS, ids=lambda options: "-".join(options.values()) if len(options) < 2 else "more"
)
def test_a_sub_network_has_the_shapes_and_the_costs_that_the_space_says(space: WidthSpace, options: dict, tmp_path):
    counts = drawn(space, 1)
    own = options | ({"generator": Drawn(space)} if options["init"] == "generated" else {})
    small = sub_network(space, counts, **own)
    pa.save_compacted(tmp_path / "small.safetensors", small)
    again = pa.load_compacted(tmp_path / "small.safetensors", Residual())
    shapes = {name: p.shape for name, p in space.narrowed(counts).named_parameters()}

    assert {name: p.shape for name, p in small.named_parameters()} == shapes
    assert pa.count_macs(small, PICTURE).macs == space.macs(counts)
    assert sum(p.numel() for p in small.parameters()) == space.parameters(counts)
    assert type(small) is Residual
    torch.testing.assert_close(again.eval()(pictures(4, 1)), small.eval()(pictures(4, 1)), rtol=0, atol=0)


def test_with_nothing_removed_the_network_is_the_trained_one(space: WidthSpace):
    for options in ({}, {"calibration": pictures(16, 1), "fresh_statistics": False}, {"choose": "first"}):
        small = sub_network(space, space.full, **options)

        torch.testing.assert_close(small(pictures(4, 0)), space.model(pictures(4, 0)), rtol=0, atol=0)


def test_generated_weights_give_what_the_generator_gives(space: WidthSpace):
    counts, generator = drawn(space, 2), Drawn(space)
    narrow = space.narrowed(counts)
    expected = torch.func.functional_call(narrow, generator.weights(counts), pictures(4, 0))

    torch.testing.assert_close(
        sub_network(space, counts, init="generated", generator=generator)(pictures(4, 0)), expected
    )


def test_the_strongest_filters_stay_in_their_order(space: WidthSpace):
    model = copy.deepcopy(space.model)
    with torch.no_grad():
        for place, size in enumerate([3.0, 1.0, 5.0, 2.0, 8.0, 4.0, 7.0, 6.0]):
            model.first.weight[place] *= size / model.first.weight[place].abs().sum()
    place = next(i for i, width in enumerate(space.widths) if width.name == "first")
    counts = tuple(3 if i == place else size for i, size in enumerate(space.full))
    small = sub_network(space, counts, model=model)

    torch.testing.assert_close(small.first.weight, model.first.weight[[4, 6, 7]], rtol=0, atol=0)
    torch.testing.assert_close(small.second.weight, model.second.weight[:, [4, 6, 7]], rtol=0, atol=0)
    torch.testing.assert_close(small.first_norm.running_mean, model.first_norm.running_mean[[4, 6, 7]], rtol=0, atol=0)


@torch.no_grad()
def test_calibration_brings_the_outputs_nearer(space: WidthSpace):
    counts, x, other = drawn(space, 3), pictures(128, 0), pictures(64, 1)
    wanted = space.model(other)
    errors = [
        float((sub_network(space, counts, **o).eval()(other) - wanted).square().mean())
        for o in ({}, {"calibration": x, "ridge": 1e-3, "fresh_statistics": False})
    ]

    assert errors[1] < 0.5 * errors[0]


def test_fresh_weights_depend_on_the_seed_alone(space: WidthSpace):
    first, second, other = (sub_network(space, drawn(space, 1), init="scratch", seed=seed) for seed in (0, 0, 1))

    torch.testing.assert_close(first.stem.weight, second.stem.weight, rtol=0, atol=0)
    assert not torch.equal(first.stem.weight, other.stem.weight)
    torch.testing.assert_close(first.norm.running_mean, torch.zeros(len(first.norm.running_mean)))


def test_heads_and_hidden_units_are_materialised_too():
    torch.manual_seed(0)
    model = nn.TransformerEncoderLayer(12, 3, 10, dropout=0.0, batch_first=True).eval()
    x = torch.randn(16, 5, 12)
    space = width_space(model, x)
    counts = tuple(size - 1 for size in space.full)
    small = sub_network(space, counts, calibration=x)
    generated = sub_network(space, counts, init="generated", generator=Drawn(space))
    fresh = sub_network(space, counts, init="scratch")

    assert small(x).shape == fresh(x).shape == x.shape
    assert not fresh.self_attn.in_proj_bias.any()
    assert sum(p.numel() for p in generated.parameters()) == space.parameters(counts)


def test_what_is_materialised_exports(space: WidthSpace):
    small = sub_network(space, drawn(space, 1), calibration=pictures(8, 0)).eval()
    program = torch.export.export(small, (PICTURE,))

    torch.testing.assert_close(program.module()(PICTURE), small(PICTURE))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"init": "copied"}, "init: expected one of trained, scratch, generated, got 'copied'"),
        ({"choose": "last"}, "choose: expected one of l1, first, got 'last'"),
        ({"init": "generated"}, "generator: expected one for init='generated' and none else"),
        ({"init": "scratch", "calibration": PICTURE}, "calibration: expected none for init='scratch'"),
        ({"model": Residual(inner=9)}, r"another network .*'first.weight': expected shape \(8, 6, 3, 3\), got \(9,"),
        ({"counts": (1,)}, "counts: expected one for each of"),
        ({"counts": (99, 1)}, "counts: width"),
    ],
)
def test_bad_input_of_sub_network(space: WidthSpace, options: dict, message: str):
    with pytest.raises(ValueError, match=message):
        sub_network(space, **({"counts": space.full} | options))


def test_a_generator_of_something_else_is_refused(space: WidthSpace):
    class Other(Drawn):
        def weights(self, counts: tuple[int, ...]) -> dict[str, Tensor]:
            return {name: p[:1] for name, p in super().weights(counts).items() if name not in self.left_out}

    generator = Other(space)
    for left_out, message in (({"stem.weight"}, "missing: 'stem.weight'"), (set(), "'stem.weight': expected shape")):
        generator.left_out = left_out
        with pytest.raises(ValueError, match=message):
            sub_network(space, space.full, init="generated", generator=generator)


def clock(model: nn.Module, x: object) -> float:
    """Return seconds that grow with multiply-adds, parameters and layers that are called, as a machine's do."""
    layers = sum(1 for module in model.modules() if not list(module.children()))
    return 1e-6 * layers + 1e-9 * pa.count_macs(model, x).macs + 1e-8 * sum(p.numel() for p in model.parameters())


@pytest.fixture(scope="module")
def table(space: WidthSpace) -> LatencyTable:
    return LatencyTable.measured(space, networks=8, timer=clock)


def test_a_table_is_near_a_clock_that_follows_the_multiply_adds(table: LatencyTable):
    """The times of a layer are bilinear in its widths, as is what the clock says of it."""
    for seed in range(20):
        counts = drawn(table.space, seed)

        assert table(counts) == pytest.approx(clock(table.space.narrowed(counts), PICTURE), rel=0.02)
    assert table.worst < 0.02


def test_a_wider_network_is_never_faster(space: WidthSpace):
    rng = np.random.default_rng(0)

    noisy = LatencyTable.measured(space, networks=8, timer=lambda m, x: clock(m, x) * rng.uniform(0.3, 3.0))
    for seed in range(10):
        counts = list(drawn(space, seed))
        seconds = noisy(tuple(counts))
        for place, size in enumerate(space.full):
            wider = [*counts[:place], size, *counts[place + 1 :]]

            assert noisy(tuple(wider)) >= seconds
    assert noisy(space.full) > 0


def test_a_table_comes_back_from_its_file(table: LatencyTable, tmp_path):
    path = tmp_path / "latency.json"
    table.save(path)
    again = LatencyTable.load(path, table.space)

    assert (again.times, again.machine, again.error) == (table.times, table.machine, table.error)
    assert again(table.space.full) == table(table.space.full)
    other = width_space(Residual(inner=7), PICTURE)
    with pytest.raises(ValueError, match="table of another space: layer 'first"):
        LatencyTable.load(path, other)


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"format": "other", "version": 1}', "truncated"])
def test_a_damaged_file_of_times_is_refused(table: LatencyTable, tmp_path, text: str):
    path = tmp_path / "latency.json"
    table.save(path)
    path.write_text(path.read_text()[:-20] if text == "truncated" else text)
    with pytest.raises(ValueError, match=r"damaged, or no file of LatencyTable\.save"):
        LatencyTable.load(path, table.space)


@pytest.mark.parametrize("seed", range(5))
def test_levelled_tables_grow_and_leave_growing_ones_alone(seed: int):
    noisy = np.random.default_rng(seed).random((4, 5))
    levelled = monotone(noisy)

    assert (np.diff(levelled, axis=0) >= 0).all()
    assert (np.diff(levelled, axis=1) >= 0).all()
    np.testing.assert_allclose(monotone(levelled), levelled)


def test_layers_are_as_narrow_as_in_the_sub_network(space: WidthSpace):
    counts = drawn(space, 4)
    narrow, x = space.narrowed(counts), pictures(1, 0)
    cases = layer_cases(WidthSpace(space.model, x, space.widths, 1))
    held: dict[str, tuple[Tensor, Tensor]] = {}
    for path in cases:
        narrow.get_submodule(path).register_forward_hook(lambda _, a, out, p=path: held.update({p: (a[0], out)}))
    narrow(x)

    assert list(cases) == ["stem", "norm", "first", "first_norm", "second", "second_norm", "depthwise", "classes"]
    for path, case in cases.items():
        layer, inputs = case.built(counts, counts)
        assert inputs["input"].shape == held[path][0].shape
        assert layer(**inputs).shape == held[path][1].shape
        assert case.channels(counts)[1] == layer(**inputs).shape[1]


def test_groups_with_more_outputs_than_inputs_are_timed():
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(), nn.Conv2d(4, 8, 3, groups=2), nn.Flatten(), nn.Linear(288, 2))
    space = width_space(model, PICTURE)
    found = LatencyTable.measured(space, points=2, networks=4, timer=clock)

    assert found.times["2"].outputs == (4, 8)


def test_attention_is_timed_by_its_heads():
    model = nn.TransformerEncoderLayer(12, 3, 10, dropout=0.0, batch_first=True).eval()
    space = width_space(model, torch.zeros(2, 5, 12))
    found = LatencyTable.measured(
        space, points=3, networks=4, timer=lambda m, x: sum(p.numel() for p in m.parameters())
    )

    assert found.times["self_attn"].outputs == (12, 24, 36)
    assert found(space.full) > found(tuple(1 for _ in space.full))


def test_a_vision_transformer_has_a_table():
    model = VisionTransformer(size=8, patch=4, width=8, depth=1, heads=2, classes=3).eval()
    space = width_space(model, torch.zeros(1, 3, 8, 8))
    found = LatencyTable.measured(
        space, points=2, networks=4, timer=lambda m, x: sum(p.numel() for p in m.parameters())
    )

    assert str(found).startswith("LatencyTable on cpu, 1 threads")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda s: LatencyTable.measured(s, points=1), "expected at least 2 points and 4 networks, got 1 and 12"),
        (lambda s: LatencyTable.measured(s, timer=lambda m, x: 0.0), "timer: expected a positive number of seconds"),
        (lambda s: measured_latency(s.model, PICTURE, repeats=0), "expected repeats and threads of at least 1, got 0"),
        (lambda s: LayerTimes((1, 1), 1, (1,), (2, 1), ((1.0, 2.0),)), "expected ascending widths"),
        (lambda s: LayerTimes((1, 1), 1, (1,), (1,), ((-1.0,),)), "expected a table of seconds of shape"),
    ],
)
def test_bad_input_of_latency(space: WidthSpace, call: Callable, message: str):
    with pytest.raises(ValueError, match=message):
        call(space)


def test_measured_latency_leaves_everything_as_it_was():
    model, threads = Residual().train(), torch.get_num_threads()

    assert 0 < measured_latency(model, PICTURE, repeats=2, threads=1) < 1
    assert torch.get_num_threads() == threads
    assert all(module.training for module in model.modules())


@pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning")  # torch's exporter asks torch in an old way
def test_what_is_materialised_becomes_onnx(space: WidthSpace, tmp_path):
    pytest.importorskip("onnxscript")
    runtime = pytest.importorskip("onnxruntime")
    small = sub_network(space, drawn(space, 1)).eval()
    torch.onnx.export(small, (PICTURE,), str(tmp_path / "small.onnx"), dynamo=True)
    session = runtime.InferenceSession(str(tmp_path / "small.onnx"))
    (found,) = session.run(None, {session.get_inputs()[0].name: PICTURE.numpy()})

    np.testing.assert_allclose(found, small(PICTURE).detach().numpy(), atol=1e-5)
