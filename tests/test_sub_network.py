"""From the counts of a sub-network to an ordinary module, with weights of three sorts."""

import copy

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import prune_adapters as pa
from prune_adapters.graph_pruning.smaller.materialise import sub_network
from prune_adapters.graph_pruning.space.finding import width_space
from prune_adapters.graph_pruning.space.space import WidthSpace
from residual_net import PICTURE, Residual, drawn, pictures, residual_space


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
    return residual_space()


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


@pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning")  # torch's exporter asks torch in an old way
def test_what_is_materialised_becomes_onnx(space: WidthSpace, tmp_path):
    pytest.importorskip("onnxscript")
    runtime = pytest.importorskip("onnxruntime")
    small = sub_network(space, drawn(space, 1)).eval()
    torch.onnx.export(small, (PICTURE,), str(tmp_path / "small.onnx"), dynamo=True)
    session = runtime.InferenceSession(str(tmp_path / "small.onnx"))
    (found,) = session.run(None, {session.get_inputs()[0].name: PICTURE.numpy()})

    np.testing.assert_allclose(found, small(PICTURE).detach().numpy(), atol=1e-5)
