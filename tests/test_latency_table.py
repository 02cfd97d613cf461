"""Measured latency: the table that foretells it, and its file."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import prune_adapters as pa
from models import VisionTransformer
from prune_adapters.graph_pruning.space.finding import width_space
from prune_adapters.graph_pruning.space.latency import LatencyTable
from prune_adapters.graph_pruning.space.layer_times import LayerTimes, layer_cases, monotone
from prune_adapters.graph_pruning.space.space import WidthSpace
from prune_adapters.graph_pruning.space.timing import measured_latency
from residual_net import PICTURE, Residual, drawn, pictures, residual_space


@pytest.fixture(scope="module")
def space() -> WidthSpace:
    return residual_space()


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


def test_a_search_stays_within_measured_time(table: LatencyTable):
    budget = pa.WidthBudget(table.space, table, limit=0.6 * table(table.space.full), lowest=0.2)
    wide = pa.random_search(lambda counts: pa.Evaluation(1 / sum(counts), 0.5), budget, evaluations=8, progress=False)

    assert all(table(counts) <= budget.limit for counts, _ in wide.history)
    assert table(wide.best) > 0.8 * budget.limit


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
