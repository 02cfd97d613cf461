"""Bad and borderline input: a clear error that says what to do, or the right graph; never a guess."""

import re

import pytest
import torch
from torch import Tensor, nn

import netgraph as ng
import prune_adapters as pa
from networks import MLP, VGG, BranchOnSum, RawMatmul, ScaleByMax, SharedModule, TiedEmbedding

X = torch.linspace(0.5, 1.5, 12).reshape(2, 6)


class Spectrum(nn.Module):
    """A module with an operator that no rule knows."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.special.bessel_j0(x)[:, :5]


class Unknown(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.entry, self.inner, self.head = nn.Linear(6, 8), nn.Sequential(Spectrum()), nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.inner(self.entry(x)))


class LowRank(nn.Module):
    """A weight that is the product of two parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.up, self.down = nn.Parameter(torch.randn(8, 2)), nn.Parameter(torch.randn(2, 6))
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(nn.functional.linear(x, self.up @ self.down))


def mlp() -> MLP:
    torch.manual_seed(0)
    return MLP((6, 8, 3))


def ones(model: nn.Module, **changed: Tensor) -> dict[str, Tensor]:
    weights = {name: torch.ones_like(p, dtype=torch.bool) for name, p in model.named_parameters() if p.dim() > 1}
    return weights | {name.replace("__", "."): mask for name, mask in changed.items()}


# Models that cannot be traced as they stand


@pytest.mark.parametrize(("model", "line"), [(BranchOnSum(), "if h.sum() > 0"), (ScaleByMax(), "float(x.max())")])
def test_control_flow_on_data_names_the_line_and_the_remedy(model, line):
    with pytest.raises(pa.TraceError, match=re.escape(line)) as error:
        pa.to_graph(model, X)

    assert re.search(r"patterns\.py:\d+", str(error.value))
    assert "follow='example'" in str(error.value)


def test_following_the_example_leaves_the_other_branch_open():
    graph = pa.to_graph(BranchOnSum(), X, follow="example")

    assert set(graph.edge_parameters) == {"entry.weight", "positive.weight"}
    assert any("negative.weight" in note for note in graph.notes)


def test_following_the_example_through_a_python_number():
    graph = pa.to_graph(ScaleByMax(), X, follow="example")

    assert set(graph.edge_parameters) == {"entry.weight", "head.weight"}


def test_an_unknown_operator_is_named_with_its_module_and_the_remedy():
    with pytest.raises(pa.TraceError, match=r"aten\.special_bessel_j0") as error:
        pa.to_graph(Unknown(), X)

    message = str(error.value)
    assert "'inner.0'" in message
    assert "register_rule" in message
    assert "unknown='mix'" in message


def test_an_unknown_operator_mixes_on_request():
    graph = pa.to_graph(Unknown(), X, unknown="mix")

    assert ng.effective_sparsity(graph) == 0
    assert any("special_bessel_j0" in note for note in graph.notes)


def test_inputs_that_the_model_cannot_take():
    with pytest.raises(pa.TraceError, match=r"does not run on the example inputs: .*2x7 and 6x8"):
        pa.to_graph(mlp(), torch.ones(2, 7))
    with pytest.raises(pa.TraceError, match="unexpected keyword argument 'y'"):
        pa.to_graph(mlp(), {"y": X})
    with pytest.raises(TypeError, match="expected a tensor, a tuple or a dict, got NoneType"):
        pa.to_graph(mlp(), None)


@pytest.mark.parametrize("option", ["positions", "norm", "unknown", "follow"])
def test_options_must_be_known(option):
    with pytest.raises(ValueError, match=rf"{option}: expected .* got 'never'"):
        pa.to_graph(mlp(), X, **{option: "never"})


# Masks and weights


@pytest.mark.parametrize(
    ("masks", "message"),
    [
        ({"layers.0.weight": torch.ones(6, 8, dtype=torch.bool)}, r"layers\.0\.weight.*\(8, 6\).*\(6, 8\)"),
        ({"layers.9.weight": torch.ones(8, 6, dtype=torch.bool)}, r"layers\.9\.weight"),
        ({"layers.0.weight": torch.ones(8, 6)}, r"layers\.0\.weight.*bool.*float32"),
    ],
)
def test_masks_that_do_not_fit(masks, message):
    with pytest.raises(pa.MaskError, match=message):
        pa.to_graph(mlp(), X, masks=masks)


def test_nan_weights_have_no_answer():
    model = mlp()
    with torch.no_grad():
        model.layers[1].weight[0, 0] = float("nan")

    with pytest.raises(ng.WeightValueError, match=r"layers\.1\.weight"):
        pa.to_graph(model, X)


def test_nan_weights_do_not_matter_where_masks_decide():
    model = mlp()
    with torch.no_grad():
        model.layers[1].weight[0, 0] = float("nan")

    assert ng.density(pa.to_graph(model, X, masks=ones(model))) == 1


def test_zeros_of_either_sign_are_not_kept():
    model = mlp()
    with torch.no_grad():
        model.layers[1].weight[0, :2] = torch.tensor([0.0, -0.0])

    kept = pa.to_masks(pa.to_graph(model, X))["layers.1.weight"]

    assert (~kept).nonzero().tolist() == [[0, 0], [0, 1]]


def test_everything_pruned():
    model = mlp()
    graph = pa.to_graph(model, X, masks={name: torch.zeros_like(mask) for name, mask in ones(model).items()})

    assert ng.density(graph) == 0
    assert ng.effective_sparsity(graph) == 1
    assert ng.accessible(graph).sum() == 6
    assert not any(mask.any() for mask in pa.to_masks(ng.trim(graph)).values())


def test_one_empty_layer_cuts_the_network():
    model = mlp()
    cut = ones(model, layers__0__weight=torch.zeros(8, 6, dtype=torch.bool))
    graph = pa.to_graph(model, X, masks=cut)

    assert not any(mask.any() for mask in pa.to_masks(ng.trim(graph)).values())
    assert pa.to_masks(ng.drop_dead(graph))["layers.1.weight"].all()


def test_masks_must_be_tensors():
    with pytest.raises(pa.MaskError, match=r"layers\.0\.weight.*expected a tensor, got ndarray"):
        pa.to_graph(mlp(), X, masks={"layers.0.weight": ones(mlp())["layers.0.weight"].numpy()})


def test_a_weight_that_is_a_product_has_the_edges_of_its_factors():
    assert pa.to_graph(LowRank(), X).edge_parameters == ("down", "up", "head.weight")


def test_a_weight_that_is_computed_is_reported():
    class Squashed(LowRank):
        def forward(self, x: Tensor) -> Tensor:
            return self.head(nn.functional.linear(x, (self.up @ self.down).sigmoid()))

    graph = pa.to_graph(Squashed(), X)

    assert graph.edge_parameters == ("head.weight",)
    assert any("weights are computed from up, down, which get no edges" in note for note in graph.notes)


# Shared, oddly stored and empty parameters


def test_a_shared_layer_is_one_parameter_with_two_uses():
    model = SharedModule()
    graph = pa.to_graph(model, X)

    assert len(graph.uses("shared.weight")) == 2
    assert ng.density(graph) == 1
    assert sum(mask.numel() for mask in pa.to_masks(graph).values()) == 6 * 10 + 10 * 10 + 10 * 3


def test_a_tied_parameter_goes_by_its_first_name():
    graph = pa.to_graph(TiedEmbedding(), torch.arange(20)[None])

    assert set(graph.edge_parameters) == {"table.weight", "hidden.weight"}
    assert len(graph.uses("table.weight")) == 2


def test_non_contiguous_weights_keep_their_elements():
    model = mlp()
    stored = torch.randn(6, 8)
    stored[2, 5] = 0
    model.layers[0].weight = nn.Parameter(stored.t())

    kept = pa.to_masks(pa.to_graph(model, X))["layers.0.weight"]

    assert not model.layers[0].weight.is_contiguous()
    assert (~kept).nonzero().tolist() == [[5, 2]]


def test_channels_last_weights_keep_their_elements():
    model = VGG()
    with torch.no_grad():
        model.features[3 + 1].weight[7, 3, 2, 1] = 0
    expected = pa.to_masks(pa.to_graph(model, torch.ones(1, 3, 32, 32)))
    found = pa.to_masks(pa.to_graph(model.to(memory_format=torch.channels_last), torch.ones(1, 3, 32, 32)))

    torch.testing.assert_close(found, expected)
    assert (~found["features.4.weight"]).nonzero().tolist() == [[7, 3, 2, 1]]


@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")
def test_a_layer_without_units():
    model = MLP((6, 0, 3))
    graph = pa.to_graph(model, X)

    assert not ng.accessible(graph)[-3:].any()
    assert {name: tuple(mask.shape) for name, mask in pa.to_masks(graph).items()} == {
        "layers.0.weight": (0, 6),
        "layers.1.weight": (3, 0),
    }


@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")
def test_a_convolution_without_channels():
    """torch itself does not run it, and its reason is passed on."""
    model = nn.Sequential(nn.Conv2d(3, 0, 1), nn.Conv2d(0, 4, 1))

    with pytest.raises(pa.TraceError, match=r"does not run on the example inputs: .* at least 1 at dimension 0"):
        pa.to_graph(model, torch.ones(1, 3, 4, 4))


def test_an_empty_batch_shows_nothing():
    with pytest.raises(ValueError, match=r"at least 1, got shape \(0, 6\)"):
        pa.to_graph(mlp(), X[:0])


# Devices and dtypes


def test_inputs_of_another_dtype_than_the_model():
    with pytest.raises(ValueError, match=r"expected torch\.float32 as the model, got torch\.float64"):
        pa.to_graph(mlp(), X.double())


def test_inputs_on_another_device_than_the_model():
    with pytest.raises(ValueError, match="expected device cpu as the model, got meta"):
        pa.to_graph(mlp(), X.to("meta"))


def test_a_model_without_memory_is_kept_whole():
    model = mlp().to("meta")
    graph = pa.to_graph(model, torch.empty(2, 6, device="meta"))

    assert ng.density(graph) == 1


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_models_of_any_real_dtype(dtype):
    model = mlp().to(dtype)
    with torch.no_grad():
        model.layers[0].weight[3, 4] = 0

    kept = pa.to_masks(pa.to_graph(model, X.to(dtype)))["layers.0.weight"]

    assert (~kept).nonzero().tolist() == [[3, 4]]


def test_raw_parameters_in_out_order():
    model = RawMatmul()
    with torch.no_grad():
        model.weight1[9, 11] = 0

    kept = pa.to_masks(pa.to_graph(model, torch.ones(2, 10)))["weight1"]

    assert (~kept).nonzero().tolist() == [[9, 11]]
