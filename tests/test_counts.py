"""Multiply-adds and parameters: by hand, against forward hooks and against torch's own counter of operations."""

import copy

import pytest
import torch
from torch import nn
from torch.nn.modules.conv import _ConvNd
from torch.utils.flop_counter import FlopCounterMode

import netgraph as ng
import prune_adapters as pa
from networks import CASES, lenet_300_100

OTHER_PRODUCTS = ["vit_class", "vit_mean", "torch_vit"]
"""Networks with attention, which torch does not count on a CPU."""


class Recurrent(nn.Module):
    """Recurrent layers of three kinds in a row."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(4, 3, num_layers=2, bidirectional=True, batch_first=True)
        self.gru = nn.GRU(6, 5)
        self.rnn = nn.RNN(5, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.rnn(self.gru(self.lstm(x)[0])[0])[0]


class Attention(nn.Module):
    """Self-attention with values read by all heads."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.attention(x, x, x, need_weights=False)[0]


def hooked(model: nn.Module, inputs: object) -> dict[str, tuple[int, int]]:
    """Return the multiply-adds of linear layers and convolutions, by forward hooks on a copy."""
    found: dict[str, tuple[int, int]] = {}
    twin = copy.deepcopy(model)

    def watch(name: str, module: nn.Module) -> None:
        def hook(module: nn.Module, args: tuple, output: torch.Tensor) -> None:
            transposed = isinstance(module, nn.modules.conv._ConvTransposeNd)
            at = args[0] if transposed else output
            channels = at.shape[1] if isinstance(module, _ConvNd) else at.shape[-1]
            uses = at.numel() // channels
            before = found.get(name, (0, 0))
            numbers = (module.weight.numel(), int(torch.count_nonzero(module.weight)))
            found[name] = before[0] + numbers[0] * uses, before[1] + numbers[1] * uses

        module.register_forward_hook(hook)

    for name, module in twin.named_modules():
        if isinstance(module, nn.Linear | _ConvNd):
            watch(name, module)
    call(twin, inputs)
    return found


def call(model: nn.Module, inputs: object) -> object:
    if isinstance(inputs, dict):
        return model(**inputs)
    return model(*inputs) if isinstance(inputs, tuple) else model(inputs)


@pytest.mark.parametrize(
    ("model", "x", "macs"),
    [
        (nn.Linear(3, 2), torch.ones(3), 6),
        (nn.Linear(3, 2), torch.ones(4, 5, 3), 120),
        (nn.Conv2d(4, 6, 3, groups=2), torch.ones(2, 4, 5, 5), 2 * 9 * 6 * 2 * 9),
        (nn.Conv2d(1, 1, 3, padding=1, stride=2), torch.ones(1, 1, 4, 4), 4 * 9),
        (nn.Conv1d(2, 3, 3, dilation=2), torch.ones(1, 2, 7), 3 * 18),
        (nn.Conv3d(2, 3, 2), torch.ones(1, 2, 3, 3, 3), 8 * 3 * 2 * 8),
        (nn.ConvTranspose2d(4, 6, 2, stride=2, groups=2), torch.ones(1, 4, 3, 3), 9 * 4 * 3 * 4),
        (nn.BatchNorm1d(3), torch.ones(2, 3), 0),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else None,
)
def test_by_hand(model: nn.Module, x: torch.Tensor, macs: int) -> None:
    count = pa.count_macs(model, x)

    assert count.macs == count.kept == macs


def test_drawn_network() -> None:
    """Half of the first layer is removed; the second is whole and sees five examples."""
    model = nn.Sequential(nn.Linear(4, 2), nn.ReLU(), nn.Linear(2, 3))
    mask = torch.tensor([[True, False, True, False]] * 2)
    count = pa.count_macs(model, torch.ones(5, 4), masks={"0.weight": mask})

    assert count.by_layer() == {"0": (40, 20), "2": (30, 30)}
    assert (count.macs, count.kept) == (70, 50)
    assert repr(count) == "MacCount: 70 multiply-adds, 50 with a weight that is not 0"
    assert model[0].weight.all()
    assert pa.remembered_masks(model) == {}


@pytest.mark.parametrize("name", [name for name in CASES if name not in OTHER_PRODUCTS])
def test_the_sum_is_that_of_torch(name: str) -> None:
    model, inputs = CASES[name].model(), CASES[name].inputs()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        call(model, inputs)

    assert 2 * pa.count_macs(model, inputs).macs == counter.get_total_flops()


@pytest.mark.parametrize("name", CASES)
def test_layers_equal_forward_hooks(name: str) -> None:
    model, inputs = CASES[name].model(), CASES[name].inputs()
    masks = pa.masks_from_scores(pa.random_scores(model, seed=0), sparsity=0.7)
    if any("parametrizations" in masked for masked in masks):
        masks = pa.n_of_m_masks(pa.random_scores(model, seed=0))
    pa.apply_masks(model, masks)
    found = pa.count_macs(model, inputs).by_layer()
    expected = hooked(model, inputs)

    assert all(found[layer] == numbers for layer, numbers in expected.items() if layer in found)
    assert all(layer in found or layer.endswith("self_attn.out_proj") for layer in expected)


def test_attention() -> None:
    """Width 8, 2 heads, 3 examples of 5 tokens: projections, queries with keys, scores with values, output."""
    model, x = Attention(), torch.ones(3, 5, 8)
    mask = torch.zeros(24, 8, dtype=torch.bool)
    mask[:8] = True
    count = pa.count_macs(model, x, masks={"attention.in_proj_weight": mask})

    assert count.macs == 15 * 24 * 8 + 2 * 3 * 2 * 5 * 5 * 4 + 15 * 64
    assert count.macs - count.kept == 15 * 16 * 8


def test_recurrent_layers() -> None:
    """2 examples of 6 steps: 4 gates for the LSTM, 3 for the GRU; each weight is used once a step."""
    model = Recurrent()
    mask = torch.zeros(12, 4, dtype=torch.bool)
    count = pa.count_macs(model, torch.ones(2, 6, 4), masks={"lstm.weight_ih_l0": mask})
    matrices = [p for p in model.parameters() if p.dim() == 2]

    assert count.macs == 12 * sum(p.numel() for p in matrices)
    assert count.macs - count.kept == 12 * 48


def test_weights_that_come_from_parameters_alone() -> None:
    """Weight norm, a soft mask and a raw matrix have zeros that count; a product of two activations has none."""
    normed = nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(4, 3)))
    soft = nn.Sequential(nn.Linear(4, 3))
    mask = torch.tensor([[True, False, False, True]] * 3)
    pa.apply_masks(normed, {"0.parametrizations.weight.original1": mask})
    pa.apply_soft_masks(soft, {"0.weight": mask})

    for model in (normed, soft):
        assert pa.count_macs(model, torch.ones(1, 4)).by_layer() == {"0": (12, 6)}


def test_effective_numbers_from_a_trimmed_graph() -> None:
    model, x = lenet_300_100(), torch.ones(1, 784)
    masks = pa.masks_from_scores(pa.magnitude_scores(model), sparsity=0.99)
    graph = ng.trim(pa.to_graph(model, x, masks=masks))
    direct, effective = (pa.count_macs(model, x, masks=m) for m in (masks, pa.to_masks(graph)))

    assert direct.macs == effective.macs == masks.total
    assert direct.kept == masks.direct
    assert effective.kept == round(masks.total * (1 - ng.effective_sparsity(graph)))


def test_the_model_and_its_mode_are_left_alone() -> None:
    model = CASES["resnet20_a"].model().train()
    before = copy.deepcopy(model.state_dict())
    pa.count_macs(model, CASES["resnet20_a"].inputs())

    assert model.training
    torch.testing.assert_close(model.state_dict(), before, rtol=0, atol=0)


def test_parameters_are_counted_once() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    model[1].weight = model[0].weight
    nn.init.ones_(model[0].bias)
    nn.init.ones_(model[1].bias)
    pa.apply_masks(model, {"0.weight": torch.eye(4, dtype=torch.bool)})

    assert pa.count_parameters(model) == (24, 12)
